"""The report's file: what is in it, how large it gets, and what is refused."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.cli import main
from paddle_ground.errors import EvaluationError, RecordError
from paddle_ground.evaluate import evaluate_files
from paddle_ground.records import Prediction, PredictionSink, Truth, TruthImage, write_truth
from paddle_ground.view import write_report
from paddle_ground.view.report import thumbnails
from paddle_ground.view.report.command import _truth_of
from paddle_ground.view.report.page import build_page, pack
from paddle_ground.view.report.thumbnails import make_thumbnails


class Blocks(HTMLParser):
    """Collects the text of each script element by its id, as a browser would end it."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: dict[str, str] = {}
        self.tags: list[str] = []
        self._open: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self._open = dict(attrs).get("id") or "code"
            self.scripts[self._open] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open:
            self.scripts[self._open] += data


def blocks_of(path: Path) -> Blocks:
    blocks = Blocks()
    blocks.feed(path.read_text(encoding="utf-8"))
    return blocks


def data_of(path: Path) -> dict[str, Any]:
    packed = blocks_of(path).scripts["report-data"]
    document: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed, validate=True)))
    return document


def report(run: Any, output: Path, **options: Any) -> Path:
    return write_report(
        run.folder / "after.jsonl", run.folder / "val.truth.json", output, run.folder / "before.jsonl",
        resamples=20, **options,
    ).path  # fmt: skip


def test_the_numbers_are_those_of_eval(run, tmp_path) -> None:
    told = data_of(report(run, tmp_path))
    metrics = evaluate_files(run.folder / "after.jsonl", run.folder / "val.truth.json", tmp_path / "eval")
    headline = {row["name"]: row["value"] for row in told["headline"]}
    assert headline["ap"] == pytest.approx(metrics.ap, abs=1e-4)
    assert headline["f1"] == pytest.approx(metrics.f1_50, abs=1e-4)
    assert headline["parse_rate"] == pytest.approx(29 / 30, abs=1e-4)
    assert told["mistakes"]["after"] == {
        "missed": 3, "false": 1, "misplaced": 1, "wrong_label": 1, "wrong_label_and_place": 0, "duplicate": 1,
    }  # fmt: skip
    assert told["mistakes"]["unparsed"] == [1, 1]
    gains = told["mistakes"]["gains"]
    # The false box has an unknown name, and AP counts known ones.
    assert {kind for kind, gain in gains[0].items() if gain} == {"missed", "misplaced", "wrong_label"}
    assert gains[1]["missed"] > gains[0]["missed"]
    assert [row[0] for row in told["classes"]] == ["cat", "dog"]
    assert told["names"]["before"].endswith("before.jsonl")
    assert told["images"] == len(told["cases"]) == 30


def test_what_was_not_predicted_is_left_out_when_asked(run, tmp_path) -> None:
    some = tmp_path / "some.jsonl"
    some.write_text("".join((run.folder / "after.jsonl").open().readlines()[:10]))
    path = write_report(some, run.folder / "val.truth.json", tmp_path, resamples=20, only_predicted=True).path
    assert data_of(path)["images"] == len(data_of(path)["cases"]) == 10
    with pytest.raises(EvaluationError, match="for one model"):
        report(run, tmp_path / "two", only_predicted=True)


def test_each_case_holds_its_boxes_and_its_raw_answer(run, tmp_path) -> None:
    told = data_of(report(run, tmp_path))
    case = told["cases"][3]
    assert case["name"] == "images/04.png"
    *box, label, score, kind, iou, truth = case["after"]["boxes"][1]
    assert (box, told["labels"][label], score) == ([36.0, 12.0, 60.0, 22.0], "dog", 0.6)
    assert (told["kinds"][kind], iou, truth) == ("misplaced", pytest.approx(10 / 32, abs=1e-3), 1)
    assert case["after"]["answers"][0]["text"] == "answer 4"


def test_no_text_breaks_out_of_its_block(run, tmp_path) -> None:
    path = report(run, tmp_path)
    blocks = blocks_of(path)
    assert blocks.tags.count("script") == 3
    assert not {"img", "b"} & set(blocks.tags)
    told = data_of(path)
    assert told["cases"][6]["after"]["answers"][0]["text"].startswith("</script><script>")
    assert "<img src=x onerror=window.broken=1>" in told["labels"]


def test_a_title_and_a_torn_answer_are_only_text() -> None:
    page = build_page("</title><script>alert(1)</script>{{script}}", pack(["\ud83d", "{{style}}"]), [None])
    text = page.decode("utf-8")
    assert "<script>alert" not in text
    assert text.count("{{script}}") == 1  # in the title, as text
    packed = re.search(r'id="report-data">([^<]*)<', text)
    assert packed is not None
    assert json.loads(gzip.decompress(base64.b64decode(packed[1]))) == ["\ud83d", "{{style}}"]


def test_it_loads_nothing_and_runs_one_script_only(run, tmp_path) -> None:
    text = report(run, tmp_path).read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", text)
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text


def test_the_same_input_gives_the_same_page(run, tmp_path) -> None:
    assert report(run, tmp_path / "a").read_bytes() == report(run, tmp_path / "b").read_bytes()


def test_a_small_budget_is_kept(run, tmp_path) -> None:
    path = report(run, tmp_path, max_bytes=70_000)
    assert path.stat().st_size <= 70_000


