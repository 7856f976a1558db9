"""The evaluation stage on files."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from paddle_ground.cli import main
from paddle_ground.errors import EvaluationError, RecordError
from paddle_ground.evaluate import evaluate_files
from paddle_ground.records import Prediction, PredictionSink

WriteRun = Callable[..., Path]
BOX = (0.0, 0.0, 20.0, 20.0)
NAMES = ("images/a.png", "images/b.png")


@pytest.fixture
def whole(tmp_path: Path, write_run: WriteRun) -> Path:
    """Two images with a box each, both found."""
    return write_run(tmp_path, NAMES, [[BOX]] * 2, [[BOX]] * 2)


@pytest.fixture
def half(tmp_path: Path, write_run: WriteRun) -> Path:
    """The same, the second image not answered."""
    return write_run(tmp_path, NAMES, [[BOX]] * 2, [[BOX], None])


def test_metrics_are_written(tmp_path: Path, whole: Path) -> None:
    metrics = evaluate_files(whole / "predictions.jsonl", whole / "val.truth.json", tmp_path / "report")
    assert metrics.f1_50 == 1.0
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["metrics.json"]
    document = json.loads((tmp_path / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert document == json.loads(json.dumps(metrics.to_json()))
    assert document["classes"][0]["name"] == "猫"


def test_unanswered_images_are_said(tmp_path: Path, half: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        metrics = evaluate_files(half / "predictions.jsonl", half / "val.truth.json", tmp_path)
    assert (metrics.recall_50, metrics.missing_images) == (0.5, 1)
    assert "1 of 2 images have no prediction" in caplog.text


def test_unanswered_images_are_left_out_when_asked(tmp_path: Path, half: Path) -> None:
    predictions, truth = half / "predictions.jsonl", half / "val.truth.json"
    metrics = evaluate_files(predictions, truth, tmp_path, only_predicted=True)
    assert (metrics.recall_50, metrics.missing_images, metrics.images, metrics.truth_boxes) == (1, 0, 1, 1)
    assert run_cli("eval", predictions, truth, "--only-predicted", "-o", tmp_path / "told") == 0
    assert json.loads((tmp_path / "told/metrics.json").read_text())["images"] == 1
    assert run_cli("eval", predictions, predictions, truth, "--compare", "--only-predicted") == 2


@pytest.mark.parametrize("iou", [50, 0, -0.5, float("nan")])
def test_a_threshold_that_is_no_overlap_is_refused(tmp_path: Path, whole: Path, iou: float) -> None:
    with pytest.raises(EvaluationError, match=r"IoU threshold \S+: expected above 0 and up to 1"):
        evaluate_files(whole / "predictions.jsonl", whole / "val.truth.json", tmp_path / "report", iou)
    assert not (tmp_path / "report").exists()


def run_cli(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


def test_a_mismatch_names_both_files_and_writes_nothing(tmp_path: Path, half: Path) -> None:
    predictions = half / "predictions.jsonl"
    with PredictionSink(predictions) as sink:
        sink.write(Prediction(1, "images/elsewhere.png", (64, 48), "", "", "ok"))
    with pytest.raises(
        EvaluationError, match=r"predictions\.jsonl against .*val\.truth\.json: 1 of 2.*elsewhere"
    ):
        evaluate_files(predictions, half / "val.truth.json", tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_empty_and_missing_files_are_refused(tmp_path: Path, whole: Path) -> None:
    truth_path = whole / "val.truth.json"
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(EvaluationError, match=r"empty\.jsonl: no predictions in it"):
        evaluate_files(empty, truth_path, tmp_path)
    with pytest.raises(RecordError, match=r"nowhere\.jsonl"):
        evaluate_files(tmp_path / "nowhere.jsonl", truth_path, tmp_path)
