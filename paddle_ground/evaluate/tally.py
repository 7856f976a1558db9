"""Hits, false and missed boxes, counted over images by category.

Takes `ImageCase`s, gives counts at one IoU threshold. Knows no files and no averages over thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paddle_ground.evaluate.matching import Matches, match_at_thresholds
from paddle_ground.evaluate.pairing import ImageCase

UNSCORED = 1.0
"""The score of a box whose model gave none: all equal, so AP then measures one point of the curve."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Predicted and true boxes by what became of them, at one IoU threshold."""

    hits: int = 0
    wrong: int = 0
    ignored: int = 0
    missed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.hits + other.hits,
            self.wrong + other.wrong,
            self.ignored + other.ignored,
            self.missed + other.missed,
        )

    @property
    def precision(self) -> float:
        """Hits of what was predicted and counts."""
        return share(self.hits, self.hits + self.wrong)

    @property
    def recall(self) -> float:
        """Hits of what was to find."""
        return share(self.hits, self.hits + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of the two."""
        return share(2 * self.hits, 2 * self.hits + self.wrong + self.missed)


def counts_of(matches: Matches) -> Counts:
    """Count what a matching decided."""
    return Counts(len(matches.pairs), len(matches.unmatched), len(matches.ignored), len(matches.missed))


class Tally:
    """Counts by category over all images; the key None gathers unknown names."""

    def __init__(self) -> None:
        self.by_category: dict[int | None, Counts] = {}
        self.iou_sum = 0.0

    def add(self, category_id: int | None, case: ImageCase, iou_threshold: float) -> None:
        """Count one category of one image."""
        matches = match_case(category_id, case, iou_threshold)
        self.by_category[category_id] = self.by_category.get(category_id, Counts()) + counts_of(matches)
        self.iou_sum += sum(pair.iou for pair in matches.pairs)


def match_case(category_id: int | None, case: ImageCase, iou_threshold: float) -> Matches:
    """Match one category (None: unknown names) of one image."""
    return match_case_at(category_id, case, (iou_threshold,))[0]


def match_case_at(
    category_id: int | None, case: ImageCase, iou_thresholds: Sequence[float]
) -> tuple[Matches, ...]:
    """Do what `match_case` does at several thresholds; what was asked before is not matched again."""
    known = case.matched
    missing = [one for one in dict.fromkeys(iou_thresholds) if (category_id, one) not in known]
    if missing:
        found = _match_case(category_id, case, missing)
        known.update(zip([(category_id, one) for one in missing], found, strict=True))
    return tuple(known[category_id, one] for one in iou_thresholds)


def _match_case(
    category_id: int | None, case: ImageCase, iou_thresholds: Sequence[float]
) -> tuple[Matches, ...]:
    regions = [region for known_id, region in case.regions if known_id == category_id]
    truth = [box for box in case.truth if box.category_id == category_id]
    return match_at_thresholds(
        [region.box_xyxy_px for region in regions],
        [score_of(region.score) for region in regions],
        [box.box_xyxy_px for box in truth],
        [box.is_crowd for box in truth],
        iou_thresholds,
    )


def count(cases: Sequence[ImageCase], iou_threshold: float) -> Tally:
    """Count all categories of all images."""
    tally = Tally()
    for case in cases:
        for category_id in case.category_ids():
            tally.add(category_id, case, iou_threshold)
    return tally


def score_of(score: float | None) -> float:
    """Give a box's score, or the one that stands for none."""
    return UNSCORED if score is None else score


def share(part: float, whole: float) -> float:
    """Divide; 0.0 where there is nothing to divide by."""
    return part / whole if whole else 0.0
