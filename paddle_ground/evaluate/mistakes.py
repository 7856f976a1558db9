"""What kind of mistake each wrong box is, and which true boxes nothing came near.

Takes `ImageCase`s, gives one `Outcome` a predicted box. Knows no files and no pictures. The kinds and their
order are those of TIDE (Bolya et al., ECCV 2020, arXiv 2008.08115), with COCO's matching at one threshold.
Different from its code in two places: boxes inside a crowd are no mistake, and a box that overlaps its own
class's taken object by exactly the threshold is a duplicate and not misplaced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paddle_ground.boxes import BoolArray, FloatArray, iou_matrix
from paddle_ground.evaluate.pairing import ImageCase
from paddle_ground.evaluate.tally import match_case

BACKGROUND_IOU = 0.1
"""A box that overlaps every object less than this is at nothing."""

HIT = "hit"
"""Right name, right place."""
MISPLACED = "misplaced"
"""Its class's object is there, but the box overlaps it too little."""
WRONG_LABEL = "wrong_label"
"""The right place under another class's name."""
DUPLICATE = "duplicate"
"""The object was found by a surer box."""
FALSE = "false"
"""Nothing is there."""
WRONG_LABEL_AND_PLACE = "wrong_label_and_place"
"""Another class's object is near, but overlapped too little."""
IGNORED = "ignored"
"""Inside a crowd: neither right nor wrong."""
MISSED = "missed"
"""A true box that was not found, nor would be by mending a misplaced or mislabelled box."""

MISTAKES = (MISSED, FALSE, MISPLACED, WRONG_LABEL, WRONG_LABEL_AND_PLACE, DUPLICATE)
"""All kinds of mistakes, in the order in which people ask for them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one predicted box.

    Attributes:
        kind: `HIT`, `IGNORED`, or one of `MISTAKES` but `MISSED`.
        iou: With the true box that `truth` names, else the largest with any, 0..1.
        truth: Row in `ImageCase.truth` of the object that it found, or that it would have found with a
            better place or name; for a duplicate the object that it found again; None elsewhere.
    """

    kind: str
    iou: float
    truth: int | None


@dataclass(frozen=True, slots=True)
class CaseMistakes:
    """One image, or one question about it.

    Attributes:
        outcomes: One a predicted box, in the order of `ImageCase.regions`.
        found: Rows in `ImageCase.truth` that a box found.
        missed: Rows in `ImageCase.truth`, crowds left out, that are `MISSED`.
    """

    outcomes: tuple[Outcome, ...]
    found: tuple[int, ...]
    missed: tuple[int, ...]

    def counts(self) -> Counter[str]:
        """Count the kinds; missed boxes included."""
        return Counter([*(one.kind for one in self.outcomes), *[MISSED] * len(self.missed)])


def find_mistakes(case: ImageCase, iou_threshold: float = 0.5) -> CaseMistakes:
    """Sort the boxes of one image by what is wrong with them.

    Args:
        case: All that was predicted there, and all that is true.
        iou_threshold: From which overlap on a box counts as found, above `BACKGROUND_IOU`, at most 1.
    """
    outcomes: list[Outcome | None] = [None] * len(case.regions)
    for category_id in case.category_ids():
        predicted = [row for row, (known, _) in enumerate(case.regions) if known == category_id]
        truth = [row for row, box in enumerate(case.truth) if box.category_id == category_id]
        matches = match_case(category_id, case, iou_threshold)
        for pair in matches.pairs:
            outcomes[predicted[pair.predicted]] = Outcome(HIT, pair.iou, truth[pair.truth])
        for row in matches.ignored:
            outcomes[predicted[row]] = Outcome(IGNORED, 0.0, None)
    found = {one.truth for one in outcomes if one is not None and one.truth is not None}
    wrong = [row for row, one in enumerate(outcomes) if one is None]
    kinds = _Overlaps(case).kinds(wrong, iou_threshold)
    done = tuple(one or kinds[row] for row, one in enumerate(outcomes))
    mendable = {one.truth for one in done if one.kind in (MISPLACED, WRONG_LABEL)}
    missed = (row for row, box in enumerate(case.truth) if not box.is_crowd and row not in found | mendable)
    return CaseMistakes(done, tuple(sorted(found)), tuple(missed))


def count_mistakes(cases: Sequence[CaseMistakes]) -> dict[str, int]:
    """Count each of `MISTAKES`, zeros included."""
    total: Counter[str] = sum((case.counts() for case in cases), Counter())
    return {kind: total[kind] for kind in MISTAKES}


class _Overlaps:
    """How much each predicted box of an image overlaps each true one, crowds left out."""

    def __init__(self, case: ImageCase) -> None:
        self.rows = [row for row, box in enumerate(case.truth) if not box.is_crowd]
        self.ious: FloatArray = iou_matrix(
            [region.box_xyxy_px for _, region in case.regions],
            [case.truth[row].box_xyxy_px for row in self.rows],
        )
        names = [case.truth[row].category_id for row in self.rows]
        self.same: BoolArray = np.array(
            [[known == name for name in names] for known, _ in case.regions], dtype=np.bool_
        ).reshape(self.ious.shape)

    def kinds(self, wrong: Sequence[int], iou_threshold: float) -> dict[int, Outcome]:
        """Name the mistake of each box that found nothing."""
        if not self.rows:
            return {row: Outcome(FALSE, 0.0, None) for row in wrong}
        return {row: self._kind(row, iou_threshold) for row in wrong}

    def _kind(self, row: int, iou_threshold: float) -> Outcome:
        ious, same = self.ious[row], self.same[row]
        own, others = np.where(same, ious, 0.0), np.where(same, 0.0, ious)
        nearest, other = int(own.argmax()), int(others.argmax())
        if BACKGROUND_IOU <= own[nearest] < iou_threshold:
            return Outcome(MISPLACED, float(own[nearest]), self.rows[nearest])
        if others[other] >= iou_threshold:
            return Outcome(WRONG_LABEL, float(others[other]), self.rows[other])
        if own[nearest] >= iou_threshold:
            # A free object would have been taken: this one went to a surer box.
            return Outcome(DUPLICATE, float(own[nearest]), self.rows[nearest])
        kind = FALSE if ious.max() <= BACKGROUND_IOU else WRONG_LABEL_AND_PLACE
        return Outcome(kind, float(ious.max()), None)