def test_a_large_set_is_drawn_from_evenly(run, tmp_path) -> None:
    told = data_of(report(run, tmp_path, max_images=10))
    assert [case["id"] for case in told["cases"]] == list(range(1, 31, 3))
    assert told["images"] == 30
    assert sum(told["mistakes"]["after"].values()) == 7  # counted over all of them


def write_photos(folder: Path, number: int) -> list[Path]:
    """Noise: what compresses worst."""
    noise = np.random.default_rng(0)
    paths = [folder / f"{i}.jpg" for i in range(number)]
    for path in paths:
        Image.fromarray(noise.integers(0, 255, (300, 400, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.mark.parametrize("budget", [2_000_000, 200_000, 40_000, 500])
def test_thumbnails_use_their_budget_and_keep_it(tmp_path, budget) -> None:
    made = make_thumbnails(write_photos(tmp_path, 12), budget)
    total = sum(len(one) for one in made if one)
    assert total <= budget
    if budget == 200_000:
        assert total > budget / 4
        assert None not in made
    for one in filter(None, made):
        with Image.open(io.BytesIO(base64.b64decode(one.partition(",")[2]))) as picture:
            assert picture.format == "WEBP"
            assert picture.width / picture.height == pytest.approx(4 / 3, abs=0.03)


@pytest.mark.parametrize("number", [1, 5, 5000, 12_000])
def test_any_number_of_pictures_fits_and_has_the_largest_size_that_does(monkeypatch, number) -> None:
    sizes: list[int] = []

    def pretend(path: Path, size: tuple[int, int]) -> str:
        sizes.append(size[0])
        return "x" * (size[0] ** 2 // 8 + 30 * int(path.name))  # pictures differ

    monkeypatch.setattr(thumbnails, "_shrink", pretend)
    budget = 15_000_000
    made = make_thumbnails([Path(str(i % 7)) for i in range(number)], budget)
    total = sum(len(one) for one in made if one)
    assert None not in made
    assert total <= budget
    ladder = [side for side, _ in thumbnails._SIZES]
    used = ladder.index(sizes[-1])
    assert used == 0 or number * (ladder[used - 1] ** 2 // 8) > 0.9 * budget  # the next one would be too much
    assert len(sizes) < 1.1 * number + 200  # each is made once, but for a few


def test_pictures_unlike_those_tried_are_made_again_smaller(monkeypatch) -> None:
    # Of these only every fiftieth is tried, and just these are small.
    paths = [Path("small" if i % 50 == 0 else "large") for i in range(1600)]
    monkeypatch.setattr(
        thumbnails, "_shrink", lambda path, size: "x" * (size[0] ** 2 // (80 if path.name == "small" else 8))
    )
    budget = 4_000_000
    made = make_thumbnails(paths, budget)
    assert None not in made
    assert budget / 2 < sum(len(one) for one in made if one) <= budget


def test_a_thumbnail_shows_stored_pixels_and_transparency_as_white(tmp_path) -> None:
    turned = Image.new("RGB", (40, 20), "red")
    exif = turned.getexif()
    exif[0x0112] = 6  # "turn me": boxes are in pixels as stored
    turned.save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGBA", (40, 20), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    (tmp_path / "torn.jpg").write_bytes((tmp_path / "turned.jpg").read_bytes()[:200])
    names = ("turned.jpg", "clear.png", "torn.jpg", "missing.jpg")
    turned_url, clear_url, *unread = make_thumbnails([tmp_path / name for name in names], 100_000)
    assert unread == [None, None]
    assert turned_url
    assert clear_url
    for url, color in ((turned_url, (255, 0, 0)), (clear_url, (255, 255, 255))):
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
            assert picture.size == (40, 20)
            assert not picture.getexif()
            assert np.abs(np.asarray(picture.convert("RGB"))[10, 20].astype(int) - color).max() < 12


def test_what_cannot_be_is_refused(run, tmp_path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(EvaluationError, match="no predictions"):
        write_report(empty, run.folder / "val.truth.json", tmp_path)
    with pytest.raises(EvaluationError, match=r"above 0\.1"):
        report(run, tmp_path, iou_threshold=0.1)
    write_truth(tmp_path / "x.truth.json", Truth((TruthImage(1, "../x.png", (8, 8)),), (), ()))
    with PredictionSink(tmp_path / "x.jsonl") as sink:
        sink.write(Prediction(0, "../x.png", (8, 8), "", "", "ok"))
    with pytest.raises(RecordError, match="leads out"):
        write_report(tmp_path / "x.jsonl", tmp_path / "x.truth.json", tmp_path / "out", resamples=2)
    assert not (tmp_path / "out").exists()


def test_the_truth_is_found_by_samples_file_or_folder(run, tmp_path) -> None:
    assert _truth_of(run.folder / "val.jsonl") == run.folder / "val.truth.json"
    assert _truth_of(run.folder) == run.folder / "val.truth.json"
    assert _truth_of(Path("instances.json")) == Path("instances.json")
    with pytest.raises(EvaluationError, match=r"0 \.truth\.json files"):
        _truth_of(tmp_path)


def test_the_command_writes_the_page(run, tmp_path, capsys) -> None:
    words = ["report", str(run.folder / "after.jsonl"), "--truth", str(run.folder), "-o", str(tmp_path / "r")]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--resamples", "5"])
    assert stop.value.code == 0
    assert "30 images in its gallery" in capsys.readouterr().out
    told = data_of(tmp_path / "r" / "index.html")
    assert told["names"]["before"] is None
    assert told["mistakes"]["before"] is None
    assert "before" not in told["cases"][0]
