"""The tab that scores a model, in headless Chromium; the commands behind it are real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from paddle_ground.cli import main
from paddle_ground.records import Prediction, PredictionSink, Region, read_predictions
from paddle_ground.web.evaluation import FOLDER, Evaluation

SAMPLES = "zoo/val.jsonl"


def choose(page: Any, name: str, option: str) -> None:
    """Choose in a list."""
    page.click(f"#{name} input")
    page.get_by_role("option", name=option, exact=True).click()


def said(page: Any) -> str:
    return str(page.inner_text("#evaluate-standing .work"))


def table(page: Any) -> dict[str, str]:
    page.wait_for_selector("#evaluate-table [data-testid='cell-0-0']")
    rows = page.locator("#evaluate-table [data-index]").all()
    cells = [
        [cell.inner_text().strip() for cell in row.locator("[data-testid^='cell-']").all()] for row in rows
    ]
    return {row[0]: row[1] for row in cells}


@pytest.fixture(scope="session")
def scored(data_root: Path, runs_root: Path) -> Evaluation:
    """An evaluation that ended: three of six boxes found, one answer unreadable."""
    one = Evaluation("model", SAMPLES)
    folder, samples = runs_root / FOLDER / one.name, data_root / SAMPLES
    folder.mkdir(parents=True)
    with PredictionSink(folder / "predictions.jsonl") as sink:
        for index in range(6):
            box = (0.0, 0.0, 48.0, 96.0) if index < 3 else (60.0, 60.0, 90.0, 90.0)
            regions = (Region("cup", box, 0.5),) if index < 5 else ()
            status = "ok" if index < 5 else "failed"
            sink.write(
                Prediction(index, f"images/{index}.png", (96, 96), "Find it.", "x", status, regions=regions)
            )
    predictions = str(folder / "predictions.jsonl")
    for words in (
        ["eval", predictions, str(samples), "-o", str(folder)],
        ["report", predictions, "--truth", str(samples), "-o", str(folder), "--resamples", "20"],
    ):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
    about = {"model": one.model, "samples": one.samples, "limit": None}
    (folder / "evaluation.json").write_text(json.dumps(about))
    return one


@pytest.fixture
def tab(scored, opened) -> Any:
    opened.page.get_by_role("tab", name="Evaluate").click()
    opened.page.wait_for_selector("#evaluate-model input")
    return opened


def test_an_earlier_evaluation_is_shown_with_its_report(tab, scored, runs_root) -> None:
    page = tab.page
    choose(page, "evaluate-earlier", "model · zoo/val.jsonl")
    shown = table(page)
    metrics = json.loads((runs_root / FOLDER / scored.name / "metrics.json").read_text())
    assert shown["AP50"] == f"{100 * metrics['ap50']:.1f} %"
    assert shown["Precision at IoU 0.5"] == "60.0 %"
    assert shown["Recall at IoU 0.5"] == "50.0 %"
    assert shown["Answers that could be read"] == "83.3 %"
    assert (shown["True boxes"], shown["Predicted boxes"]) == ("6", "5")
    tab.look("evaluate")
    with page.context.expect_page() as opening:
        page.click(".report-link")
    report = opening.value
    complaints: list[str] = []
    report.on("pageerror", lambda error: complaints.append(str(error)))
    report.on("console", lambda told: told.type == "error" and complaints.append(told.text))
    report.get_by_text("50.0").first.wait_for()
    assert report.evaluate("window.origin") == "null"  # it can't call the page, whatever is in it
    report.reload()
    report.get_by_text("50.0").first.wait_for()
    assert complaints == []
    page.click("#language >> text=中文")
    page.wait_for_function("() => document.querySelector('#evaluate-table').innerText.includes('召回率')")
    assert page.inner_text(".report-link").startswith("打开报告")


def test_what_is_missing_is_told(tab) -> None:
    page = tab.page
    page.fill("#evaluate-limit input", "2")
    page.press("#evaluate-limit input", "Tab")
    page.click("#evaluate-start")
    assert "Choose a model first." in tab.notice()
    assert page.is_disabled("#evaluate-stop")
    assert said(page) in ("Nothing was started yet.", "Done.", "Stopped.")


@pytest.mark.heavy  # three processes, each of which loads what it needs
def test_an_evaluation_runs_stops_and_goes_on(tab, runs_root) -> None:
    page = tab.page
    choose(page, "evaluate-model", "model")
    choose(page, "evaluate-samples", SAMPLES)
    page.fill("#evaluate-limit input", "4")
    page.press("#evaluate-limit input", "Tab")
    page.click("#evaluate-start")
    page.wait_for_selector("#evaluate-stop:enabled")
    page.reload()  # it goes on without the page, and the page finds it again
    page.get_by_role("tab", name="Evaluate").click()
    page.wait_for_selector("#evaluate-stop:enabled")
    page.wait_for_function("() => document.querySelector('#evaluate-standing').innerText.includes('of 4')")
    tab.look("evaluate_running")
    page.click("#evaluate-stop")
    page.wait_for_function(
        "() => document.querySelector('#evaluate-standing').innerText.includes('Stopped.')"
    )
    folder = runs_root / FOLDER / Evaluation("model", SAMPLES, 4).name
    assert not (folder / "metrics.json").exists()

    choose(page, "evaluate-model", "model")
    choose(page, "evaluate-samples", SAMPLES)
    page.fill("#evaluate-limit input", "4")
    page.press("#evaluate-limit input", "Tab")
    page.click("#evaluate-start")
    page.wait_for_selector(".report-link", timeout=600_000)
    assert said(page) == "Done."
    assert [one.index for one in read_predictions(folder / "predictions.jsonl")] == [0, 1, 2, 3]
    assert json.loads((folder / "metrics.json").read_text())["images"] == 4
    assert table(page)["Images or questions"] == "4"
    assert page.input_value("#evaluate-earlier input") == "model · zoo/val.jsonl · first 4"

    page.reload()
    page.get_by_role("tab", name="Evaluate").click()
    page.wait_for_selector(".report-link")  # who comes back sees what ended
    choose(page, "evaluate-model", "model")
    choose(page, "evaluate-samples", SAMPLES)
    page.fill("#evaluate-limit input", "4")
    page.press("#evaluate-limit input", "Tab")
    before = (folder / "predictions.jsonl").read_bytes()
    page.click("#evaluate-start")  # nothing is left to answer
    page.wait_for_selector(".report-link", state="detached")
    page.wait_for_selector(".report-link", timeout=600_000)
    assert (folder / "predictions.jsonl").read_bytes() == before
    assert "4 were there already" in (folder / "page.log").read_text()
