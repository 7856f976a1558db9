"""Resizes a picture, so that the same object comes larger, smaller, or a little out of shape."""

from __future__ import annotations

import math

import numpy as np

from paddle_ground.data.augment.picture import Picture
from paddle_ground.data.augment.rows import Visibility
from paddle_ground.data.headers import MAX_PIXELS

_LEAST_SIDE_PX = 32


def scale(
    picture: Picture, generator: np.random.Generator, factor_range: tuple[float, float], stretch: float
) -> Picture | None:
    """Resize a picture.

    Args:
        picture: Any.
        generator: Where the new size is drawn from.
        factor_range: The least and the largest factor; drawn evenly on a logarithmic scale.
        stretch: How much one side may be stretched against the other, 0 for not at all: 0.1 lets
            width over height grow or shrink by a tenth.

    Returns:
        The picture in its new size; None where that is the old one, or out of all bounds.
    """
    factor = math.exp(generator.uniform(*np.log(factor_range)))
    shape = math.sqrt((1 + stretch) ** generator.uniform(-1, 1))
    width, height = round(picture.size_wh[0] * factor * shape), round(picture.size_wh[1] * factor / shape)
    if (
        (width, height) == picture.size_wh
        or min(width, height) < _LEAST_SIDE_PX
        or width * height > MAX_PIXELS
    ):
        return None
    # The whole image is the window: every object that was one stays one.
    return picture.through((0, 0, *picture.size_wh), (width, height), Visibility(0.0, 0.0))
