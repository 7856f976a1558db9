"""The evaluation stage on files."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from paddle_ground.errors import EvaluationError, RecordError
from paddle_ground.evaluate import evaluate_files
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


@pytest.fixture
def truth_path(tmp_path: Path) -> Path:
    images = (TruthImage(1, "images/a.png", (64, 48)), TruthImage(2, "images/b.png", (64, 48)))
    boxes = (
        TruthBox(1, 1, 1, (0.0, 0.0, 20.0, 20.0), 400.0),
        TruthBox(2, 2, 1, (0.0, 0.0, 20.0, 20.0), 400.0),
    )
    path = tmp_path / "val.truth.json"
    write_truth(path, Truth(images, boxes, (Category(1, "猫"),)))
    return path


def write_predictions(path: Path, *images: str) -> Path:
    with PredictionSink(path) as sink:
        for index, image in enumerate(images):
            region = Region("猫", (0.0, 0.0, 20.0, 20.0))
            sink.write(Prediction(index, image, (64, 48), "", "", "ok", regions=(region,)))
    return path


def test_metrics_are_written(tmp_path: Path, truth_path: Path) -> None:
    predictions = write_predictions(tmp_path / "predictions.jsonl", "images/a.png", "images/b.png")
    metrics = evaluate_files(predictions, truth_path, tmp_path / "report")
    assert metrics.f1_50 == 1.0
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["metrics.json"]
    document = json.loads((tmp_path / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert document == json.loads(json.dumps(metrics.to_json()))
    assert document["classes"][0]["name"] == "猫"


def test_unanswered_images_are_said(
    tmp_path: Path, truth_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    predictions = write_predictions(tmp_path / "predictions.jsonl", "images/a.png")
    with caplog.at_level(logging.WARNING):
        metrics = evaluate_files(predictions, truth_path, tmp_path)
    assert (metrics.recall_50, metrics.missing_images) == (0.5, 1)
    assert "1 of 2 images have no prediction" in caplog.text


def test_a_mismatch_names_both_files_and_writes_nothing(tmp_path: Path, truth_path: Path) -> None:
    predictions = write_predictions(tmp_path / "predictions.jsonl", "images/a.png", "images/elsewhere.png")
    with pytest.raises(
        EvaluationError, match=r"predictions\.jsonl against .*val\.truth\.json: 1 of 2.*elsewhere"
    ):
        evaluate_files(predictions, truth_path, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_empty_and_missing_files_are_refused(tmp_path: Path, truth_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(EvaluationError, match=r"empty\.jsonl: no predictions in it"):
        evaluate_files(empty, truth_path, tmp_path)
    with pytest.raises(RecordError, match=r"nowhere\.jsonl"):
        evaluate_files(tmp_path / "nowhere.jsonl", truth_path, tmp_path)
