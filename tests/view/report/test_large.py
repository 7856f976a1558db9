"""A page of five images and one of five thousand: below 20 MB, all pictures in it, and usable."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddle_ground.records import (
    Category,
    Prediction,
    PredictionSink,
    Region,
    Truth,
    TruthBox,
    TruthImage,
    write_truth,
)
from paddle_ground.view import write_report

SIZE_WH = (640, 480)
CLASSES = tuple(Category(i, f"class {i}") for i in range(1, 41))
PHOTOS = 16


def write_photos(folder: Path) -> list[Path]:
    """Clouds with grain, about as large as photographs."""
    chance = np.random.default_rng(0)
    paths = [folder / f"photo{i}.jpg" for i in range(PHOTOS)]
    for path in paths:
        clouds = Image.fromarray(chance.integers(0, 255, (30, 40, 3), dtype=np.uint8)).resize(SIZE_WH)
        grain = chance.normal(0, 6, (SIZE_WH[1], SIZE_WH[0], 3))
        Image.fromarray((np.asarray(clouds) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


def regions_of(boxes: list[TruthBox], chance: random.Random) -> tuple[Region, ...]:
    """Boxes moved, named wrongly, left out."""
    regions = []
    for box in boxes:
        name = CLASSES[(box.category_id if chance.random() < 0.9 else chance.randint(1, 40)) - 1].name
        left, top, right, bottom = box.box_xyxy_px
        dx = chance.gauss(0, 12)
        if chance.random() < 0.85:
            regions.append(Region(name, (left + dx, top, right + dx, bottom), chance.random()))
    return tuple(regions)


def write_set(folder: Path, number: int) -> None:
    """`number` images under names of their own, four boxes each, and two models' answers."""
    chance = random.Random(0)
    photos = write_photos(folder)
    images = tuple(TruthImage(i, f"images/{i:05d}.jpg", SIZE_WH) for i in range(1, number + 1))
    (folder / "images").mkdir()
    for image in images:
        os.link(photos[image.id % PHOTOS], folder / image.file_name)
    by_image: dict[int, list[TruthBox]] = {}
    for image in images:
        for k in range(4):
            x, y, w, h = chance.uniform(20, 400), chance.uniform(0, 300), *chance.choices(range(20, 180), k=2)
            box = TruthBox(4 * image.id + k - 3, image.id, chance.randint(1, 40), (x, y, x + w, y + h), w * h)
            by_image.setdefault(image.id, []).append(box)
    boxes = tuple(box for some in by_image.values() for box in some)
    write_truth(folder / "val.truth.json", Truth(images, boxes, CLASSES))
    for name in ("before", "after"):
        with PredictionSink(folder / f"{name}.jsonl") as sink:
            for image in images:
                regions = regions_of(by_image[image.id], chance)
                told = [{"bbox_2d": [round(v) for v in r.box_xyxy_px], "label": r.label} for r in regions]
                text = f"```json\n{json.dumps(told)}\n``` answer {image.id}."
                told_by = Prediction(
                    image.id - 1, image.file_name, SIZE_WH, "find", text, "ok", regions=regions
                )
                sink.write(told_by)


@pytest.mark.parametrize("number", [5, pytest.param(5000, marks=pytest.mark.heavy)])
def test_any_number_of_images_is_one_page(open_page, tmp_path, number) -> None:
    write_set(tmp_path, number)
    summary = write_report(
        tmp_path / "after.jsonl", tmp_path / "val.truth.json", tmp_path / "page", tmp_path / "before.jsonl",
        resamples=20,
    )  # fmt: skip
    assert summary.size_bytes == summary.path.stat().st_size < 20_000_000
    assert (summary.images, summary.shown, summary.pictures) == (number, number, number)
    opened = open_page(summary.path)
    shown = min(number, 24)
    assert opened.ids() == list(range(1, shown + 1))  # a page of the gallery at a time
    assert opened.page.inner_text('.chip[data-kind="all"] small') == f"{number:,}"
    opened.page.fill("#text-filter", f"answer {number}.")
    assert opened.ids() == [number]
    opened.page.fill("#text-filter", "")
    opened.page.select_option("#order", "iou-down")
    first_page = set(opened.ids())
    if number > shown:
        opened.page.click('#pager [data-go="Last"]')
        assert opened.number(".card") == number % 24
        assert not first_page & set(opened.ids())
    loaded = "img => img.decode().then(() => img.naturalWidth)"
    width = opened.page.eval_on_selector(".card img", loaded)
    assert width == (640 if number == 5 else pytest.approx(120, abs=41))
