"""Which predicted box found which true one, in one image and one class, as COCO decides it.

Takes arrays of boxes, gives index pairs. Knows no labels, files or metrics. The rules are those of
COCO's `evaluateImg` (Lin et al., 2014, cocodataset.org/#detection-eval), so that counts at one
threshold and AP tell the same story.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from paddle_ground.boxes import BoolArray, FloatArray, as_boxes, coverage_matrix, iou_matrix
from paddle_ground.errors import EvaluationError


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

    Raises:
        EvaluationError: The threshold is another number.
    """
    (matches,) = match_at_thresholds(predicted_xyxy, scores, truth_xyxy, truth_is_crowd, (iou_threshold,))
    return matches


def match_at_thresholds(
    predicted_xyxy: npt.ArrayLike,
    scores: Sequence[float],
    truth_xyxy: npt.ArrayLike,
    truth_is_crowd: Sequence[bool],
    iou_thresholds: Sequence[float],
) -> tuple[Matches, ...]:
    """Do what `match_boxes` does at several thresholds, with the overlaps measured once."""
    for threshold in iou_thresholds:
        if not 0 < threshold <= 1:
            raise EvaluationError(f"IoU threshold {threshold:g}: expected above 0 and up to 1, such as 0.5")
    predicted, truth = as_boxes(predicted_xyxy), as_boxes(truth_xyxy)
    crowd: BoolArray = np.asarray(truth_is_crowd, dtype=np.bool_).reshape(-1)
    ious = iou_matrix(predicted, truth)
    ious[:, crowd] = -1.0  # never taken
    in_crowds = coverage_matrix(predicted, truth[crowd]).max(axis=1, initial=0.0).tolist()
    order = np.argsort(-np.asarray(scores, dtype=np.float64).reshape(-1), kind="stable").tolist()
    free = np.flatnonzero(~crowd).tolist()
    thresholds = [min(threshold, 1 - 1e-10) for threshold in iou_thresholds]
    near = _near(ious, min(thresholds, default=1.0))
    return tuple(_match(order, near, in_crowds, free, threshold) for threshold in thresholds)


_Near: TypeAlias = "dict[int, list[tuple[float, int]]]"


def _near(ious: FloatArray, threshold: float) -> _Near:
    """List what each predicted row overlaps so much: few, and with them the rest is quick without arrays.

    Returns:
        Row -> (IoU, column), the largest first; of equal overlaps the last column, as in COCO's loop.
    """
    near: _Near = {}
    rows, columns = np.nonzero(ious >= threshold)
    for row, column, iou in zip(rows.tolist(), columns.tolist(), ious[rows, columns].tolist(), strict=True):
        near.setdefault(row, []).append((iou, column))
    for some in near.values():
        some.sort(reverse=True)
    return near


def _match(
    order: Sequence[int], near: _Near, in_crowds: Sequence[float], free: Sequence[int], threshold: float
) -> Matches:
    left = set(free)
    pairs: list[MatchedPair] = []
    unmatched: list[int] = []
    ignored: list[int] = []
    for row in order:
        best = next((one for one in near.get(row, ()) if one[1] in left), None)
        if best is not None and best[0] >= threshold:
            pairs.append(MatchedPair(row, best[1], best[0]))
            left.remove(best[1])
        else:
            (ignored if in_crowds[row] >= threshold else unmatched).append(row)
    return Matches(tuple(pairs), tuple(sorted(unmatched)), tuple(sorted(ignored)), tuple(sorted(left)))
