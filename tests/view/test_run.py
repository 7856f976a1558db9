"""The drawing stage on files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddle_ground.errors import DataError, RecordError
from paddle_ground.records import (
    Category,
    Prediction,
    PredictionSink,
    Region,
    Truth,
    TruthImage,
    read_truth,
    write_truth,
)
from paddle_ground.view import draw_grounding, draw_predictions, label_color

WriteRun = Callable[..., Path]


@pytest.fixture
def run_folder(tmp_path: Path, ground: Callable[[int, int], Image.Image], write_run: WriteRun) -> Path:
    """A samples folder with three images, their truth, and a prediction of each; one true box is a crowd."""
    (tmp_path / "images").mkdir()
    names = [f"images/scene{i}.png" for i in range(3)]
    for name in names:
        ground(64, 48).save(tmp_path / name)
    found = [[(6.0, 6.0, 30.0, 30.0)]] * 3
    write_run(tmp_path, names, [[(5.0, 5.0, 30.0, 30.0)]] * 3, found, score=0.5)
    path = tmp_path / "val.truth.json"
    truth = read_truth(path)
    crowd = replace(truth.annotations[2], is_crowd=True)
    write_truth(path, replace(truth, annotations=(*truth.annotations[:2], crowd)))
    return tmp_path


def test_pictures_and_a_sheet_are_written(run_folder: Path) -> None:
    report = draw_predictions(
        run_folder / "predictions.jsonl", run_folder / "val.truth.json", run_folder / "out"
    )
    assert [path.name for path in report.pictures] == [f"00000{i}_scene{i}.png" for i in range(3)]
    assert sorted(path.name for path in (run_folder / "out").iterdir()) == sorted(
        [*(path.name for path in report.pictures), "contact_sheet.png"]
    )
    for path in (*report.pictures, report.contact_sheet):
        with Image.open(path) as picture:
            picture.load()
            assert picture.width > 2 * 320


def test_the_limit_limits(run_folder: Path) -> None:
    report = draw_predictions(
        run_folder / "predictions.jsonl", run_folder / "val.truth.json", run_folder / "out", limit=2
    )
    assert len(report.pictures) == 2


def test_an_unreadable_image_is_named(run_folder: Path) -> None:
    (run_folder / "images" / "scene1.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"scene1\.png: cannot read this image"):
        draw_predictions(run_folder / "predictions.jsonl", run_folder / "val.truth.json", run_folder / "out")
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(run_folder / "images" / "scene1.png")
    damaged = bytearray((run_folder / "images" / "scene1.png").read_bytes())
    damaged[damaged.rindex(b"IDAT")] = 0  # Pillow calls it a SyntaxError
    (run_folder / "images" / "scene1.png").write_bytes(damaged)
    with pytest.raises(DataError, match=r"scene1\.png: cannot read this image \(broken PNG file"):
        draw_predictions(run_folder / "predictions.jsonl", run_folder / "val.truth.json", run_folder / "out")
    (run_folder / "images" / "scene1.png").unlink()
    with pytest.raises(DataError, match=r"scene1\.png: cannot read this image"):
        draw_predictions(run_folder / "predictions.jsonl", run_folder / "val.truth.json", run_folder / "out")


def test_predictions_of_other_images_are_refused_or_said(
    run_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = (TruthImage(1, "images/scene0.png", (64, 48)),)
    write_truth(run_folder / "one.truth.json", Truth(images, (), (Category(1, "猫"),)))
    with caplog.at_level(logging.WARNING):
        report = draw_predictions(
            run_folder / "predictions.jsonl", run_folder / "one.truth.json", run_folder / "out"
        )
    assert len(report.pictures) == 1
    assert "left out 2 predictions" in caplog.text
    write_truth(run_folder / "none.truth.json", Truth((), (), ()))
    with pytest.raises(DataError, match="no image in common"):
        draw_predictions(run_folder / "predictions.jsonl", run_folder / "none.truth.json", run_folder / "out")


def test_no_image_outside_the_folder_is_read(run_folder: Path) -> None:
    name = "../secret.png"
    write_truth(run_folder / "bad.truth.json", Truth((TruthImage(1, name, (64, 48)),), (), ()))
    with PredictionSink(run_folder / "bad.jsonl") as sink:
        sink.write(Prediction(0, name, (64, 48), "", "", "ok"))
    with pytest.raises(RecordError, match="leads out of its folder"):
        draw_predictions(run_folder / "bad.jsonl", run_folder / "bad.truth.json", run_folder / "out")


@pytest.mark.parametrize(
    ("name", "picture_format"), [("boxes.png", "PNG"), ("boxes.JPG", "JPEG"), ("a/b.webp", "WEBP")]
)
def test_one_grounding_is_drawn_in_the_format_of_its_name(
    run_folder: Path, name: str, picture_format: str
) -> None:
    region = Region("猫", (6.0, 6.0, 30.0, 30.0))
    draw_grounding(run_folder / "images" / "scene0.png", [region], run_folder / name)
    with Image.open(run_folder / name) as picture:
        assert (picture.format, picture.size) == (picture_format, (480, 360))
        red, green, blue = picture.convert("RGB").getpixel((120, 224))  # the bottom edge of the box
        assert (red, green, blue) == pytest.approx(label_color("猫"), abs=40)


def test_a_name_of_no_picture_is_refused(run_folder: Path) -> None:
    with pytest.raises(DataError, match=r"boxes\.txt: not a picture's name; let it end in \.png"):
        draw_grounding(run_folder / "images" / "scene0.png", [], run_folder / "boxes.txt")
    assert not (run_folder / "boxes.txt").exists()
