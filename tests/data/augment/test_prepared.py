"""Tiles, copies and courses in what `prepare` writes: order, names, truth, and nothing of val in train."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from paddle_ground.data.augment.stage import AugmentOptions
from paddle_ground.data.curriculum import CurriculumOptions
from paddle_ground.data.options import PrepareOptions
from paddle_ground.data.prepare import prepare
from paddle_ground.data.tiling import TileOptions
from paddle_ground.records import read_meta, read_samples, read_truth

SHARED = 20  # Which image both splits have.
BOXES = [[10.0, 10.0, 40.0, 40.0], [70.0, 50.0, 110.0, 90.0]]


def _green(place: int) -> int:
    return 40 + 7 * place


@pytest.fixture(scope="module")
def scenes_dir(tmp_path_factory: pytest.TempPathFactory, draw: Callable[..., Image.Image]) -> Path:
    """Folder with 24 train and 4 val images of two objects, in row groups of 6; one image is in both."""
    root = tmp_path_factory.mktemp("scenes")
    for split, places in (("train", range(24)), ("val", (SHARED, 24, 25, 26, 27))):
        rows = []
        for place in places:
            stream = io.BytesIO()
            draw((160, 120), BOXES, [(200, _green(place), 60), (60, 200, _green(place))]).save(stream, "JPEG")
            objects = {"bbox_id": [0, 1], "category": [0, 1], "bbox": BOXES, "area": [900.0, 1600.0]}
            image = {"bytes": stream.getvalue(), "path": None}
            # The image that both splits have goes by another id in val.
            image_id = place + 1000 * (split == "val")
            rows.append(
                {"image_id": image_id, "image": image, "width": 160, "height": 120, "objects": objects}
            )
        path = root / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=6)
    (root / "classes.txt").write_text("cup\nplate\n", encoding="utf-8")
    return root


@pytest.fixture
def options(scenes_dir: Path, tmp_path: Path) -> PrepareOptions:
    """Options with every expander in use."""
    return PrepareOptions(
        tmp_path / "out",
        scenes_dir,
        classes=scenes_dir / "classes.txt",
        workers=1,
        augment=AugmentOptions(copies=2, mosaic=0.5),
        tile=TileOptions(tile_px=100, overlap=0.3, keep_empty=0.5),
        curriculum=CurriculumOptions(3),
    )


def content(folder: Path) -> dict[str, bytes]:
    """Give every file by its name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_output_depends_on_no_worker(options, tmp_path):
    prepare(options)
    prepare(replace(options, output_dir=tmp_path / "other", workers=4))
    once, again = content(options.output_dir), content(tmp_path / "other")
    assert once.keys() == again.keys()
    assert [name for name in once if once[name] != again[name]] == []


def test_truth_and_samples_tell_of_the_files_beside_them(options):
    prepare(options)
    for split in ("train", "val"):
        path = options.output_dir / f"{split}.jsonl"
        truth = read_truth(path.with_suffix(".truth.json"))
        assert [image.file_name for image in truth.images] == [s.images[0] for s in read_samples(path)]
        sizes = {image.id: image.size_wh for image in truth.images}
        for image in truth.images:
            with Image.open(options.output_dir / image.file_name) as opened:
                assert opened.size == image.size_wh
        assert truth.annotations
        for box in truth.annotations:
            assert (np.array(box.box_xyxy_px[2:]) <= sizes[box.image_id]).all()
        assert len({box.id for box in truth.annotations}) == len(truth.annotations)
    meta = read_meta(options.output_dir / "train.meta.json")
    assert meta.settings["tile.tile_px"] == "100"
    assert meta.settings["augment.mosaic"] == "0.5"


def test_a_course_is_written_part_by_part(options):
    prepare(replace(options, augment=None, tile=None))
    train = [sample.images[0] for sample in read_samples(options.output_dir / "train.jsonl")]
    parts = ["_c1" if "_c1" in name else "_c2" if "_c2" in name else "" for name in train]
    # 24 images, one of which val has: 23 in each part.
    assert parts == ["_c1"] * 23 + ["_c2"] * 23 + [""] * 23
    val = [sample.images[0] for sample in read_samples(options.output_dir / "val.jsonl")]
    assert len(val) == 5
    assert not any("_c" in name for name in val)


def test_a_part_is_in_no_order_of_the_source_but_always_the_same(options, tmp_path):
    course = replace(options, augment=None, tile=None)
    prepare(course)
    path = options.output_dir / "train.jsonl"
    names = [sample.images[0] for sample in read_samples(path)][:23]
    assert names != sorted(names)
    prepare(replace(course, output_dir=tmp_path / "again"))
    assert (tmp_path / "again" / "train.jsonl").read_bytes() == path.read_bytes()


def test_train_shows_no_image_of_val_in_any_form(options):
    plain = dict.fromkeys(("flip", "crop", "scale", "colour", "grey", "blur", "small"), 0.0)
    plain |= {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    only_mosaics = AugmentOptions(copies=4, mosaic=1.0, **plain)
    prepare(replace(options, augment=only_mosaics, tile=None, curriculum=None))
    truth = read_truth(options.output_dir / "train.truth.json")
    names = {image.id: image.file_name for image in truth.images}
    copies = {name[-16:-4] for name in names.values() if "_a" in name}
    # Its own copies are gone, and all of image 21, which can only be joined with 18, 19 and 20.
    assert not any(f"{SHARED:012d}" in name for name in names.values())
    assert not any("021_a" in name for name in copies)
    assert any("022_a" in name for name in copies) or any("023_a" in name for name in copies)
    greens = []
    for box in truth.annotations:
        x_min, y_min, x_max, y_max = box.box_xyxy_px
        if box.category_id == 0 and min(x_max - x_min, y_max - y_min) > 12:
            with Image.open(options.output_dir / names[box.image_id]) as image:
                greens.append(image.getpixel(((x_min + x_max) // 2, (y_min + y_max) // 2))[1])
    # Each image has a green of its own, seven apart.
    assert min(abs(green - _green(SHARED - 1)) for green in greens) <= 2
    assert min(abs(green - _green(SHARED)) for green in greens) > 2
