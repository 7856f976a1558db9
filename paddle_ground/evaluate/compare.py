"""Two models on the same images: differences with intervals, and the images that changed.

Takes two predictions files and a truth, gives a `Comparison` and compare.json. Knows no model.
Intervals are percentiles of a paired bootstrap over images (Efron and Tibshirani, 1993): both models
are always scored on the same drawn images, so that easy and hard images cancel out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from paddle_ground.boxes import FloatArray
from paddle_ground.errors import EvaluationError
from paddle_ground.evaluate.pairing import ImageCase, TruthEntries, pair_up
from paddle_ground.evaluate.resampling import NAMES, MatchTable, check_drawing
from paddle_ground.files import write_text
from paddle_ground.records import Prediction, Truth, read_predictions, read_truth

COMPARE_NAME = "compare.json"
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of both models; all 0..1.

    Attributes:
        name: As in `DetectionMetrics`: "ap", "ap50", "precision", "recall", "f1" (at the threshold that
            was asked for), "f1_miou", "mean_iou" (of the hits), "parse_rate".
        a: The first model's.
        b: The second model's.
        difference: b - a.
        low: Lower end of the interval of the difference.
        high: Its upper end.
    """

    name: str
    a: float
    b: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ImageChange:
    """One measure of one image (or question about it) under both models, 0..1."""

    image: str
    a: float
    b: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both models side by side.

    Attributes:
        differences: One a metric.
        better: Images whose F1 is higher under b, largest gain first. Without anything to find, an empty
            answer has 1 and any other 0.
        worse: Those where it is lower, largest loss first.
        images: How many were compared.
        confidence: Share of the bootstrap inside each interval.
        resamples: How often images were drawn.
        seed: Of the drawing.
        better_iou: As `better`, by the mean over the true boxes of the IoU of what found them, 0 for those
            that were missed.
        worse_iou: As `worse`, by the same.
    """

    differences: tuple[Difference, ...]
    better: tuple[ImageChange, ...]
    worse: tuple[ImageChange, ...]
    images: int
    confidence: float
    resamples: int
    seed: int
    better_iou: tuple[ImageChange, ...] = ()
    worse_iou: tuple[ImageChange, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Give what `compare.json` holds."""
        return asdict(self)


def compare(
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    truth: Truth,
    iou_threshold: float = 0.5,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = 0.95,
) -> Comparison:
    """Compare two models' predictions for one truth; an image without a prediction counts as missed.

    Args:
        a: The first model's predictions.
        b: The second model's.
        truth: Of both.
        iou_threshold: For precision, recall, F1, mean IoU and the changed images.
        resamples: How often as many images as there are get drawn, with replacement.
        seed: Of the drawing; the same seed gives the same intervals.
        confidence: Share of the differences drawn that lies inside the intervals, above 0, below 1.

    Raises:
        EvaluationError: The truth has no image, `resamples` or `confidence` is out of range, or see
            `evaluate_detection`.
    """
    check_drawing(len(truth.images), resamples, confidence)  # before the work
    tables = match_table(a, truth, iou_threshold), match_table(b, truth, iou_threshold)
    return compare_tables(*tables, truth, resamples, seed, confidence)


def compare_tables(
    a: MatchTable,
    b: MatchTable,
    truth: Truth,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = 0.95,
) -> Comparison:
    """Do what `compare` does, from what was matched already."""
    n = len(truth.images)
    check_drawing(n, resamples, confidence)
    tables = (a, b)
    drawn = b.measure_drawings(resamples, seed) - a.measure_drawings(resamples, seed)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(drawn, [tail, 100 - tail], axis=0)
    whole_a, whole_b = (table.measure(np.ones((1, n)))[0] for table in tables)
    differences = tuple(
        Difference(name, *(float(v[k]) for v in (whole_a, whole_b, whole_b - whole_a, low, high)))
        for k, name in enumerate(NAMES)
    )
    names = [_name(image.file_name, image.prompt) for image in sorted(truth.images, key=lambda i: i.id)]
    better, worse = _changes(names, *(_image_f1(table.rows) for table in tables))
    better_iou, worse_iou = _changes(names, *(_image_overlap(table.rows) for table in tables))
    return Comparison(
        differences, better, worse, n, confidence, resamples, seed, better_iou, worse_iou
    )  # fmt: skip


