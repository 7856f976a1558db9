"""The tab that trains, in headless Chromium."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from paddle_ground.train.config import load_config
from paddle_ground.train.plan.memory import GIB
from paddle_ground.train.plan.verdict import Machine, make_plan

EIGHT = "qwen3_vl/8b_sft_tp4.yaml"


def predicted(path: Path, gpu_memory: float, *words: str) -> str:
    """Give the peak as the page writes it."""
    plan = make_plan(load_config(path, words), Machine(8, gpu_memory))
    return f"{plan.memory.total / GIB:.2f} GiB / {gpu_memory:.2f} GiB"


def test_a_configuration_is_shown_and_planned_while_it_is_edited(tab, place) -> None:
    assert not tab.page.is_visible("#train-start")
    tab.choose(EIGHT)
    path = place.configs / EIGHT
    tab.wait_plan(predicted(path, 80))
    assert tab.value("learning_rate") in ("0.00001", "1e-5", "1e-05")
    assert tab.value("max_seq_len") == "8192"
    assert tab.value("output") == "8b_sft_tp4"
    assert tab.page.is_checked("#train-freeze input >> nth=0")
    assert not tab.page.is_visible("#train-lora_rank")
    tab.fill("max_seq_len", "4096")
    tab.wait_plan(predicted(path, 80, "max_seq_len=4096"))
    tab.fill("gpu-memory", "24")
    tab.wait_plan("It does not fit")
    tab.page.click("#train-fine_tuning >> text=LoRA")
    tab.page.wait_for_selector("#train-lora_rank input")
    tab.wait_plan(predicted(path, 24, "max_seq_len=4096", "fine_tuning=LoRA", "lora_rank=8"))
    # What contradicts itself is told at once.
    tab.choose("stage3", "sharding")
    tab.wait_plan("`sharding`: stage3 is refused beside tensor parallelism")
    tab.fill("max_seq_len", "1")
    tab.wait_plan("`max_seq_len` is 1; expected a whole number from 16 on")


def test_a_proposed_change_is_taken(tab, place, opened) -> None:
    tab.choose(EIGHT)
    tab.fill("gpu-memory", "30")
    tab.wait_plan("It does not fit")
    plan = make_plan(load_config(place.configs / EIGHT), Machine(8, 30))
    opened.look("train_too_much")
    tab.page.click("#train-apply")
    told = tab.wait_plan("It fits")
    assert f"{plan.changes[0].peak / GIB:.2f} GiB" in told


def test_a_yaml_is_saved_with_its_comments(tab, place) -> None:
    tab.choose(EIGHT)
    tab.wait_plan("It fits")
    tab.fill("max_steps", "77")
    tab.fill("save-name", "mine/eight.yaml")
    tab.page.click("#train-save")
    tab.page.wait_for_function("document.querySelector('#train-config input').value === 'mine/eight.yaml'")
    text = (place.configs / "mine/eight.yaml").read_text()
    before = (place.configs / EIGHT).read_text()
    changed = [line for line in text.splitlines() if line not in before.splitlines()]
    assert sorted(line.partition(":")[0] for line in changed) == ["logging_dir", "max_steps", "output_dir"]
    assert load_config(place.configs / "mine/eight.yaml").values["max_steps"] == 77
    tab.fill("save-name", EIGHT)
    tab.page.click("#train-save")
    tab.page.wait_for_selector(".toast-body >> text=is there already")
    tab.fill("save-name", "../out.yaml")
    tab.page.click("#train-save")
    tab.page.wait_for_selector(".toast-body >> text=no name of a new folder")
    assert (place.configs / EIGHT).read_text() == before
    assert not (place.configs.parent / "out.yaml").exists()


def test_a_run_that_cannot_be_is_not_started_or_says_why(tab, place) -> None:
    tab.choose("small.yaml")
    tab.wait_plan("It fits")
    tab.fill("output", "../elsewhere")
    tab.wait_plan("no name of a new folder")
    tab.page.click("#train-start")
    tab.page.wait_for_selector(".toast-body >> text=no name of a new folder")
    tab.choose(EIGHT)  # its data is not on this machine
    tab.wait_plan("GPU")
    tab.fill("output", "no/data")
    tab.page.click("#train-start")
    told = tab.wait_state("stopped")
    assert "data/coco/train.jsonl does not exist" in told
    assert tab.value("run") == "no/data"
    assert str(place.runs) not in tab.page.inner_text("#train-log")
    started = yaml.safe_load((place.runs / "no/data/page.yaml").read_text())
    assert started["output_dir"] == str(place.runs / "no/data")
    tab.page.click("#train-start")
    tab.page.wait_for_selector(".toast-body >> text=is there already")


def test_a_run_of_the_command_line_is_shown(tab, place) -> None:
    folder = place.runs / "ended"
    folder.mkdir()
    (folder / "resolved.yaml").write_text(f"output_dir: {folder}\nmax_steps: 30\n")
    lines: list[dict[str, Any]] = [{"step": step, "loss": 9 / step, "time": 1.0} for step in range(1, 31)]
    lines += [{"step": 30, "eval_f1": 0.5}, {"step": 30, "train_runtime": 2.0}]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "train.log").write_text("<script>window.broken = 1</script>\nthe end\n")
    tab.page.click("#train-run input")
    tab.choose("ended", "run")
    assert "finished · step 30 / 30 · loss 0.3000" in tab.wait_state("finished")
    assert tab.page.locator("#train-curves svg.chart").count() == 2
    assert tab.page.inner_text("#train-log").rstrip().endswith("the end")
    assert tab.page.evaluate("window.broken") is None
    for button in ("resume", "stop"):
        assert tab.page.is_disabled(f"#train-{button}")


def test_a_run_that_is_there_is_shown_in_chinese_too(opened_in, open_tab, place) -> None:
    """The page changes its language before it first looks for runs."""
    folder = place.runs / "shown"
    folder.mkdir()
    (folder / "resolved.yaml").write_text(f"output_dir: {folder}\nmax_steps: 30\n")
    tab = open_tab(opened_in("zh-CN").page, "训练")
    tab.page.wait_for_function("document.querySelector('#train-run input').value === 'shown'")
    assert "请先选择配置" in tab.page.inner_text("#train-plan")


def test_it_speaks_chinese(opened_in, open_tab) -> None:
    opened = opened_in("zh-CN")
    tab = open_tab(opened.page, "训练")
    tab.choose(EIGHT)
    tab.wait_plan("放得下")
    assert tab.page.inner_text("#train-start") == "开始训练"
    tab.page.click("#language >> text=English")
    tab.wait_plan("It fits")
    assert opened.complaints == []


@pytest.mark.parametrize("width", [420, 1440])
def test_it_fits_its_window(opened, open_tab, width) -> None:
    opened.page.set_viewport_size({"width": width, "height": 1000})
    tab = open_tab(opened.page)
    tab.choose(EIGHT)
    tab.wait_plan("It fits")
    opened.look(f"train_{width}")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
