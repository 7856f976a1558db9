"""Average precision of one class in many drawings of images at once.

Takes what became of each box, then how often each image was drawn; gives AP. Knows no boxes and no files.
COCO's AP reads precision where recall grows, so only at boxes that found something: at high thresholds few.
Drawings lie side by side, so that one step along the boxes is a step of all of them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

import numpy as np

from paddle_ground.boxes import FloatArray

Rows: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.int64]]"
Steps: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]"

_RECALL_STEPS = np.linspace(0.0, 1.0, 101)
_PIECE_NUMBERS = 2_000_000  # numbers held at once: 16 MB an array
_LEAST_DRAWINGS = 64


class DrawnClass:
    """All boxes of one class that count, surest first.

    Args:
        images: Shape (N,), row of each box's image.
        hits: Shape (T, N), whether it found a true box, at each threshold.
        wrong: Shape (T, N), whether it found none; neither inside a crowd.
        to_find: Shape (I,), true boxes an image.
    """

    def __init__(self, images: Rows, hits: FloatArray, wrong: FloatArray, to_find: FloatArray) -> None:
        self._images = images
        self._to_find = to_find
        self._thresholds = len(hits)
        said = (hits + wrong) > 0
        # Of each threshold: columns of hits; which boxes count, and of these the columns of hits. Mostly
        # all count (crowds are rare), and one running sum serves all thresholds.
        self._at = [
            (np.flatnonzero(hit), None if counts.all() else counts, np.flatnonzero(hit[counts]))
            for hit, counts in zip(hits, said, strict=True)
        ]

    def average_precision(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Score drawings.

        Args:
            weights: Shape (I, R), how often each image was drawn: whole numbers.

        Returns:
            AP at each threshold, (R, T), 0..1; true boxes in each drawing, (R,).
        """
        to_find = self._to_find @ weights
        reached, first = _steps_reached(to_find)
        ap = np.zeros((len(to_find), self._thresholds))
        step = max(_LEAST_DRAWINGS, _PIECE_NUMBERS // max(1, len(self._images)))
        for start in range(0, len(to_find), step):
            part = slice(start, start + step)
            self._score(weights[self._images, part], reached, first[part], ap[part])
        return ap, to_find

    def _score(self, drawn: FloatArray, reached: Steps, first: Rows, ap: FloatArray) -> None:
        """Fill in `ap`, (R, T), from how often each box was drawn, (N, R)."""
        said_of_all = _sum_up(drawn.copy())
        for at, (hits, counts, hits_in_counts) in enumerate(self._at):
            if not len(hits):
                continue
            found = _sum_up(drawn[hits])
            said = said_of_all[hits] if counts is None else _sum_up(drawn[counts])[hits_in_counts]
            # Images that were not drawn may stand first: nothing is said yet, and nothing found.
            precision = found / np.maximum(said, 1, out=said)
            for later, row in pairwise(precision[::-1]):
                np.maximum(row, later, out=row)
            # Each box takes the recall steps that are reached with it and were not before.
            steps = reached[found.astype(np.int64) + first]
            steps[1:] -= steps[:-1].copy()
            ap[:, at] = np.einsum("nr,nr->r", steps, precision) / len(_RECALL_STEPS)


def _sum_up(rows: FloatArray) -> FloatArray:
    """Add to each row all rows before it, in place: a row at a time is quicker than `cumsum` of columns."""
    for before, row in pairwise(rows):
        row += before
    return rows


def _steps_reached(to_find: FloatArray) -> tuple[Steps, Rows]:
    """Tell how many recall steps 0, 1, 2, ... found boxes reach.

    Args:
        to_find: Shape (R,), true boxes in each drawing.

    Returns:
        Numbers of steps, and where those of each drawing begin, (R,).
    """
    totals, which = np.unique(to_find.astype(np.int64), return_inverse=True)
    tables = [
        np.searchsorted(_RECALL_STEPS, np.arange(total + 1) / max(total, 1), side="right").astype(np.uint8)
        for total in totals.tolist()
    ]
    begins = np.concatenate([[0], np.cumsum(totals + 1)[:-1]])
    return np.concatenate(tables), begins[which.reshape(-1)]
