"""Synthetic scenes: the schema of the real files, boxes that match the pixels, the same bytes each time."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from paddle_ground.boxes import iou_matrix
from paddle_ground.data.outlines import OUTLINES
from paddle_ground.data.scenes import COLOURS, draw_scene
from paddle_ground.data.signs import SIGNS, draw_sign
from paddle_ground.data.synth import SceneStyle, write_synth
from paddle_ground.errors import ConfigError, DataError

EVERY = SceneStyle(colours=tuple(COLOURS), shapes=tuple(OUTLINES), max_shapes=3, min_gap=0.03)


def test_the_schema_is_that_of_the_real_files(tmp_path, shared_data):
    report = write_synth(tmp_path, 3, 1)
    real = next((shared_data / "coco_parquet" / "data").glob("*.parquet"))
    for shard in report.shards:
        assert pq.read_schema(shard).equals(pq.read_schema(real), check_metadata=False)


@pytest.mark.parametrize("shape", OUTLINES)
def test_boxes_are_those_of_the_pixels(shape):
    # On plain dark ground a shape's pixels are those that differ from the ground's colour.
    style = SceneStyle(
        side_px=96, shapes=(shape,), colours=("yellow",), max_shapes=1, texture=0.0, image_format="PNG"
    )
    for seed in range(8):
        image, (placed,) = draw_scene(style, np.random.default_rng(seed))
        pixels = np.asarray(image, int)
        blue_less = pixels[..., 0] - pixels[..., 2]
        # The ground varies by 20 at most between its channels, yellow by 170 at least.
        rows, columns = np.nonzero(blue_less > 60)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        # A tip fades within its last pixels, and a quarter pixel at an edge can be too faint to count.
        tolerance = 3 if shape in ("triangle", "diamond", "star") else 1.01
        assert np.abs(np.array(found) - placed.box_xyxy_px).max() <= tolerance
        assert len(rows) == pytest.approx(placed.area_px, rel=0.2)


@pytest.mark.parametrize("sign", SIGNS)
def test_boxes_of_signs_are_those_of_their_pixels(sign):
    style = SceneStyle(side_px=96, signs=(sign,), max_shapes=1, texture=0.0, image_format="PNG")
    assert style.class_names == (sign,)
    plain = SceneStyle(side_px=96, signs=(sign,), min_shapes=0, max_shapes=0, texture=0.0)
    for seed in range(8):
        image, (placed,) = draw_scene(style, np.random.default_rng(seed))
        ground, _ = draw_scene(plain, np.random.default_rng(seed))
        # The ground's colour comes first from the generator, so it is the same without the sign.
        changed = np.abs(np.asarray(image, int) - np.asarray(ground, int)).max(axis=2) > 12
        rows, columns = np.nonzero(changed)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        tolerance = 3 if sign in ("yield sign", "warning sign", "priority road") else 1.01
        assert np.abs(np.array(found) - placed.box_xyxy_px).max() <= tolerance
        assert len(rows) == pytest.approx(placed.area_px, rel=0.2)


def test_no_two_signs_look_alike():
    style = SceneStyle(side_px=96, signs=tuple(SIGNS), texture=0.0)
    pictures = []
    for name in style.signs:
        image = Image.new("RGB", (48, 48), (128, 128, 128))
        draw_sign(image, (0, 0, 192, 192), name, np.zeros(3, np.int64))
        pictures.append(np.asarray(image, float))
    for number, one in enumerate(pictures):
        for other in pictures[:number]:
            assert np.abs(one - other).mean() > 10


def test_class_names_say_colour_and_shape():
    style = SceneStyle(colours=("red", "blue"), shapes=("circle", "star"))
    assert style.class_names == ("red circle", "red star", "blue circle", "blue star")


def test_the_category_is_that_of_the_colour_in_the_middle():
    style = SceneStyle(shapes=("square",), texture=0.3, image_format="PNG")
    for seed in range(20):
        image, shapes = draw_scene(style, np.random.default_rng(seed))
        for shape in shapes:
            x = (shape.box_xyxy_px[0] + shape.box_xyxy_px[2]) / 2
            y = (shape.box_xyxy_px[1] + shape.box_xyxy_px[3]) / 2
            pixel = np.array(image.getpixel((int(x), int(y))))
            nearest = min(style.colours, key=lambda name: np.abs(pixel - COLOURS[name]).sum())
            assert f"{nearest} square" == style.class_names[shape.category_id]


def test_shapes_keep_in_the_image_and_apart():
    counts = set()
    for seed in range(60):
        _, shapes = draw_scene(EVERY, np.random.default_rng(seed))
        boxes = np.array([shape.box_xyxy_px for shape in shapes])
        counts.add(len(shapes))
        assert (boxes >= 0).all()
        assert (boxes <= EVERY.side_px).all()
        sides = (boxes[:, 2:] - boxes[:, :2]) / EVERY.side_px
        assert sides.min() >= EVERY.min_size - 0.01
        assert sides.max() <= EVERY.max_size + 0.01
        overlaps = iou_matrix(boxes, boxes) - np.eye(len(boxes))
        assert overlaps.max() == pytest.approx(0, abs=1e-12)
    assert counts == {1, 2, 3}


def test_classes_are_not_repeated_where_that_is_asked_for():
    style = SceneStyle(
        colours=("red",), shapes=("circle", "square"), min_shapes=2, max_shapes=2, repeat_classes=False
    )
    for seed in range(10):
        _, shapes = draw_scene(style, np.random.default_rng(seed))
        assert {shape.category_id for shape in shapes} == {0, 1}


@pytest.mark.parametrize(("image_format", "mode"), [("JPEG", "RGB"), ("PNG", "RGB")])
def test_rows_hold_images_of_that_size_and_format(tmp_path, image_format, mode):
    style = SceneStyle(side_px=64, image_format=image_format)
    report = write_synth(tmp_path, 4, 0, style=style)
    rows = pq.read_table(report.shards[0]).to_pylist()
    for row in rows:
        image = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert (image.format, image.mode, image.size) == (image_format, mode, (64, 64))
        assert (row["width"], row["height"]) == (64, 64)
        counts = {len(values) for values in row["objects"].values()}
        assert len(counts) == 1


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    def digests(name: str, train: int, seed: int) -> list[str]:
        report = write_synth(tmp_path / name, train, 2, seed=seed)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in report.shards]

    assert digests("a", 5, 1) == digests("b", 5, 1)
    assert not set(digests("a", 5, 1)) & set(digests("c", 5, 2))


def test_a_larger_set_begins_with_the_smaller_ones_scenes_and_splits_share_none(tmp_path):
    small = pq.read_table(write_synth(tmp_path / "small", 3, 3).shards[0]).to_pylist()
    large_report = write_synth(tmp_path / "large", 5, 3)
    large = pq.read_table(large_report.shards[0]).to_pylist()
    assert large[:3] == small
    held_out = pq.read_table(large_report.shards[1]).to_pylist()
    assert not {row["image"]["bytes"] for row in large} & {row["image"]["bytes"] for row in held_out}
    assert not {row["image_id"] for row in large} & {row["image_id"] for row in held_out}


def test_classes_stand_in_a_file_and_in_the_shards(tmp_path):
    report = write_synth(tmp_path, 1, 0)
    assert tuple(report.classes_path.read_text().split("\n")[:-1]) == report.class_names
    features = json.loads(pq.read_schema(report.shards[0]).metadata[b"huggingface"])["info"]["features"]
    assert features["objects"]["feature"]["category"]["names"] == list(report.class_names)


def test_what_is_there_is_not_made_twice_but_anew_when_asked_for_something_else(tmp_path):
    first = write_synth(tmp_path, 2, 1)
    assert not first.reused
    assert write_synth(tmp_path, 2, 1).reused
    first.shards[0].unlink()
    assert not write_synth(tmp_path, 2, 1).reused
    other = write_synth(tmp_path, 2, 0, seed=5)
    assert not other.reused
    assert sorted((tmp_path / "data").iterdir()) == sorted(other.shards)


def test_large_sets_are_split_into_shards(tmp_path, monkeypatch):
    monkeypatch.setattr("paddle_ground.data.synth.ROWS_PER_SHARD", 4)
    monkeypatch.setattr("paddle_ground.data.synth.ROWS_PER_GROUP", 3)
    report = write_synth(tmp_path, 9, 1, style=SceneStyle(side_px=16))
    assert [path.name for path in report.shards] == [
        "train-00000-of-00003.parquet",
        "train-00001-of-00003.parquet",
        "train-00002-of-00003.parquet",
        "val-00000-of-00001.parquet",
    ]
    groups = [pq.ParquetFile(path).metadata for path in report.shards]
    assert [(g.num_rows, g.num_row_groups) for g in groups] == [(4, 2), (4, 2), (1, 1), (1, 1)]


def test_somebody_elses_data_is_left_alone(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-00000-of-00001.parquet").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"train-00000-of-00001\.parquet: is not from synth"):
        write_synth(tmp_path, 1, 0)
    assert (tmp_path / "data" / "train-00000-of-00001.parquet").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"side_px": 4}, "side_px must be 8 or more"),
        ({"min_shapes": 3, "max_shapes": 2}, "min_shapes..max_shapes"),
        ({"min_size": 0.6, "max_size": 0.5}, "min_size..max_size"),
        ({"max_stretch": 0.5, "texture": 2}, "max_stretch must be 1 or more; texture must be 0..1"),
        ({"colours": ("mauve",)}, "unknown colours, shapes or signs: mauve"),
        ({"colours": ()}, "must not be empty"),
        ({"image_format": "GIF"}, "JPEG or PNG"),
        ({"colours": ("red",), "shapes": ("star",), "repeat_classes": False}, "needs that many classes"),
    ],
)
def test_styles_that_no_scene_can_have_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        SceneStyle(**wrong)


def test_a_style_that_is_too_crowded_is_named():
    style = SceneStyle(min_shapes=9, max_shapes=9, min_size=0.45, max_size=0.45)
    with pytest.raises(ConfigError, match=r"9 shapes of 0\.45\.\.0\.45 of the side do not fit"):
        draw_scene(style, np.random.default_rng(0))
