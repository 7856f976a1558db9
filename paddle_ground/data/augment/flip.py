"""Mirrors a picture from left to right.

Upside down is not offered: floors stay below in the pictures that people ask about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from paddle_ground.data.augment.picture import Picture
from paddle_ground.data.augment.rows import in_mirror


def flip(picture: Picture, classes: Sequence[int | None]) -> Picture | None:
    """Mirror a picture, its boxes, and the sides that its classes and phrases name.

    Args:
        picture: Any.
        classes: What each class is in the mirror; see `mirror.mirror_classes`.

    Returns:
        The mirrored picture; None where a class has no mirrored one, or no phrase outlives it.
    """
    row = in_mirror(picture.row, picture.size_wh, classes)
    if row is None or (picture.row.referrals and not row.referrals):
        return None
    image = picture.pixels.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return replace(picture.repainted(image), row=row)
