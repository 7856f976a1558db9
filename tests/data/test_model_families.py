"""The same data for each model family: prepared, read back, and refused where it does not suit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from paddle_ground.data.check import CheckOptions, check
from paddle_ground.data.check.beside import check_model
from paddle_ground.data.check.page import write_page
from paddle_ground.data.choices import ModelFamily
from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.errors import BoxError, ConfigError, DataError, RecordError
from paddle_ground.families import PREPARED
from paddle_ground.files import sha256_file
from paddle_ground.records import (
    Message,
    Sample,
    SamplesMeta,
    meta_path,
    read_meta,
    read_samples,
    read_truth,
    samples_space,
    truth_path,
    write_meta,
    write_samples,
)

# Usual, tiny, larger than training allows, and thin.
SIZES = ((640, 480), (30, 20), (2000, 1500), (3000, 40), (56, 56))


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write images of many shapes with COCO boxes, some of less than a pixel."""
    root = tmp_path_factory.mktemp("coco")
    (root / "train").mkdir()
    rng = np.random.default_rng(0)
    images, boxes = [], []
    for number, (width, height) in enumerate(SIZES):
        name = f"{number}.png"
        Image.new("RGB", (width, height), (number * 40, 9, 99)).save(root / "train" / name)
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for _ in range(6):
            x, y = rng.uniform(0, width * 0.8), rng.uniform(0, height * 0.8)
            w, h = rng.uniform(0.3, width - x), rng.uniform(0.3, height - y)
            boxes.append({"id": len(boxes), "image_id": number, "category_id": 1, "bbox": [x, y, w, h]})
    document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "thing"}]}
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_train.json").write_text(json.dumps(document))
    return root


def prepared(source: Path, out: Path, family: str | None, **more: object) -> Path:
    """Prepare all of it for training."""
    prepare(PrepareOptions(out, source=source, val_ratio=0, workers=1, model_family=family, **more))  # type: ignore[arg-type]
    return out / "train.jsonl"


def test_flag_and_table_name_the_same_families() -> None:
    assert set(get_args(ModelFamily)) == set(PREPARED)


@pytest.mark.parametrize("family", PREPARED)
def test_samples_are_the_truth_in_the_familys_numbers(coco: Path, tmp_path: Path, family: str) -> None:
    path = prepared(coco, tmp_path / "out", family)
    meta, truth = read_meta(meta_path(path)), read_truth(truth_path(path))
    assert meta.coordinate_space == PREPARED[family].coordinate_space
    assert meta.settings.get("model_family", "qwen3_vl") == family
    space = samples_space(meta)
    images = {image.file_name: image for image in truth.images}
    for sample in read_samples(path):
        image = images[sample.images[0]]
        exact = np.array([b.box_xyxy_px for b in truth.annotations if b.image_id == image.id])
        steps = np.array(image.size_wh * 2) / (space.borders_wh(image.size_wh) * 2)
        back = space.decode(sample.boxes, image.size_wh)
        nearest = (np.abs(back[:, None] - exact[None]) / steps).max(axis=2).min(axis=1)
        # Half a step of rounding; one more where a thin box was widened.
        assert nearest.max() <= 1 + 1e-9


@pytest.mark.parametrize("other", PREPARED)
@pytest.mark.parametrize("family", PREPARED)
def test_data_of_one_family_is_prepared_again_for_another(
    coco: Path, tmp_path: Path, family: str, other: str
) -> None:
    direct = prepared(coco, tmp_path / "direct", other)
    first = prepared(coco, tmp_path / "first", family)
    again = prepared(first.parent, tmp_path / "again", other)
    for one, same in zip(read_samples(again), read_samples(direct), strict=True):
        # Boxes that one family can't tell apart may change places; nothing else does.
        assert sorted(one.boxes) == sorted(same.boxes)
        assert (one.refs, one.prompt) == (same.refs, same.prompt)


def test_boxes_among_images_of_several_sizes_are_not_guessed(tmp_path: Path) -> None:
    for name, size_wh in (("a", (640, 480)), ("b", (300, 400))):
        Image.new("RGB", size_wh).save(tmp_path / f"{name}.png")
    turns = (Message("user", "<image><image>Find it"), Message("assistant", "<ref-object><bbox>"))
    source = tmp_path / "train.jsonl"
    write_samples(source, [Sample(turns, ("a.png", "b.png"), ("cat",), ((10, 20, 30, 40),))])
    settings = PREPARED["qwen2_5_vl"].resize().settings()
    meta = SamplesMeta("set", "1", "relative_1000", "tokens", "a", (), {"kept": 1}, "", settings)
    write_meta(meta_path(source), meta)
    assert list(read_samples(prepared(source, tmp_path / "relative", "qwen3_vl")))
    message = r"train\.jsonl:1: boxes in absolute_resized among 2 images .* 644 x 476, 308 x 392 pixels"
    with pytest.raises(DataError, match=message):
        prepared(source, tmp_path / "to_absolute", "qwen2_5_vl")
    write_meta(meta_path(source), replace(meta, coordinate_space="absolute_resized"))
    with pytest.raises(DataError, match=message):
        prepared(source, tmp_path / "from_absolute", "qwen3_vl")