def compare_files(
    a_path: str | os.PathLike[str],
    b_path: str | os.PathLike[str],
    truth_path: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    iou_threshold: float = 0.5,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two predictions files and write `compare.json` into a folder.

    Raises:
        RecordError: A file can't be read.
        EvaluationError: See `compare`.
        DataError: The folder can't be written.
    """
    a, b = list(read_predictions(a_path)), list(read_predictions(b_path))
    try:
        comparison = compare(a, b, read_truth(truth_path), iou_threshold, resamples, seed)
    except EvaluationError as error:
        raise EvaluationError(
            f"{os.fspath(a_path)} and {os.fspath(b_path)} against {os.fspath(truth_path)}: {error}"
        ) from error
    text = json.dumps(comparison.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(Path(output_dir) / COMPARE_NAME, text + "\n")
    return comparison


def render_comparison(comparison: Comparison, most: int = 5) -> str:
    """Lay out the differences in percent and the `most` changed images each way, as plain text."""
    lines = [f"{'':10}{'A':>8}{'B':>8}{'B-A':>8}   {100 * comparison.confidence:.0f} % interval"]
    for one in comparison.differences:
        a, b, difference, low, high = (100 * v for v in (one.a, one.b, one.difference, one.low, one.high))
        lines.append(f"{one.name:10}{a:8.1f}{b:8.1f}{difference:+8.1f}   {low:+.1f} ... {high:+.1f}")
    lines.append(f"(paired bootstrap over {comparison.images} images, {comparison.resamples} drawings)")
    for measure, title, changes in (
        ("F1", "better", comparison.better), ("F1", "worse", comparison.worse),
        ("IoU", "better", comparison.better_iou), ("IoU", "worse", comparison.worse_iou),
    ):  # fmt: skip
        lines.append(f"{title} by {measure}: {len(changes)} of {comparison.images} images")
        lines += [
            f"  {one.image}  {measure} {100 * one.a:.1f} -> {100 * one.b:.1f}" for one in changes[:most]
        ]
    return "\n".join(lines)


def match_table(
    found: Sequence[Prediction],
    truth: Truth,
    iou_threshold: float,
    cases: Sequence[ImageCase] | None = None,
) -> MatchTable:
    """Match one model's boxes, for any drawing of images to be scored; `cases` as in `evaluate_detection`."""
    cases = pair_up(found, truth) if cases is None else cases
    rows = {case.image_id: row for row, case in enumerate(cases)}
    entries = TruthEntries(truth.images)
    answers = np.zeros((len(cases), 2))
    for prediction in found:
        image = entries.find(prediction.image, prediction.prompt)
        if image is not None:  # pair_up saw to it
            answers[rows[image.id]] += (prediction.status in ("ok", "repaired"), 1)
    return MatchTable(cases, answers, truth, iou_threshold)


def _name(file_name: str, prompt: str) -> str:
    return f"{file_name} ({prompt})" if prompt else file_name


def _image_f1(rows: FloatArray) -> FloatArray:
    hits, wrong, missed, _ = rows.T
    whole = 2 * hits + wrong + missed
    f1: FloatArray = np.where(whole > 0, 2 * hits / np.maximum(whole, 1), 1.0)
    return f1


def _image_overlap(rows: FloatArray) -> FloatArray:
    hits, wrong, missed, ious = rows.T
    to_find = hits + missed
    mean: FloatArray = np.where(to_find > 0, ious / np.maximum(to_find, 1), wrong == 0)
    return mean


def _changes(
    names: Sequence[str], a: FloatArray, b: FloatArray
) -> tuple[tuple[ImageChange, ...], tuple[ImageChange, ...]]:
    """Give the images that got better and those that got worse, largest change first."""
    changes = [ImageChange(name, float(x), float(y)) for name, x, y in zip(names, a, b, strict=True)]
    better = sorted((one for one in changes if one.b > one.a), key=lambda one: (one.a - one.b, one.image))
    worse = sorted((one for one in changes if one.b < one.a), key=lambda one: (one.b - one.a, one.image))
    return tuple(better), tuple(worse)
