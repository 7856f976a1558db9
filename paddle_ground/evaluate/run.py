"""The stage as a whole: two files in, metrics.json out.

Takes paths, gives `DetectionMetrics` and writes them. Knows no model and no picture.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from paddle_ground.errors import EvaluationError
from paddle_ground.evaluate.detection import DetectionMetrics, evaluate_detection
from paddle_ground.evaluate.pairing import truth_about
from paddle_ground.files import write_text
from paddle_ground.records import read_predictions, read_truth

_log = logging.getLogger(__name__)

METRICS_NAME = "metrics.json"


def evaluate_files(
    predictions_path: str | os.PathLike[str],
    truth_path: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    iou_threshold: float = 0.5,
    only_predicted: bool = False,
) -> DetectionMetrics:
    """Score a predictions file and write `metrics.json` into a folder.

    Args:
        predictions_path: predictions.jsonl.
        truth_path: The truth.json of the samples that were predicted.
        output_dir: Made if need be.
        iou_threshold: See `evaluate_detection`.
        only_predicted: Leave out images without a prediction.

    Returns:
        The metrics that were written. Images without a prediction count as missed unless they are left
        out, and a warning names how many there are.

    Raises:
        RecordError: One of the files can't be read.
        EvaluationError: They don't belong together, or there is no prediction at all.
        MissingExtraError: faster-coco-eval is not installed.
        DataError: The folder can't be written.
    """
    truth = read_truth(truth_path)
    predictions = list(read_predictions(predictions_path))
    if not predictions:
        raise EvaluationError(
            f"{os.fspath(predictions_path)}: no predictions in it; run `paddle-ground predict`"
        )
    if only_predicted:
        truth = truth_about(truth, ((one.image, one.prompt) for one in predictions))
    try:
        metrics = evaluate_detection(predictions, truth, iou_threshold)
    except EvaluationError as error:
        raise EvaluationError(
            f"{os.fspath(predictions_path)} against {os.fspath(truth_path)}: {error}"
        ) from error
    if metrics.missing_images:
        _log.warning(
            "%s: %d of %d images have no prediction; their boxes count as missed",
            os.fspath(predictions_path), metrics.missing_images, metrics.images,
        )  # fmt: skip
    text = json.dumps(metrics.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(Path(output_dir) / METRICS_NAME, text + "\n")
    return metrics
