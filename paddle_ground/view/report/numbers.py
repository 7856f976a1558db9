"""What the report says in numbers: headline, mistakes, curves, classes, confusion.

Takes metrics of one model, or of two on the same images, gives plain values. Knows no pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paddle_ground.evaluate.compare import Comparison
from paddle_ground.evaluate.curves import Curve
from paddle_ground.evaluate.detection import ClassMetrics, DetectionMetrics
from paddle_ground.evaluate.intervals import Interval
from paddle_ground.evaluate.rates import ConfusionCell

CURVE_CLASSES = 100
"""So many classes, those with most true boxes, have a curve to choose."""
CURVE_POINTS = 101
CONFUSION_CLASSES = 20
CONFUSION_PAIRS = 30


@dataclass(frozen=True, slots=True)
class Measured:
    """One model on the truth.

    Attributes:
        name: Of its predictions file.
        metrics: All of them.
        mistakes: Kind -> how many boxes, as `count_mistakes` gives it.
        gains: Kind -> what AP at the report's threshold would gain without it, by `mending_gains`.
        unparsed: Images whose answer could not be read, or that have none.
    """

    name: str
    metrics: DetectionMetrics
    mistakes: dict[str, int]
    gains: dict[str, float]
    unparsed: int


def numbers(
    after: Measured, before: Measured | None, intervals: Sequence[Interval], comparison: Comparison | None
) -> dict[str, Any]:
    """Give all that the page shows but for its gallery.

    Args:
        after: The model that the report is about.
        before: Another one on the same images, or None.
        intervals: Of `after`.
        comparison: From `before` to `after`; None without one.
    """
    metrics = after.metrics
    return {
        "names": {"after": after.name, "before": before.name if before else None},
        "iou": metrics.iou_threshold,
        "scored": metrics.scored,
        "best": _rounded(metrics.best_threshold),
        "images": metrics.images,
        "truthBoxes": metrics.truth_boxes,
        "headline": _headline(intervals, comparison),
        "details": _details(metrics, before.metrics if before else None),
        "mistakes": {
            "after": after.mistakes, "before": before.mistakes if before else None,
            "gains": [_gains(after), _gains(before) if before else None],
            "unparsed": [after.unparsed, before.unparsed if before else None],
        },
        "curves": _curves(metrics.curves),
        "curveBefore": _curve(before.metrics.curves[0]) if before else None,
        "classes": _classes(metrics.classes, before.metrics.classes if before else ()),
        "confusion": _confusion(metrics.confusion),
    }  # fmt: skip


def _gains(measured: Measured) -> dict[str, float | None]:
    return {kind: _rounded(gain) for kind, gain in measured.gains.items()}


def _headline(intervals: Sequence[Interval], comparison: Comparison | None) -> list[dict[str, Any]]:
    """Give one row a metric: its value and interval, and where there is a second model the change's."""
    rows = []
    changes = {one.name: one for one in comparison.differences} if comparison else {}
    for one in intervals:
        row: dict[str, Any] = {
            "name": one.name, "value": _rounded(one.value), "low": _rounded(one.low),
            "high": _rounded(one.high),
        }  # fmt: skip
        if one.name in changes:
            change = changes[one.name]
            row["before"] = _rounded(change.a)
            row["change"] = [_rounded(v) for v in (change.difference, change.low, change.high)]
        rows.append(row)
    return rows


