"""Cuts a part out of a picture so that every object is in it visibly, or not at all."""

from __future__ import annotations

import math

import numpy as np

from paddle_ground.data.augment.picture import Picture
from paddle_ground.data.augment.rows import SizeWh, Visibility, Window

_TRIES = 20
_LEAST_SIDE_PX = 32
_STRETCH = 4 / 3


def crop(
    picture: Picture, generator: np.random.Generator, area_range: tuple[float, float], visibility: Visibility
) -> Picture | None:
    """Cut a random part out.

    Args:
        picture: Any.
        generator: Where the part is drawn from.
        area_range: The least and the largest share of the image's area, 0..1.
        visibility: What a cut object must still show. A part is taken only if no object shows less of
            itself than that and yet something, and if one is left where there was one.

    Returns:
        The part, in its own pixels; None where none was found, or no phrase outlives it.
    """
    for _ in range(_TRIES):
        window = draw_window(picture.size_wh, generator, area_range)
        if window is not None and _is_clean(picture, window, visibility):
            size = (window[2] - window[0], window[3] - window[1])
            part = picture.through(window, size, visibility)
            return None if picture.row.referrals and not part.row.referrals else part
    return None


def draw_window(
    size_wh: SizeWh, generator: np.random.Generator, area_range: tuple[float, float]
) -> Window | None:
    """Draw a window of about the image's shape; None where it would be the image, or tiny."""
    share = generator.uniform(*area_range)
    stretch = math.sqrt(_STRETCH ** generator.uniform(-1, 1))
    width, height = (
        min(round(side * math.sqrt(share) * factor), side)
        for side, factor in zip(size_wh, (stretch, 1 / stretch), strict=True)
    )
    left = int(generator.integers(0, size_wh[0] - width + 1))
    top = int(generator.integers(0, size_wh[1] - height + 1))
    if (width, height) == size_wh or min(width, height) < _LEAST_SIDE_PX:
        return None
    return left, top, left + width, top + height


def _is_clean(picture: Picture, window: Window, visibility: Visibility) -> bool:
    boxes = picture.row.boxes_xyxy_px[~picture.row.is_crowd]
    touched = visibility.shares(boxes, window, picture.size_wh) > 0
    visible = visibility.is_visible(boxes, window, picture.size_wh)
    had_object = visibility.shares(boxes, (0, 0, *picture.size_wh), picture.size_wh).any()
    return bool((visible == touched).all() and (visible.any() or not had_object))
