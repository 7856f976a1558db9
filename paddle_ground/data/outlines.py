"""Outlines that fill their box: named shapes, any polygon, any mask, drawn to a quarter of a pixel.

Takes a box and what to fill it with, changes the image. Knows no scene and no class.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image

Corners = tuple[tuple[float, float], ...]
"""Corners in a unit square; () is the ellipse."""

FINE = 4
"""Outlines are drawn and placed on a grid of quarter pixels, then averaged down."""


def _star() -> Corners:
    points = []
    for i in range(10):
        radius = 1.0 if i % 2 == 0 else 0.45
        angle = math.pi * i / 5
        points.append((radius * math.sin(angle), -radius * math.cos(angle)))
    xs, ys = zip(*points, strict=True)
    width, height = max(xs) - min(xs), max(ys) - min(ys)
    return tuple(((x - min(xs)) / width, (y - min(ys)) / height) for x, y in points)


# Corners in a unit square that each outline touches on all four sides, so that it fills its box.
OUTLINES: dict[str, Corners] = {
    "circle": (),
    "square": ((0, 0), (1, 0), (1, 1), (0, 1)),
    "triangle": ((0.5, 0), (1, 1), (0, 1)),
    "diamond": ((0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)),
    "cross": tuple(
        (x / 3, y / 3)
        for x, y in (
            (1, 0),
            (2, 0),
            (2, 1),
            (3, 1),
            (3, 2),
            (2, 2),
            (2, 3),
            (1, 3),
            (1, 2),
            (0, 2),
            (0, 1),
            (1, 1),
        )
    ),
    "star": _star(),
}
"""Shape names and their corners; a circle has none."""


def draw_outline(
    image: Image.Image,
    box: tuple[int, int, int, int],
    rgb: tuple[int, int, int],
    outline: Corners | Image.Image,
) -> float:
    """Draw one filled outline.

    Args:
        image: RGB, drawn upon.
        box: Its exact box, in quarter pixels.
        rgb: Its colour.
        outline: Corners, () for an ellipse, or a mask ("L") to be stretched over the box.

    Returns:
        The area that it covers, pixels squared.
    """
    from PIL import ImageDraw

    # The fine canvas starts on a whole pixel, so that averaging meets the image's own grid.
    left, top = box[0] // FINE, box[1] // FINE
    right, bottom = -(-box[2] // FINE), -(-box[3] // FINE)
    canvas = Image.new("L", ((right - left) * FINE, (bottom - top) * FINE))
    x, y = box[0] - left * FINE, box[1] - top * FINE
    last_x, last_y = box[2] - box[0] - 1, box[3] - box[1] - 1
    pen = ImageDraw.Draw(canvas)
    if isinstance(outline, Image.Image):
        canvas.paste(outline.resize((last_x + 1, last_y + 1)), (x, y))
    elif outline:
        pen.polygon([(x + round(u * last_x), y + round(v * last_y)) for u, v in outline], fill=255)
    else:
        pen.ellipse((x, y, x + last_x, y + last_y), fill=255)
    covered = np.count_nonzero(np.asarray(canvas)) / FINE**2
    image.paste(rgb, (left, top), canvas.reduce(FINE))
    return covered


@lru_cache(maxsize=64)
def text_mask(text: str) -> Image.Image:
    """Give a few letters as white on black, cut to what they cover."""
    from PIL import ImageDraw, ImageFont

    canvas = Image.new("L", (160 * len(text), 200))
    ImageDraw.Draw(canvas).text((20, 10), text, fill=255, font=ImageFont.load_default(160))
    return canvas.crop(canvas.getbbox())
