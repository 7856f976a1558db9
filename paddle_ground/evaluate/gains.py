"""What average precision would gain if one kind of mistake were mended.

Takes `ImageCase`s and their mistakes, gives one gain a kind. Knows no files. The definitions are those of
TIDE (Bolya et al., ECCV 2020, arXiv 2008.08115), which calls the gains dAP; only in what a class without a
true box counts for, this follows COCO's mean: nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from paddle_ground.evaluate.drawn_precision import DrawnClass
from paddle_ground.evaluate.mistakes import (
    HIT,
    IGNORED,
    MISPLACED,
    MISSED,
    MISTAKES,
    WRONG_LABEL,
    CaseMistakes,
)
from paddle_ground.evaluate.pairing import ImageCase
from paddle_ground.evaluate.tally import score_of

# Class (None: an unknown name), score, whether it is right.
_Mark: TypeAlias = "tuple[int | None, float, bool]"


def mending_gains(cases: Sequence[ImageCase], mistakes: Sequence[CaseMistakes]) -> dict[str, float]:
    """Mend one kind of mistake after the other, and tell by how much AP rises each time.

    A misplaced box gets the place of its object, a mislabelled one its object's name; if the object was found
    by another box, or is near to a surer one that is as wrong, the box goes. Boxes of all other kinds go.
    Missed objects are no longer asked for, so that the precision of the others counts for them, too; a class
    of which none is left does not count.

    Args:
        cases: All entries of the truth.
        mistakes: Theirs, in the same order, by `find_mistakes` at some threshold.

    Returns:
        Kind of `MISTAKES` -> AP at that threshold less AP as it is, 0..1; never below 0. The gains don't add
        up: each is measured with all other mistakes in place.
    """
    now = _mended(cases, mistakes, None)
    return {kind: max(0.0, _mended(cases, mistakes, kind) - now) for kind in MISTAKES}


def _mended(cases: Sequence[ImageCase], mistakes: Sequence[CaseMistakes], kind: str | None) -> float:
    """Give AP with all mistakes of a kind mended."""
    to_find: Counter[int] = Counter()
    marks: dict[int | None, list[tuple[float, bool]]] = {}
    for case, found in zip(cases, mistakes, strict=True):
        gone = set(found.missed) if kind == MISSED else set()
        to_find.update(
            box.category_id for row, box in enumerate(case.truth) if not box.is_crowd and row not in gone
        )
        for category_id, score, hit in _marks(case, found, kind):
            marks.setdefault(category_id, []).append((score, hit))
    aps = [_average_precision(marks.get(category_id, ()), n) for category_id, n in to_find.items()]
    return sum(aps) / len(aps) if aps else 0.0


def _marks(case: ImageCase, found: CaseMistakes, kind: str | None) -> Iterator[_Mark]:
    """Say of each box of an image that counts what it counts for."""
    surest = _surest(case, found)
    for row, ((category_id, region), outcome) in enumerate(zip(case.regions, found.outcomes, strict=True)):
        if outcome.kind == IGNORED:
            continue
        if outcome.kind != kind:
            yield category_id, score_of(region.score), outcome.kind == HIT
        elif row in surest:
            yield case.truth[surest[row]].category_id, score_of(region.score), True


def _surest(case: ImageCase, found: CaseMistakes) -> dict[int, int]:
    """Choose, for each object that no box found, the surest of the boxes that would if they were mended.

    Returns:
        Row of the box -> row of its object.
    """
    chosen: dict[int, int] = {}
    scores = [score_of(region.score) for _, region in case.regions]
    # Of equal scores the first one stays.
    for row in sorted(range(len(scores)), key=lambda row: -scores[row]):
        outcome = found.outcomes[row]
        if outcome.kind in (MISPLACED, WRONG_LABEL) and outcome.truth is not None:
            if outcome.truth not in found.found and outcome.truth not in chosen.values():
                chosen[row] = outcome.truth
    return chosen


def _average_precision(marks: Sequence[tuple[float, bool]], to_find: int) -> float:
    ordered = sorted(marks, key=lambda mark: -mark[0])
    hits = np.array([[hit for _, hit in ordered]], dtype=np.float64)
    one_image = np.zeros(len(ordered), dtype=np.int64)
    scored = DrawnClass(one_image, hits, 1 - hits, np.array([float(to_find)]))
    ap, _ = scored.average_precision(np.ones((1, 1)))
    return float(ap[0, 0])
