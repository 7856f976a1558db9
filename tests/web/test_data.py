"""The tab that looks at samples, in headless Chromium, and what lies behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.data.check import CheckOptions, check
from paddle_ground.errors import DataError
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
