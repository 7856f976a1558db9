"""Makes augmented copies of the pictures that are trained on: which operations, how often, how far.

Takes a picture, gives it and its copies. Each copy is drawn from its picture's seed and its number
alone, but for mosaics, which also take from the pictures that came before in the same chunk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from paddle_ground.data.augment.colour import ColourRanges, change_colours, keeps_colours, to_grey
from paddle_ground.data.augment.crop import crop
from paddle_ground.data.augment.degrade import blur, save_small
from paddle_ground.data.augment.flip import flip
from paddle_ground.data.augment.mirror import mirror_classes
from paddle_ground.data.augment.mosaic import mosaic
from paddle_ground.data.augment.picture import Picture
from paddle_ground.data.augment.rows import Visibility
from paddle_ground.data.augment.scale import scale
from paddle_ground.data.augment.words import speaks_of_colour
from paddle_ground.errors import ConfigError

_REMEMBERED = 8  # How many pictures a mosaic may take its neighbours from.
_KEPT_PIXELS = 1_000_000  # Three megabytes each.
_BLUR_RADIUS_PX = (0.5, 1.5)
_SMALL_QUALITY = (30, 75)


@dataclass(frozen=True, slots=True)
class AugmentOptions:
    """How training pictures are varied.

    Attributes:
        copies: How many altered copies each training picture gets besides itself.
        flip: How often a copy is mirrored from left to right, 0..1.
        crop: How often a part is cut out.
        crop_area: The least and the largest share of the area that is cut out.
        min_visible: The least share of an object's area that must be left of it; see
            `rows.Visibility`. Higher than for tiles, since nothing forces the cut.
        scale: How often the size changes.
        scale_range: The smallest and the largest factor of width and height.
        stretch: How much width over height may change with it: 0.1 for a tenth.
        mosaic: How often a copy becomes one of four pictures; the other three are from the same
            chunk of the source.
        colour: How often light and colours change.
        brightness: Largest change of the factor: 0.2 draws from 0.8 to 1.2.
        contrast: The same.
        saturation: The same; half of it where colours are asked for by name.
        hue: Largest turn as a part of the colour circle; none where colours are asked for by name.
        grey: How often the colours are taken out; never where they are asked for by name.
        blur: How often a copy is blurred.
        small: How often a copy goes through a JPEG of low quality.

    Raises:
        ConfigError: A number is out of its range.
    """

    copies: int = 1
    flip: float = 0.5
    crop: float = 0.5
    crop_area: tuple[float, float] = (0.3, 0.9)
    min_visible: float = 0.3
    scale: float = 0.3
    scale_range: tuple[float, float] = (0.5, 1.25)
    stretch: float = 0.1
    mosaic: float = 0.15
    colour: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.3
    hue: float = 0.02
    grey: float = 0.02
    blur: float = 0.05
    small: float = 0.1

    def __post_init__(self) -> None:
        """Refuse numbers out of their range."""
        if not 1 <= self.copies <= 100:
            raise ConfigError(f"augment is {self.copies}; ask for 1 to 100 copies of each training image")
        limits = dict.fromkeys(("flip", "crop", "scale", "mosaic", "colour", "grey", "blur", "small"), 1.0)
        limits |= dict.fromkeys(("min_visible", "brightness", "contrast", "saturation", "stretch"), 1.0)
        for name, limit in {**limits, "hue": 0.5}.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise ConfigError(f"augmentation: {name} is {value:g}; it must be 0 to {limit:g}")
        for name, limit in (("crop_area", 1.0), ("scale_range", 4.0)):
            low, high = getattr(self, name)
            if not 0.05 <= low <= high <= limit:
                raise ConfigError(
                    f"augmentation: {name} is {low:g}..{high:g}; it must be a range in 0.05..{limit:g}"
                )


class Augmentation:
    """The stage that adds altered copies to training pictures; pictures of val pass as they are."""

    def __init__(self, options: AugmentOptions, class_names: Sequence[str]) -> None:
        """Take the options, and the class names by category id: some name sides or colours."""
        self._options = options
        self._class_names = tuple(class_names)
        self._mirrored = mirror_classes(class_names)
        self._colourful = any(speaks_of_colour(name) for name in class_names)
        self._seen: deque[Picture] = deque(maxlen=_REMEMBERED)

    def fresh(self) -> Augmentation:
        """Give one of the same options that has seen no picture yet."""
        return Augmentation(self._options, self._class_names)

    def __call__(self, picture: Picture) -> Iterator[Picture]:
        """Yield the picture and, if it is of train, its copies, named `_a1` and so on.

        Raises:
            DataError: It can't be decoded.
        """
        if picture.split != "train":
            yield picture
            return
        _ = picture.pixels.image  # Decoded now: a broken picture shall not come out at all.
        yield picture
        for number in range(1, self._options.copies + 1):
            copy = replace(picture, suffix=f"{picture.suffix}_a{number}")
            yield self._altered(copy, copy.generator("augment"))
        if self._options.mosaic and not picture.row.referrals:
            # Small ones stay decoded, which halves the time; large ones would fill the memory.
            is_small = picture.size_wh[0] * picture.size_wh[1] <= _KEPT_PIXELS
            self._seen.append(replace(picture, pixels=picture.pixels.kept(is_small)))

    def _altered(self, picture: Picture, generator: np.random.Generator) -> Picture:
        reshaped = self._reshaped(picture, generator)
        altered = self._repainted(reshaped, generator)
        # A copy that drew nothing at all would be its picture once more.
        return self._recoloured(altered, generator) if altered is picture else altered

    def _reshaped(self, picture: Picture, generator: np.random.Generator) -> Picture:
        options = self._options
        visibility = Visibility(options.min_visible)
        wants = dict(zip(("mosaic", "crop", "flip", "scale"), generator.random(4).tolist(), strict=True))
        joined = None
        if wants["mosaic"] < options.mosaic:
            joined = mosaic(picture, self._seen, generator, visibility)
            picture = joined or picture
        if joined is None and wants["crop"] < options.crop:
            picture = crop(picture, generator, options.crop_area, visibility) or picture
        if wants["flip"] < options.flip:
            picture = flip(picture, self._mirrored) or picture
        if wants["scale"] < options.scale:
            picture = scale(picture, generator, options.scale_range, options.stretch) or picture
        return picture

    def _repainted(self, picture: Picture, generator: np.random.Generator) -> Picture:
        options = self._options
        colour, grey, blurred, small = generator.random(4).tolist()
        if grey < options.grey and not keeps_colours(picture, self._colourful):
            picture = to_grey(picture)
        elif colour < options.colour:
            picture = self._recoloured(picture, generator)
        if blurred < options.blur:
            picture = blur(picture, generator, _BLUR_RADIUS_PX)
        if small < options.small:
            picture = save_small(picture, generator, _SMALL_QUALITY)
        return picture

    def _recoloured(self, picture: Picture, generator: np.random.Generator) -> Picture:
        options = self._options
        ranges = ColourRanges(options.brightness, options.contrast, options.saturation, options.hue)
        return change_colours(picture, generator, ranges, keeps_colours(picture, self._colourful))
