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
from paddle_ground.evaluate.pairing import pair_up
from paddle_ground.evaluate.tally import count
from paddle_ground.files import write_text
from paddle_ground.records import Prediction, Truth, read_predictions, read_truth

COMPARE_NAME = "compare.json"


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of both models; all 0..1.

    Attributes:
        name: "precision", "recall", "f1" or "mean_iou", all boxes pooled.
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
    """F1 of one image under both models; 1.0 for an empty answer where there is nothing to find."""

    image: str
    a: float
    b: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both models side by side.

    Attributes:
        differences: One a metric.
        better: Images whose F1 is higher under b, largest gain first.
        worse: Those where it is lower, largest loss first.
        images: How many were compared.
        confidence: Share of the bootstrap inside each interval.
        resamples: How often images were drawn.
        seed: Of the drawing.
    """

    differences: tuple[Difference, ...]
    better: tuple[ImageChange, ...]
    worse: tuple[ImageChange, ...]
    images: int
    confidence: float
    resamples: int
    seed: int

    def to_json(self) -> dict[str, object]:
        """Give what `compare.json` holds."""
        return asdict(self)


def compare(
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    truth: Truth,
    iou_threshold: float = 0.5,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Comparison:
    """Compare two models' predictions for one truth; an image without a prediction counts as missed.

    Raises:
        EvaluationError: The truth has no image, or see `evaluate_detection`.
    """
    if not truth.images:
        raise EvaluationError("the truth has no image; give the truth.json that was predicted")
    rows_a, rows_b = (_by_image(found, truth, iou_threshold) for found in (a, b))
    n = len(truth.images)
    draws = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        rows = draws.integers(0, n, n)
        drawn.append(_metrics(rows_b[rows].sum(axis=0)) - _metrics(rows_a[rows].sum(axis=0)))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(np.stack(drawn), [tail, 100 - tail], axis=0)
    whole_a, whole_b = _metrics(rows_a.sum(axis=0)), _metrics(rows_b.sum(axis=0))
    differences = tuple(
        Difference(name, *(float(v[k]) for v in (whole_a, whole_b, whole_b - whole_a, low, high)))
        for k, name in enumerate(("precision", "recall", "f1", "mean_iou"))
    )
    names = {image.id: image.file_name for image in truth.images}
    changes = [
        ImageChange(names[image_id], _image_f1(row_a), _image_f1(row_b))
        for image_id, row_a, row_b in zip(sorted(names), rows_a, rows_b, strict=True)
    ]
    changes.sort(key=lambda one: (one.a - one.b, one.image))
    worse = sorted((one for one in changes if one.b < one.a), key=lambda one: (one.b - one.a, one.image))
    better = tuple(one for one in changes if one.b > one.a)
    return Comparison(differences, better, tuple(worse), n, confidence, resamples, seed)


def compare_files(
    a_path: str | os.PathLike[str],
    b_path: str | os.PathLike[str],
    truth_path: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    iou_threshold: float = 0.5,
) -> Comparison:
    """Compare two predictions files and write `compare.json` into a folder.

    Raises:
        RecordError: A file can't be read.
        EvaluationError: See `compare`.
        DataError: The folder can't be written.
    """
    a, b = list(read_predictions(a_path)), list(read_predictions(b_path))
    comparison = compare(a, b, read_truth(truth_path), iou_threshold)
    text = json.dumps(comparison.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(Path(output_dir) / COMPARE_NAME, text + "\n")
    return comparison


def render_comparison(comparison: Comparison, most: int = 5) -> str:
    """Lay out the differences in percent and the `most` changed images each way, as plain text."""
    lines = [f"{'':10}{'A':>8}{'B':>8}{'B-A':>8}   {100 * comparison.confidence:.0f} % interval"]
    for one in comparison.differences:
        a, b, difference, low, high = (100 * v for v in (one.a, one.b, one.difference, one.low, one.high))
        lines.append(f"{one.name:10}{a:8.1f}{b:8.1f}{difference:+8.1f}   {low:+.1f} ... {high:+.1f}")
    for title, changes in (("better", comparison.better), ("worse", comparison.worse)):
        lines.append(f"{title}: {len(changes)} of {comparison.images} images")
        lines += [f"  {one.image}  F1 {100 * one.a:.1f} -> {100 * one.b:.1f}" for one in changes[:most]]
    return "\n".join(lines)


def _by_image(found: Sequence[Prediction], truth: Truth, iou_threshold: float) -> FloatArray:
    """Give hits, wrong, missed and the hits' summed IoU, one row an image, by image id."""
    rows = []
    for case in pair_up(found, truth):
        tally = count([case], iou_threshold)
        counts = tally.by_category.values()
        rows.append((
            float(sum(one.hits for one in counts)), float(sum(one.wrong for one in counts)),
            float(sum(one.missed for one in counts)), tally.iou_sum,
        ))  # fmt: skip
    return np.asarray(rows, dtype=np.float64)


def _metrics(sums: FloatArray) -> FloatArray:
    hits, wrong, missed, iou = sums.tolist()
    return np.asarray([
        hits / max(hits + wrong, 1), hits / max(hits + missed, 1),
        2 * hits / max(2 * hits + wrong + missed, 1), iou / max(hits, 1),
    ])  # fmt: skip


def _image_f1(row: FloatArray) -> float:
    hits, wrong, missed, _ = row.tolist()
    return 2 * hits / (2 * hits + wrong + missed) if hits + wrong + missed else 1.0
