"""What AP does not tell: counting, duplicates, invention, mistaken names, one box a phrase.

Takes `ImageCase`s, gives rates. Knows no files. Crowd boxes are neither right nor wrong throughout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paddle_ground.boxes import iou_matrix
from paddle_ground.evaluate.matching import match_boxes
from paddle_ground.evaluate.pairing import ImageCase
from paddle_ground.evaluate.tally import Counts, counts_of, match_case, match_case_at, score_of, share
from paddle_ground.records import Truth

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates over all images of the truth; those without a prediction count as an empty answer.

    Attributes:
        count_error_abs: Mean over images of |boxes predicted - true boxes|.
        count_error: The same with its sign: below 0 is too few.
        duplicate_rate: Of the predicted boxes, those that are wrong only because a better one took
            their object ("duplicate" of TIDE, Bolya et al. 2020), 0..1.
        object_free_images: Answered images without any true box or crowd.
        hallucination_rate: Those of them with a predicted box, 0..1; None if there is no such image.
        phrases: (image, name) pairs that have exactly one true box: what referring is scored on.
        referring_acc_50: Those whose surest box has IoU 0.5 or more, 0..1; None without phrases.
        referring_mean_iou: Mean IoU of the surest box, 0 where there is none; None without phrases.
    """

    count_error_abs: float
    count_error: float
    duplicate_rate: float
    object_free_images: int
    hallucination_rate: float | None
    phrases: int
    referring_acc_50: float | None
    referring_mean_iou: float | None


@dataclass(frozen=True, slots=True)
class ConfusionCell:
    """How often an object of one name was given another, boxes matched without regard to names.

    Attributes:
        truth: Name of the true class; None: there was nothing (a false box).
        predicted: Name predicted, "(unknown)" if no class has it; None: nothing (a missed object).
        count: Above 0.
    """

    truth: str | None
    predicted: str | None
    count: int


def f1_miou(cases: Sequence[ImageCase]) -> float:
    """Average F1 over IoU 0.50:0.05:0.95, all boxes pooled at each."""
    pooled = [Counts()] * len(IOU_THRESHOLDS)
    for case in cases:
        for category_id in case.category_ids():
            matches = match_case_at(category_id, case, IOU_THRESHOLDS)
            pooled = [total + counts_of(one) for total, one in zip(pooled, matches, strict=True)]
    return sum(counts.f1 for counts in pooled) / len(IOU_THRESHOLDS)


def rates(cases: Sequence[ImageCase], iou_threshold: float = 0.5) -> Rates:
    """Compute all rates; `iou_threshold` decides what is a hit and a duplicate."""
    differences, duplicates = [], 0
    for case in cases:
        difference = 0
        for category_id in case.category_ids():
            matches = match_case(category_id, case, iou_threshold)
            difference += len(matches.unmatched) - len(matches.missed)
            duplicates += _duplicates(category_id, case, matches.unmatched, iou_threshold)
        differences.append(difference)
    free = [case for case in cases if case.is_answered and not case.truth]
    ious = [iou for case in cases for iou in _phrase_ious(case)]
    return Rates(
        count_error_abs=share(sum(map(abs, differences)), len(cases)),
        count_error=share(sum(differences), len(cases)),
        duplicate_rate=share(duplicates, sum(len(case.regions) for case in cases)),
        object_free_images=len(free),
        hallucination_rate=share(sum(bool(case.regions) for case in free), len(free)) if free else None,
        phrases=len(ious),
        referring_acc_50=sum(iou >= 0.5 for iou in ious) / len(ious) if ious else None,
        referring_mean_iou=sum(ious) / len(ious) if ious else None,
    )


def confusion(
    cases: Sequence[ImageCase], truth: Truth, iou_threshold: float = 0.5
) -> tuple[ConfusionCell, ...]:
    """Match boxes whatever their names, and count the pairs of names."""
    names: dict[int | None, str] = {one.id: one.name for one in truth.categories}
    names[None] = "(unknown)"
    cells: Counter[tuple[str | None, str | None]] = Counter()
    for case in cases:
        said = [names[known] for known, _ in case.regions]
        meant = [names[box.category_id] for box in case.truth]
        matches = match_boxes(
            [region.box_xyxy_px for _, region in case.regions],
            [score_of(region.score) for _, region in case.regions],
            [box.box_xyxy_px for box in case.truth],
            [box.is_crowd for box in case.truth],
            iou_threshold,
        )
        cells.update((meant[pair.truth], said[pair.predicted]) for pair in matches.pairs)
        cells.update((None, said[row]) for row in matches.unmatched)
        cells.update((meant[row], None) for row in matches.missed)
    ordered = sorted(cells.items(), key=lambda cell: tuple((name is None, name or "") for name in cell[0]))
    return tuple(ConfusionCell(*pair, number) for pair, number in ordered)


def _duplicates(
    category_id: int | None, case: ImageCase, unmatched: Sequence[int], iou_threshold: float
) -> int:
    boxes = [region.box_xyxy_px for known, region in case.regions if known == category_id]
    truth = [box.box_xyxy_px for box in case.truth if box.category_id == category_id and not box.is_crowd]
    if not unmatched or not truth:
        return 0
    # A free object would have been taken: any that is overlapped enough went to a surer box.
    return int((iou_matrix(boxes, truth).max(axis=1)[list(unmatched)] >= iou_threshold).sum())


def _phrase_ious(case: ImageCase) -> list[float]:
    found = []
    for category_id in sorted({box.category_id for box in case.truth}):
        boxes = [box for box in case.truth if box.category_id == category_id]
        if len(boxes) != 1 or boxes[0].is_crowd:
            continue
        regions = [region for known, region in case.regions if known == category_id]
        if not regions:
            found.append(0.0)
            continue
        surest = regions[int(np.argmax([score_of(region.score) for region in regions]))]
        found.append(float(iou_matrix([surest.box_xyxy_px], [boxes[0].box_xyxy_px])[0, 0]))
    return found
