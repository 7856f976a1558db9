"""The box around a COCO segmentation: polygons, or run lengths plain or packed into a string.

Takes an annotation's `segmentation` as parsed, gives a box. Run lengths count zeros and ones in turn, down
the columns (pycocotools, maskApi.h); no mask is unpacked.
"""

from __future__ import annotations

import math
from typing import Any

from paddle_ground.data.readers.boxes_of import FourNumbers
from paddle_ground.errors import DataError

_MAX_RUNS = 10_000_000
_MAX_SIDE = 1_000_000


def box_around(segmentation: Any, where: str) -> FourNumbers | None:
    """Give the corners of the box around a segmentation, pixels.

    Args:
        segmentation: Polygons, each a flat list of x and y; or `{"size": [height, width], "counts": ...}`.
        where: To open a message.

    Returns:
        x_min, y_min, x_max, y_max, or None where nothing is covered.

    Raises:
        DataError: It is neither.
    """
    if isinstance(segmentation, dict):
        return _around_runs(segmentation, where)
    if not isinstance(segmentation, list):
        raise DataError(
            f"{where}: segmentation is {str(segmentation)[:40]!r}; expected polygons or run lengths"
        )
    numbers: list[float] = []
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) % 2 or not all(map(_is_number, polygon)):
            raise DataError(f"{where}: a polygon is {str(polygon)[:40]!r}; expected x and y in turn")
        numbers += polygon
    if not all(map(_is_finite, numbers)):  # min and max would pass NaN over.
        return math.nan, math.nan, math.nan, math.nan
    xs, ys = numbers[0::2], numbers[1::2]
    return (min(xs), min(ys), max(xs), max(ys)) if numbers else None


def _around_runs(value: dict[str, Any], where: str) -> FourNumbers | None:
    size, counts = value.get("size"), value.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)):
        raise DataError(f"{where}: the size of run lengths is {str(size)[:40]!r}; expected [height, width]")
    height, width = size
    runs = unpack_runs(counts, where) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(isinstance(run, int) and run >= 0 for run in runs):
        raise DataError(f"{where}: run lengths are {str(counts)[:40]!r}; expected whole numbers")
    if not (1 <= height <= _MAX_SIDE and 1 <= width <= _MAX_SIDE) or sum(runs) > height * width:
        sides = f"{str(width)[:20]} x {str(height)[:20]}"
        raise DataError(f"{where}: run lengths that do not fit {sides} pixels; write them again")
    left, top, right, bottom = width, height, 0, 0
    at = 0
    for number, run in enumerate(runs):
        start, at = at, at + run
        if number % 2 and run:
            last = at - 1
            left, right = min(left, start // height), max(right, last // height + 1)
            one_column = start // height == last // height
            top = min(top, start % height if one_column else 0)
            bottom = max(bottom, last % height + 1 if one_column else height)
    return (float(left), float(top), float(right), float(bottom)) if right > left else None


def unpack_runs(text: str, where: str) -> list[int]:
    """Read run lengths out of COCO's string: six bits a character, later runs as differences.

    Raises:
        DataError: The string breaks off, or holds what no such string can.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60 or len(runs) > _MAX_RUNS:
            raise DataError(f"{where}: {letter!r} in packed run lengths; write them again")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise DataError(f"{where}: packed run lengths break off; write them again")
    return runs


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # An integer beyond the range of float.
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
