"""Precision and recall against the score threshold, and their pictures.

Takes predictions and a truth, gives `Curve`s and PNGs. Knows no average precision: these are the plain
points, not COCO's envelope. Matching takes the surest box first, so leaving out the boxes below a
threshold changes nothing above it, and one matching gives all points.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paddle_ground.evaluate.pairing import ImageCase, pair_up
from paddle_ground.evaluate.tally import match_case, score_of, share
from paddle_ground.files import atomic_writer
from paddle_ground.records import Prediction, Truth


@dataclass(frozen=True, slots=True)
class Curve:
    """One class, or all pooled (name "all"); K points, highest threshold first, 0..1.

    Attributes:
        name: Of the class.
        thresholds: Scores from which on a box is kept.
        precision: At each.
        recall: At each.
        f1: At each.
        best_threshold: That of the highest F1, the highest such; None without a point.
    """

    name: str
    thresholds: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]
    best_threshold: float | None


def detection_curves(
    predictions: Sequence[Prediction], truth: Truth, iou_threshold: float = 0.5
) -> tuple[Curve, ...]:
    """Give the pooled curve, then one a class that has a true box.

    Raises:
        EvaluationError: See `evaluate_detection`.
    """
    cases = pair_up(predictions, truth)
    marks: dict[int | None, list[tuple[float, bool]]] = {}
    for case in cases:
        for category_id in case.category_ids():
            marks.setdefault(category_id, []).extend(_marks(category_id, case, iou_threshold))
    to_find = [box.category_id for box in truth.annotations if not box.is_crowd]
    pooled = [mark for some in marks.values() for mark in some]
    classes = [
        _curve(one.name, marks[one.id], to_find.count(one.id))
        for one in truth.categories
        if one.id in to_find
    ]
    return (_curve("all", pooled, len(to_find)), *classes)


def draw_curves(curves: Sequence[Curve], output_dir: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write `precision_recall.png` and `f1_threshold.png`, each whole or not at all.

    Raises:
        DataError: The folder can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    paths = Path(output_dir) / "precision_recall.png", Path(output_dir) / "f1_threshold.png"
    for path, labels in zip(paths, (("recall", "precision"), ("score threshold", "F1")), strict=True):
        figure = Figure(figsize=(5, 4), dpi=120)
        axes = figure.add_subplot(xlabel=labels[0], ylabel=labels[1], xlim=(0, 1.02), ylim=(0, 1.02))
        for curve in curves[::-1]:
            points = (curve.recall, curve.precision) if path is paths[0] else (curve.thresholds, curve.f1)
            axes.plot(*points, color="black" if curve is curves[0] else "lightgray", lw=1.2)
        with atomic_writer(path, binary=True) as stream:
            FigureCanvasAgg(figure)
            figure.savefig(stream, format="png")
    return paths


def _marks(category_id: int | None, case: ImageCase, iou_threshold: float) -> list[tuple[float, bool]]:
    scores = [score_of(region.score) for known, region in case.regions if known == category_id]
    matches = match_case(category_id, case, iou_threshold)
    hits = [(scores[pair.predicted], True) for pair in matches.pairs]
    return hits + [(scores[row], False) for row in matches.unmatched]


def _curve(name: str, marks: Sequence[tuple[float, bool]], to_find: int) -> Curve:
    points: dict[float, tuple[int, int]] = {}
    hits = 0
    for kept, (score, hit) in enumerate(sorted(marks, reverse=True), start=1):
        hits += hit
        points[score] = (hits, kept)  # boxes of one score come and go together
    f1 = tuple(share(2 * hits, kept + to_find) for hits, kept in points.values())
    return Curve(
        name,
        tuple(points),
        tuple(hits / kept for hits, kept in points.values()),
        tuple(share(hits, to_find) for hits, _ in points.values()),
        f1,
        list(points)[f1.index(max(f1))] if f1 else None,
    )
