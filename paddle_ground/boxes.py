"""Box arithmetic: layouts, areas, clipping, IoU.

Takes and gives numpy arrays of shape (N, 4); float64 pixels unless a name says otherwise.
Knows nothing of files, labels, text or models. Pixel coordinates are continuous: an image of
width w spans 0..w, and the box (0, 0, w, h) covers it whole (COCO's convention, no "+ 1").
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from paddle_ground.errors import BoxError

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]


def as_boxes(boxes: npt.ArrayLike) -> FloatArray:
    """Give boxes the one shape and type that this module works with.

    Args:
        boxes: Anything array-like of shape (N, 4), or empty.

    Returns:
        Shape (N, 4), float64; (0, 4) for empty input. Not a copy where none is needed.

    Raises:
        BoxError: The shape is not (N, 4), or the content is not numeric.
    """
    try:
        array = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BoxError(f"boxes must be rows of 4 numbers: {error}") from error
    if array.size == 0:
        return np.zeros((0, 4), dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 4:
        raise BoxError(f"boxes must have shape (N, 4), found {array.shape}")
    return array


def xywh_to_xyxy(boxes_xywh: npt.ArrayLike) -> FloatArray:
    """Turn corner-and-size boxes into corner boxes.

    Args:
        boxes_xywh: Shape (N, 4), any one unit: x_min, y_min, width, height.

    Returns:
        Shape (N, 4), the same unit: x_min, y_min, x_max, y_max.

    Raises:
        BoxError: A size is negative or a number is not finite; the message names the first such row.
    """
    boxes = as_boxes(boxes_xywh)
    refuse_first(~np.isfinite(boxes).all(axis=1), boxes, "is not finite")
    refuse_first((boxes[:, 2:] < 0).any(axis=1), boxes, "has a negative width or height")
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def xyxy_to_xywh(boxes_xyxy: npt.ArrayLike) -> FloatArray:
    """Turn corner boxes into corner-and-size boxes.

    Args:
        boxes_xyxy: Shape (N, 4), any one unit: x_min, y_min, x_max, y_max.

    Returns:
        Shape (N, 4), the same unit: x_min, y_min, width, height.

    Raises:
        BoxError: The corners are swapped or a number is not finite; the message names the first such row.
    """
    boxes = as_boxes(boxes_xyxy)
    refuse_first(~np.isfinite(boxes).all(axis=1), boxes, "is not finite")
    refuse_first((boxes[:, 2:] < boxes[:, :2]).any(axis=1), boxes, "has swapped corners")
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def clip_boxes(boxes_xyxy_px: npt.ArrayLike, size_wh: tuple[float, float] | IntArray) -> FloatArray:
    """Cut boxes at the border of their image.

    Args:
        boxes_xyxy_px: Shape (N, 4), pixels.
        size_wh: Width and height of the image in pixels; or shape (N, 2), of each box's own image.

    Returns:
        Shape (N, 4), x in 0..width and y in 0..height. A box wholly outside becomes one of no
        area on the border; NaN stays NaN.
    """
    boxes = as_boxes(boxes_xyxy_px)
    return np.clip(boxes, 0.0, np.tile(np.asarray(size_wh, dtype=np.float64), 2))


def box_areas(boxes_xyxy: npt.ArrayLike) -> FloatArray:
    """Measure the area of each box.

    Args:
        boxes_xyxy: Shape (N, 4), any one unit.

    Returns:
        Shape (N,), that unit squared; 0 for swapped corners.
    """
    sides = np.clip(_sides(as_boxes(boxes_xyxy)), 0.0, None)
    areas: FloatArray = sides[:, 0] * sides[:, 1]
    return areas


def iou_matrix(a_xyxy: npt.ArrayLike, b_xyxy: npt.ArrayLike) -> FloatArray:
    """Compare every box of one set with every box of another by intersection over union.

    Args:
        a_xyxy: Shape (N, 4), any one unit.
        b_xyxy: Shape (M, 4), the same unit.

    Returns:
        Shape (N, M), 0..1; 0 where a box has no area.
    """
    a, b = as_boxes(a_xyxy), as_boxes(b_xyxy)
    overlap = _overlap_matrix(a, b)
    union = box_areas(a)[:, None] + box_areas(b)[None, :] - overlap
    iou: FloatArray = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return iou


def coverage_matrix(a_xyxy: npt.ArrayLike, b_xyxy: npt.ArrayLike) -> FloatArray:
    """Tell how much of every box of one set lies inside every box of another.

    COCO compares predictions with crowd boxes in this way: one person inside a crowd fits it wholly.

    Args:
        a_xyxy: Shape (N, 4), any one unit.
        b_xyxy: Shape (M, 4), the same unit.

    Returns:
        Shape (N, M), 0..1: intersection over the area of the box of `a`; 0 where that has no area.
    """
    a, b = as_boxes(a_xyxy), as_boxes(b_xyxy)
    overlap, areas = _overlap_matrix(a, b), box_areas(a)[:, None]
    coverage: FloatArray = np.divide(overlap, areas, out=np.zeros_like(overlap), where=areas > 0)
    return coverage


def map_boxes(
    boxes_xyxy: npt.ArrayLike, scale_xy: tuple[float, float], shift_xy: tuple[float, float] = (0.0, 0.0)
) -> FloatArray:
    """Follow what crop, resize and mirror do to an image: times the scale, then plus the shift.

    A negative scale mirrors; the low corner (N, :2) stays the low one.
    """
    moved = as_boxes(boxes_xyxy) * np.tile(scale_xy, 2) + np.tile(shift_xy, 2)
    ends = [2 if scale_xy[0] < 0 else 0, 3 if scale_xy[1] < 0 else 1]
    mapped: FloatArray = moved[:, [*ends, 2 - ends[0], 4 - ends[1]]]
    return mapped


def smallest_at(boxes_xyxy: npt.ArrayLike, point_xy: tuple[float, float]) -> int | None:
    """Find the smallest box that a point lies in, its edges included.

    Args:
        boxes_xyxy: Shape (N, 4).
        point_xy: In the boxes' space.

    Returns:
        Its index, the first one's of several; None where no box holds the point.
    """
    boxes, point = as_boxes(boxes_xyxy), np.asarray(point_xy, np.float64)
    holds = (boxes[:, :2] <= point).all(axis=1) & (point <= boxes[:, 2:]).all(axis=1)
    if not holds.any():
        return None
    return int(np.argmin(np.where(holds, box_areas(boxes), np.inf)))


def valid_mask(boxes_xyxy: npt.ArrayLike, min_side: float = 0.0) -> BoolArray:
    """Tell which boxes are finite and have an area.

    Args:
        boxes_xyxy: Shape (N, 4), any one unit.
        min_side: Smallest width and height that counts, in that unit. A side must always exceed 0.

    Returns:
        Shape (N,), True for a usable box.
    """
    boxes = as_boxes(boxes_xyxy)
    finite = np.isfinite(boxes).all(axis=1)
    # Comparing NaN or inf - inf is fine here: such rows are already out.
    with np.errstate(invalid="ignore"):
        sides = _sides(boxes)
        large = ((sides > 0) & (sides >= min_side)).all(axis=1)
    mask: BoolArray = finite & large
    return mask


def _overlap_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.clip(high - low, 0.0, None)
    overlap: FloatArray = sides[..., 0] * sides[..., 1]
    return overlap


def _sides(boxes_xyxy: FloatArray) -> FloatArray:
    return boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]


def refuse_first(bad: BoolArray, boxes: FloatArray, complaint: str) -> None:
    """Name the first bad box.

    Args:
        bad: Shape (N,).
        boxes: Shape (N, 4).
        complaint: What is wrong with it, such as "is not finite".

    Raises:
        BoxError: There is one.
    """
    if bad.any():
        row = int(np.argmax(bad))
        raise BoxError(f"box {row} {complaint}: {boxes[row].tolist()}")
