"""Precision and recall against the score threshold.

Takes predictions and a truth, gives `Curve`s. Knows no average precision: these are the plain
points; `Curve.precision_at` gives COCO's envelope over them. Matching takes the surest box first, so
leaving out the boxes below a threshold changes nothing above it, and one matching gives all points.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from paddle_ground.evaluate.pairing import ImageCase, pair_up
from paddle_ground.evaluate.tally import match_case, score_of, share
from paddle_ground.records import Prediction, Truth

MOST_POINTS = 201
"""A curve in metrics.json has at most so many points; a picture shows no more."""


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
        truth_boxes: How many there were to find, crowds left out.
    """

    name: str
    thresholds: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]
    best_threshold: float | None
    truth_boxes: int = 0

    def precision_at(self, recall: float) -> float:
        """Give the highest precision at this recall or more, as COCO's AP averages it; 0 beyond the end.

        Equal to COCO's where no two boxes of the class have one score.
        """
        first = bisect.bisect_left(self.recall, recall)
        return max(self.precision[first:], default=0.0)

    def to_json(self) -> dict[str, object]:
        """Give what `metrics.json` holds: at most `MOST_POINTS` points, both ends and the best among them."""
        n = len(self.thresholds)
        kept = set(range(n))
        if n > MOST_POINTS:
            kept = {round(i * (n - 1) / (MOST_POINTS - 2)) for i in range(MOST_POINTS - 1)}
            kept.add(self.f1.index(max(self.f1)))
        rows = sorted(kept)
        return {
            "name": self.name,
            "truth_boxes": self.truth_boxes,
            "points": n,
            "best_threshold": self.best_threshold,
            "thresholds": [self.thresholds[row] for row in rows],
            "precision": [self.precision[row] for row in rows],
            "recall": [self.recall[row] for row in rows],
            "f1": [self.f1[row] for row in rows],
        }


def detection_curves(
    predictions: Sequence[Prediction], truth: Truth, iou_threshold: float = 0.5
) -> tuple[Curve, ...]:
    """Give the pooled curve, then one a class that has a true box.

    Raises:
        EvaluationError: See `evaluate_detection`.
    """
    return case_curves(pair_up(predictions, truth), truth, iou_threshold)


def case_curves(cases: Sequence[ImageCase], truth: Truth, iou_threshold: float) -> tuple[Curve, ...]:
    """Do what `detection_curves` does, from what was paired up already."""
    marks: dict[int | None, list[tuple[float, bool]]] = {}
    for case in cases:
        for category_id in case.category_ids():
            marks.setdefault(category_id, []).extend(_marks(category_id, case, iou_threshold))
    to_find = [box.category_id for box in truth.annotations if not box.is_crowd]
    pooled = [mark for some in marks.values() for mark in some]
    classes = [
        _curve(one.name, marks.get(one.id, []), to_find.count(one.id))
        for one in truth.categories
        if one.id in to_find
    ]
    return (_curve("all", pooled, len(to_find)), *classes)


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
        to_find,
    )