# Field of `DetectionMetrics` or its `rates` -> words, unit ("%", "n": a count, "x": a plain number).
_DETAILS = (
    ("ap75", "AP75", "%"), ("ap_small", "AP, small objects (under 32² px)", "%"),
    ("ap_medium", "AP, medium objects", "%"), ("ap_large", "AP, large objects (over 96² px)", "%"),
    ("ar_1", "AR, 1 box an image", "%"), ("ar_10", "AR, 10 boxes", "%"), ("ar_100", "AR, 100 boxes", "%"),
    ("ap_constant", "AP with constant scores", "%"), ("best_threshold", "Threshold of the best F1", "x"),
    ("best_f1", "F1 there", "%"), ("repaired_rate", "Answers read after repair", "%"),
    ("errors", "Answers that failed with an error", "n"), ("missing_images", "Images without an answer", "n"),
    ("truth_boxes", "True boxes", "n"), ("predicted_boxes", "Predicted boxes", "n"),
    ("true_positives", "Found (true positives)", "n"), ("false_positives", "Wrong (false positives)", "n"),
    ("false_negatives", "Not found (false negatives)", "n"), ("ignored_boxes", "Ignored, in a crowd", "n"),
    ("unknown_label_boxes", "Boxes of unknown names", "n"),
    ("count_error_abs", "Count error, per image", "x"),
    ("duplicate_rate", "Duplicates", "%"), ("hallucination_rate", "Empty images that got a box", "%"),
    ("referring_acc_50", "Referring Acc@0.5", "%"), ("referring_mean_iou", "Referring mean IoU", "%"),
)  # fmt: skip


def _details(after: DetectionMetrics, before: DetectionMetrics | None) -> list[list[Any]]:
    """Give rows of words, unit, value, value before."""
    return [
        [words, unit, _rounded(_value(after, name)), _rounded(_value(before, name)) if before else None]
        for name, words, unit in _DETAILS
    ]


def _value(metrics: DetectionMetrics, name: str) -> float | None:
    holder = metrics if hasattr(metrics, name) else metrics.rates
    value: float | None = getattr(holder, name)
    return value


def _curves(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    pooled, *classes = curves
    classes.sort(key=lambda one: (-one.truth_boxes, one.name))
    return [_curve(one) for one in (pooled, *classes[:CURVE_CLASSES])]


def _curve(curve: Curve) -> dict[str, Any]:
    n = len(curve.thresholds)
    rows = list(range(n))
    if n > CURVE_POINTS:
        rows = sorted(
            {round(i * (n - 1) / (CURVE_POINTS - 1)) for i in range(CURVE_POINTS)}
            | {curve.f1.index(max(curve.f1))}
        )
    return {
        "name": curve.name,
        "boxes": curve.truth_boxes,
        "best": _rounded(curve.best_threshold),
        **{
            key: [_rounded(values[row]) for row in rows]
            for key, values in (
                ("t", curve.thresholds), ("p", curve.precision), ("r", curve.recall), ("f", curve.f1),
            )
        },
    }  # fmt: skip


def _classes(after: Sequence[ClassMetrics], before: Sequence[ClassMetrics]) -> list[list[Any]]:
    """Give rows of name, AP, AP before, AP50, precision, recall, F1, true boxes, predicted boxes."""
    aps = {one.name: one.ap for one in before}
    return [
        [
            one.name, _rounded(one.ap), _rounded(aps.get(one.name)),
            *map(_rounded, (one.ap50, one.precision_50, one.recall_50, one.f1_50)),
            one.truth_boxes, one.predicted_boxes,
        ]
        for one in after
    ]  # fmt: skip


def _confusion(cells: Sequence[ConfusionCell]) -> dict[str, Any]:
    """Give a matrix of the classes that are mistaken most, and the pairs that are."""
    weight: dict[str, int] = {}
    for cell in cells:
        # Those that are mixed up come first, then those that occur often.
        mixed = cell.truth is not None and cell.predicted is not None and cell.truth != cell.predicted
        for name in {cell.truth, cell.predicted} - {None}:
            weight[str(name)] = weight.get(str(name), 0) + cell.count * (1000 if mixed else 1)
    names = sorted(sorted(weight, key=lambda name: (-weight[name], name))[:CONFUSION_CLASSES])
    mistaken = sorted(
        (cell for cell in cells if cell.truth != cell.predicted),
        key=lambda cell: (-cell.count, cell.truth or "", cell.predicted or ""),
    )
    return {
        "names": names,
        "all": len(weight),
        "cells": [
            [one.truth, one.predicted, one.count]
            for one in cells
            if {one.truth, one.predicted} <= {None, *names}
        ],
        "pairs": [[one.truth, one.predicted, one.count] for one in mistaken[:CONFUSION_PAIRS]],
    }


def _rounded(value: float | None) -> float | None:
    """Shorten a number: a page of five thousand images is made of them."""
    return None if value is None else round(value, 4)