def test_limits_of_training_and_processor_are_kept(coco: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    processor = {"patch_size": 14, "merge_size": 2, "min_pixels": 3136, "max_pixels": 254016}
    (model / "preprocessor_config.json").write_text(json.dumps(processor))
    path = prepared(coco, tmp_path / "out", None, for_model=model, image_max_pixels=200_000)
    space = samples_space(read_meta(meta_path(path)))
    assert space.resize is not None
    assert (space.resize.max_pixels, space.resize.image_max_pixels) == (254016, 200_000)
    # 2000 x 1500 is limited to 516 x 387, then rounded to 18 x 14 tokens.
    assert space.borders_wh((2000, 1500)) == (504, 392)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model_family": "glm"}, ConfigError, "unknown model family `glm`; expected one of qwen3_vl"),
        ({"coordinate_space": "pixels"}, BoxError, "unknown coordinate space 'pixels'"),
        (
            {"model_family": "qwen2_5_vl", "coordinate_space": "relative_1000"},
            ConfigError,
            "Qwen2.5-VL speaks absolute_resized; name another model family",
        ),
        ({"model_family": "qwen2_5_vl", "image_max_pixels": 0}, ConfigError, "image limit 0"),
    ],
)
def test_what_contradicts_itself_is_refused(
    coco: Path, tmp_path: Path, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        prepare(PrepareOptions(tmp_path / "out", source=coco, **options))  # type: ignore[arg-type]


def test_a_meta_that_does_not_say_the_resizing_is_refused(coco: Path, tmp_path: Path) -> None:
    path = prepared(coco, tmp_path / "out", "qwen2_5_vl")
    document = json.loads(meta_path(path).read_text())
    del document["settings"]["image.max_pixels"]
    meta_path(path).write_text(json.dumps(document))
    with pytest.raises(RecordError, match=r"'image\.max_pixels'"):
        samples_space(read_meta(meta_path(path)))


@pytest.mark.parametrize("family", PREPARED)
def test_right_data_is_found_right_and_drawn_inside(coco: Path, tmp_path: Path, family: str) -> None:
    path = prepared(coco, tmp_path / "out", family)
    report = check(path, CheckOptions())
    assert not {"wrong_space", "box_outside", "box_degenerate", "truth_differs"} & set(report.by_kind())
    write_page(tmp_path / "page.html", report)


@pytest.mark.parametrize(
    ("family", "said", "expected"),
    [("qwen3_vl", "qwen2_5_vl", "thousandths"), ("qwen2_5_vl", "qwen3_vl", "Qwen2.5-VL resizes")],
)
@pytest.mark.parametrize("with_truth", [True, False])
def test_the_wrong_space_is_found_in_both_directions(
    coco: Path, tmp_path: Path, family: str, said: str, expected: str, with_truth: bool
) -> None:
    path = prepared(coco, tmp_path / "out", family)
    claimed = prepared(coco, tmp_path / "claimed", said)
    document = json.loads(meta_path(claimed).read_text())
    document["samples_sha256"] = sha256_file(path)
    meta_path(path).write_text(json.dumps(document))
    if not with_truth:
        truth_path(path).unlink()
    found = check(path, CheckOptions()).by_kind()
    if with_truth:
        (problem,) = found["wrong_space"]
        assert expected in problem.message
    elif said == "qwen2_5_vl":  # Thousandths stick out of small images; the other way they need not.
        assert "wrong_space" in found or "box_outside" in found


def test_a_model_that_resizes_otherwise_is_told(coco: Path, tmp_path: Path) -> None:
    path = prepared(coco, tmp_path / "out", "qwen2_5_vl")
    meta = read_meta(meta_path(path))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    processor = {"patch_size": 14, "merge_size": 2, "min_pixels": 3136, "max_pixels": 12_845_056}
    (model / "preprocessor_config.json").write_text(json.dumps(processor))
    assert not list(check_model(path, meta, model))
    (model / "preprocessor_config.json").write_text(json.dumps({**processor, "max_pixels": 254016}))
    (problem,) = check_model(path, meta, model)
    assert (problem.code, "processor.max_pixels 254016" in problem.message) == ("space_differs", True)
    (model / "config.json").write_text('{"model_type": "qwen3_vl"}')
    (problem,) = check_model(path, meta, model)
    assert "speaks relative_1000" in problem.message
