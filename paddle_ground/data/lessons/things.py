"""Pictures of named things: coloured shapes and digits on textured ground, small and large.

Takes a random generator, gives an image and its things with their exact boxes. Knows no question. Every
number comes from the generator, so a picture depends on its seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from paddle_ground.boxes import FloatArray
from paddle_ground.data.outlines import FINE, OUTLINES, draw_outline, text_mask
from paddle_ground.data.scenes import COLOURS, SceneStyle, draw_ground, place_boxes

DIGITS = tuple("0123456789")
KINDS: tuple[str, ...] = (*OUTLINES, *DIGITS)
"""What a thing may be: a shape by its name, or a digit."""

DIGIT_SHARE = 0.15
"""Of the things in a picture, unless another is asked for."""

_SMALL, _LARGE = 0.03, 0.1
_STEP, _DRAWN = 32, 192
# Sides whose area stays within 128 x 128 .. 160 x 160, in the steps that the vision tower sees.
_SIDES = ((128, 128), (160, 160), (160, 128), (128, 160), (192, 128), (128, 192))


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing in a picture.

    Attributes:
        colour: A name from `COLOURS`.
        kind: A name from `KINDS`.
        box_xyxy_px: Its exact box, pixels.
        size: "small", "large" or "" for one between, by the part of the picture that its box covers.
    """

    colour: str
    kind: str
    box_xyxy_px: tuple[float, float, float, float]
    size: str

    @property
    def is_digit(self) -> bool:
        """Whether it is a digit and no shape."""
        return self.kind in DIGITS


def draw_things(
    generator: np.random.Generator,
    most: int,
    easy: bool = False,
    scale: float = 1.0,
    digit_share: float = DIGIT_SHARE,
) -> tuple[Image.Image, tuple[Thing, ...]]:
    """Draw a picture.

    Args:
        generator: Where every random number comes from.
        most: How many things it holds at most; at least one, and fewer more often than many.
        easy: Square, with shapes alone on nearly plain ground: what a model learns to point at first.
        scale: Of the sides. A tower that sees 16 pixels at once learns what a thing is only where the thing
            covers several times as many.
        digit_share: Part of the things that are digits, 0 to 1; easy pictures have none.

    Returns:
        The RGB image, 128 to 192 pixels a side (times `scale`, in whole steps of 32), and its things in
        the order in which they were drawn.
    """
    wide, high = _SIDES[0 if easy else int(generator.integers(len(_SIDES)))]
    size_wh = (round(wide * scale / _STEP) * _STEP, round(high * scale / _STEP) * _STEP)
    count = int(generator.integers(1, most + 1))
    style = SceneStyle(
        side_px=round(_DRAWN * scale),
        min_shapes=1,
        max_shapes=count,
        min_size=0.14 if count > 2 else 0.18,
        max_size=0.36 if count > 2 else 0.55,
        max_stretch=1.2,
        texture=float(generator.uniform(0, 0.1 if easy else 0.5)),
        colours=tuple(COLOURS),
    )
    square = draw_ground(style, generator)
    placed = [
        (box, *_paint(square, box, generator, 0 if easy else digit_share))
        for box in place_boxes(style, generator)
    ]
    image = square.resize(size_wh, Image.Resampling.BICUBIC)
    shrunk = np.array([*size_wh, *size_wh]) / style.side_px
    return image, tuple(
        _thing(colour, kind, np.array(box) / FINE * shrunk, size_wh) for box, colour, kind in placed
    )


def _thing(colour: str, kind: str, box: FloatArray, size_wh: tuple[int, int]) -> Thing:
    left, top, right, bottom = box.tolist()
    share = (right - left) * (bottom - top) / (size_wh[0] * size_wh[1])
    size = "small" if share < _SMALL else "large" if share > _LARGE else ""
    return Thing(colour, kind, (left, top, right, bottom), size)


def _paint(
    image: Image.Image, box: tuple[int, int, int, int], generator: np.random.Generator, digit_share: float
) -> tuple[str, str]:
    colour = list(COLOURS)[int(generator.integers(len(COLOURS)))]
    pool = DIGITS if generator.random() < digit_share else tuple(OUTLINES)
    kind = pool[int(generator.integers(len(pool)))]
    shade = np.clip(np.array(COLOURS[colour]) + generator.integers(-14, 15, 3), 0, 255).tolist()
    draw_outline(image, box, tuple(shade), OUTLINES[kind] if kind in OUTLINES else text_mask(kind))
    return colour, kind
