"""Changes a picture's light and colours: brightness, contrast, saturation, hue, and grey.

Colours that are asked for stay what they are: where a phrase or a class name names one, hue is left
alone, saturation changes by half as much, and nothing turns grey.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from paddle_ground.data.augment.picture import Picture
from paddle_ground.data.augment.words import speaks_of_colour


@dataclass(frozen=True, slots=True)
class ColourRanges:
    """How far light and colours may change.

    Attributes:
        brightness: Largest change of the factor, 0..1: 0.2 draws from 0.8 to 1.2.
        contrast: The same.
        saturation: The same.
        hue: Largest turn, as a part of the colour circle, 0..0.5.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float


def keeps_colours(picture: Picture, classes_named_by_colour: bool) -> bool:
    """Tell whether a picture's colours are asked for by name."""
    return classes_named_by_colour or any(speaks_of_colour(r.phrase) for r in picture.row.referrals)


def change_colours(
    picture: Picture, generator: np.random.Generator, ranges: ColourRanges, keep_colours: bool
) -> Picture:
    """Change light and colours at random; boxes stay.

    Args:
        picture: Any.
        generator: Where the changes are drawn from.
        ranges: How far.
        keep_colours: Whether colours must keep their names.
    """
    saturation = ranges.saturation / 2 if keep_colours else ranges.saturation
    # Always drawn, so that what follows does not depend on the words.
    factors = 1 + generator.uniform(-1, 1, 3) * (ranges.brightness, ranges.contrast, saturation)
    turn = generator.uniform(-ranges.hue, ranges.hue)
    image = picture.pixels.image
    for enhance, factor in zip(
        (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), factors.tolist(), strict=True
    ):
        image = enhance(image).enhance(factor)
    if not keep_colours and round(turn * 256) != 0:
        image = _turn_hue(image, round(turn * 256))
    return picture.repainted(image)


def to_grey(picture: Picture) -> Picture:
    """Take the colours out; boxes stay."""
    return picture.repainted(picture.pixels.image.convert("L").convert("RGB"))


def _turn_hue(image: Image.Image, steps: int) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    # 256 steps are the whole circle, and it has no end.
    turned = hue.point([(number + steps) % 256 for number in range(256)])
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")
