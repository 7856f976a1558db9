"""Puts parts of four pictures into one, so that objects come in new company and sizes.

As in YOLOv4 (Bochkovskiy et al. 2020): a cross at a random place cuts the canvas, and each quarter
shows one picture. Phrases don't outlive it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from paddle_ground.data.augment.picture import Picture
from paddle_ground.data.augment.rows import SizeWh, Visibility, Window, side_by_side

NEIGHBOURS = 3
_LEAST_SIDE_PX = 64
_CROSS = (0.35, 0.65)
_LEAST_SHOWN = 0.6


def mosaic(
    picture: Picture, others: Sequence[Picture], generator: np.random.Generator, visibility: Visibility
) -> Picture | None:
    """Put a picture together with three others.

    Args:
        picture: It gives the canvas its size.
        others: Where the three are drawn from.
        generator: What draws them, their order, the cross, and the part that is shown of each.
        visibility: Which cut objects are still answered with.

    Returns:
        The four as one picture, without phrases; None where there are no three others, the canvas
        would be small, or a phrase is asked about.
    """
    if len(others) < NEIGHBOURS or min(picture.size_wh) < _LEAST_SIDE_PX or picture.row.referrals:
        return None
    drawn = [others[i] for i in generator.choice(len(others), NEIGHBOURS, replace=False)]
    four = [picture, *(replace(other, pixels=other.pixels.fleeting()) for other in drawn)]
    order = generator.permutation(len(four))
    width, height = picture.size_wh
    cross = [round(side * generator.uniform(*_CROSS)) for side in (width, height)]
    quarters = [
        (x, y, x_end, y_end)
        for y, y_end in ((0, cross[1]), (cross[1], height))
        for x, x_end in ((0, cross[0]), (cross[0], width))
    ]
    canvas = Image.new("RGB", picture.size_wh)
    parts: dict[int, tuple[Picture, tuple[int, int]]] = {}
    for which, quarter in zip(order.tolist(), quarters, strict=True):
        size = (quarter[2] - quarter[0], quarter[3] - quarter[1])
        window = _window_of_shape(four[which].size_wh, size, generator)
        part = four[which].through(window, size, visibility)
        canvas.paste(part.pixels.image, quarter[:2])
        parts[which] = (part, (quarter[0], quarter[1]))
    row = side_by_side([(parts[i][0].row, parts[i][1]) for i in range(len(four))], picture.size_wh)
    sources = tuple(dict.fromkeys(key for one in four for key in one.sources))
    return replace(picture.repainted(canvas), row=row, sources=sources)


def _window_of_shape(size_wh: SizeWh, shape_wh: SizeWh, generator: np.random.Generator) -> Window:
    """Draw a window of a given shape, of more than half the size that the image has room for."""
    room = min(size_wh[0] / shape_wh[0], size_wh[1] / shape_wh[1])
    shown = room * generator.uniform(_LEAST_SHOWN, 1)
    width, height = (
        min(max(round(side * shown), 1), limit) for side, limit in zip(shape_wh, size_wh, strict=True)
    )
    left = int(generator.integers(0, size_wh[0] - width + 1))
    top = int(generator.integers(0, size_wh[1] - height + 1))
    return left, top, left + width, top + height
