"""Which predicted box found which true one, in one image and one class, as COCO decides it.

Takes arrays of boxes, gives index pairs. Knows no labels, files or metrics. The rules are those of
COCO's `evaluateImg` (Lin et al., 2014, cocodataset.org/#detection-eval), so that counts at one
threshold and AP tell the same story.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paddle_ground.boxes import BoolArray, FloatArray, as_boxes, coverage_matrix, iou_matrix


@dataclass(frozen=True, slots=True)
class MatchedPair:
    """One predicted box that found a true one.

    Attributes:
        predicted: Its row in the predicted boxes.
        truth: The row in the true boxes.
        iou: Their intersection over union, threshold..1.
    """

    predicted: int
    truth: int
    iou: float


@dataclass(frozen=True, slots=True)
class Matches:
    """The outcome for one image and class; every predicted row is in exactly one of the first three.

    Attributes:
        pairs: True positives, in the order in which they were decided (best score first).
        unmatched: Predicted rows that found nothing: false positives.
        ignored: Predicted rows inside a crowd box: neither right nor wrong.
        missed: True rows, crowds left out, that nothing found: false negatives.
    """

    pairs: tuple[MatchedPair, ...]
    unmatched: tuple[int, ...]
    ignored: tuple[int, ...]
    missed: tuple[int, ...]


def match_boxes(
    predicted_xyxy: npt.ArrayLike,
    scores: Sequence[float],
    truth_xyxy: npt.ArrayLike,
    truth_is_crowd: Sequence[bool],
    iou_threshold: float = 0.5,
) -> Matches:
    """Give each predicted box, best score first, the free true box that it overlaps most.

    Args:
        predicted_xyxy: Shape (N, 4), any one unit.
        scores: N numbers; equal ones are taken in their order.
        truth_xyxy: Shape (M, 4), the same unit.
        truth_is_crowd: M flags. A crowd box takes any number of predictions that lie inside it to at
            least the threshold (share of the predicted area), after the true boxes had their choice.
        iou_threshold: Smallest overlap that counts as found, above 0, at most 1.

    Returns:
        Row numbers into the arguments.
    """
    predicted, truth = as_boxes(predicted_xyxy), as_boxes(truth_xyxy)
    crowd: BoolArray = np.asarray(truth_is_crowd, dtype=np.bool_).reshape(-1)
    threshold = min(iou_threshold, 1 - 1e-10)
    ious = iou_matrix(predicted, truth)
    in_crowd = (coverage_matrix(predicted, truth[crowd]) >= threshold).any(axis=1)
    free = ~crowd
    pairs: list[MatchedPair] = []
    unmatched: list[int] = []
    ignored: list[int] = []
    for row in np.argsort(-np.asarray(scores, dtype=np.float64).reshape(-1), kind="stable").tolist():
        best = _best_free(ious[row], free)
        if best is not None and ious[row, best] >= threshold:
            pairs.append(MatchedPair(row, best, float(ious[row, best])))
            free[best] = False
        else:
            (ignored if in_crowd[row] else unmatched).append(row)
    missed = tuple(int(row) for row in np.flatnonzero(free))
    return Matches(tuple(pairs), tuple(sorted(unmatched)), tuple(sorted(ignored)), missed)


def _best_free(ious: FloatArray, free: BoolArray) -> int | None:
    """Of equal overlaps the last one wins, as in COCO's loop."""
    if not free.any():
        return None
    candidates = np.where(free, ious, -1.0)
    return int(len(candidates) - 1 - np.argmax(candidates[::-1]))
