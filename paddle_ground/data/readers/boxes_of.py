"""Boxes and image sizes in parsed JSON: four numbers, or a list of such; a width and a height.

Takes a JSON value and its place, gives tuples. Knows neither layout nor unit.
"""

from __future__ import annotations

from typing import Any

from paddle_ground.errors import DataError
from paddle_ground.records.fields import Fields

_MAX_SIDE = 1_000_000

FourNumbers = tuple[float, float, float, float]


def read_box(value: Any, where: str) -> FourNumbers:
    """Read four numbers; NaN and infinity, which Python's JSON knows, are left to those who count.

    Raises:
        DataError: It is anything else.
    """
    if isinstance(value, list | tuple) and len(value) == 4 and all(map(_is_number, value)):
        a, b, c, d = map(_to_float, value)
        return a, b, c, d
    raise DataError(f"{where}: the box is {repr(value)[:60]}; expected four numbers")


def read_boxes(value: Any, where: str) -> tuple[FourNumbers, ...]:
    """Read one box or a list of boxes.

    Raises:
        DataError: It is anything else.
    """
    if isinstance(value, list | tuple) and all(isinstance(box, list | tuple) for box in value):
        return tuple(read_box(box, where) for box in value)
    return (read_box(value, where),)


def read_size(fields: Fields) -> tuple[int, int] | None:
    """Read `width` and `height` in pixels, where both are there.

    Raises:
        DataError: One is no size of any image.
        RecordError: One is no whole number.
    """
    if not (fields.has("width") and fields.has("height")):
        return None
    size = fields.integer("width"), fields.integer("height")
    for side in size:
        if not 1 <= side <= _MAX_SIDE:
            raise DataError(f"{fields.where}: a side of {repr(side)[:20]} pixels; expected 1 to {_MAX_SIDE}")
    return size


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _to_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # An integer beyond the range of float.
        return float("inf")
