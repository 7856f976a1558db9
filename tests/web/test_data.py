"""The tab that looks at samples, in headless Chromium, and what lies behind it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.data.check import CheckOptions, check
from paddle_ground.data.check.problems import KINDS, Severity
from paddle_ground.errors import DataError
from paddle_ground.web.problem_words import PROBLEMS, SEVERITIES
from paddle_ground.web.samples import list_samples, open_samples

PIXELS = 100_000
FILES = ["set/train.jsonl", "zoo/val.jsonl"]


@pytest.fixture
def data(opened) -> Any:
    opened.page.get_by_role("tab", name="Data").click()
    opened.page.wait_for_selector("#data-file input")
    return opened


def pictures(page: Any, count: int) -> None:
    page.wait_for_function(
        "count => document.querySelectorAll('#data-pictures .thumbnail-item img').length === count", arg=count
    )


def test_a_file_is_opened_checked_and_paged(data, data_root) -> None:
    page = data.page
    page.click("#data-file input")
    assert page.locator("[role=option]").all_inner_texts() == FILES
    page.click("[role=option]")
    page.click("#data-open")
    pictures(page, 12)
    report = check(data_root / "set/train.jsonl", CheckOptions())
    verdict = page.input_value("#data-verdict textarea, #data-verdict input")
    assert verdict == report.verdict().replace(f"{data_root}/", "")
    page.wait_for_selector("#data-problems [data-testid='cell-0-0']")
    table = page.inner_text("#data-problems")
    assert report.problems[0].kind.title in table
    assert str(data_root) not in table
    assert page.locator("#data-charts svg.chart").count() >= 3
    data.look("data")
    slider = page.locator("#data-page input[type=number]")
    slider.fill("2")
    slider.press("Tab")
    pictures(page, 3)  # the link stays inside; the broken line shows none
    assert page.evaluate("window.broken") is None


def test_what_was_found_is_said_in_chinese(opened_in, data_root) -> None:
    page = opened_in("zh-CN").page
    page.get_by_role("tab", name="数据").click()
    page.click("#data-file input")
    page.click(f"[role=option] >> text={FILES[0]}")
    page.click("#data-open")
    pictures(page, 12)
    page.wait_for_selector("#data-problems [data-testid='cell-0-0']")
    first = check(data_root / FILES[0], CheckOptions()).problems[0]
    title, remedy = PROBLEMS[first.code]
    seen = page.inner_text("#data-problems")
    assert title in seen
    assert remedy in seen
    assert first.kind.title not in seen
    assert "个样本" in page.input_value("#data-verdict textarea, #data-verdict input")
    page.click("#language >> text=English")
    page.wait_for_function(
        "title => document.querySelector('#data-problems').innerText.includes(title)", arg=first.kind.title
    )
    page.wait_for_function("document.querySelector('#data-charts').innerText.includes('Box sizes')")


def test_every_kind_of_problem_has_chinese_words() -> None:
    assert list(PROBLEMS) == list(KINDS)
    assert set(SEVERITIES) == set(Severity)
    for title, remedy in PROBLEMS.values():
        assert re.search(r"[\u4e00-\u9fff]", title)
        assert re.search(r"[\u4e00-\u9fff]", remedy)
    # What is to be typed stays as it is.
    for code, (_, remedy) in PROBLEMS.items():
        for typed in re.findall(r"`[^`]+`|\bmax_\w+|image_\w+", KINDS[code].remedy):
            assert typed in remedy, code


def test_nothing_chosen_is_told(data) -> None:
    data.page.click("#data-open")
    assert "Choose a samples file first." in data.notice()


def test_boxes_are_drawn_where_they_are(data_root) -> None:
    opened = open_samples(data_root, "set/train.jsonl", PIXELS)
    assert opened.pages == 2
    assert len(opened.page(1)) == 12
    assert opened.page(99)[0][1].startswith("13: ")
    picture, caption = opened.page(1)[0]
    assert caption == "1: Find it."
    plain = Image.open(data_root / "set/images/0.png").resize(picture.size, Image.Resampling.BICUBIC)
    changed = np.abs(np.asarray(picture, int) - np.asarray(plain, int)).max(axis=2) > 25
    columns = np.flatnonzero(changed[picture.height // 2])
    assert columns.min() <= 3
    assert abs(columns.max() - picture.width / 2) <= 4  # 500 of 1000


def test_only_samples_files_inside_the_folder(data_root, tmp_path) -> None:
    assert list_samples(data_root) == FILES
    (tmp_path / "out.jsonl").write_text((data_root / "set/train.jsonl").read_text())
    link = data_root / "set/link.jsonl"
    link.symlink_to(tmp_path / "out.jsonl")
    try:
        assert list_samples(data_root) == FILES
        for name in (
            "../x.jsonl",
            str(tmp_path / "out.jsonl"),
            "set/link.jsonl",
            "nowhere.jsonl",
            "secret.png",
        ):
            with pytest.raises(DataError):
                open_samples(data_root, name, PIXELS)
    finally:
        link.unlink()


def test_a_picture_out_of_the_folder_or_too_large_is_not_shown(data_root, tmp_path) -> None:
    outside = tmp_path / "secret.png"
    Image.new("RGB", (32, 32)).save(outside)
    link = data_root / "set/images/link.png"
    link.unlink()
    link.symlink_to(outside)
    assert len(open_samples(data_root, "set/train.jsonl", PIXELS).page(2)) == 2
    assert open_samples(data_root, "set/train.jsonl", 96 * 96 - 1).page(1) == []
