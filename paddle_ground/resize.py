"""How images are resized before a model sees them: the sizes, not the pixels.

Takes sizes and limits; gives the size that PaddleFormers' plugin and then the family's own processor bring
an image to (tests compare with both). Models that speak absolute pixels speak of that image. Knows no box.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.errors import ModelError, RecordError

Size = tuple[int, int]

STOCK_MAX_PIXELS, STOCK_MIN_PIXELS = 768 * 768, 32 * 32
"""The areas between which PaddleFormers brings training images, whatever the processor says."""

_LEAST_SIDE, _LARGEST_RATIO, _RATIO_AFTER = 28, 200, 180  # of PaddleFormers' plugin, for every family


@dataclass(frozen=True, slots=True)
class Resize:
    """What happens to the size of an image on its way to the model.

    Attributes:
        factor: Pixels a side of one visual token; the sides become multiples of it.
        min_pixels: Area below which the processor enlarges an image.
        max_pixels: Area above which the processor shrinks it.
        image_min_pixels: Area below which PaddleFormers enlarges it before that.
        image_max_pixels: Area above which PaddleFormers shrinks it before that.
    """

    factor: int
    min_pixels: int
    max_pixels: int
    image_min_pixels: int = STOCK_MIN_PIXELS
    image_max_pixels: int = STOCK_MAX_PIXELS

    def resized_wh(self, size_wh: Size) -> Size:
        """Give width and height of the image that the model sees, in pixels.

        Args:
            size_wh: Of the image as stored, both sides at least 1.
        """
        return smart_resize(self.limited_wh(size_wh), self.factor, self.min_pixels, self.max_pixels)

    def limited_wh(self, size_wh: Size) -> Size:
        """Follow PaddleFormers' `_preprocess_image`, which comes first: sides are cut to whole pixels."""
        width, height = size_wh
        if width * height > self.image_max_pixels:
            width, height = _scaled(width, height, self.image_max_pixels)
        if width * height < self.image_min_pixels:
            width, height = _scaled(width, height, self.image_min_pixels)
        width, height = max(width, _LEAST_SIDE), max(height, _LEAST_SIDE)
        if width > _LARGEST_RATIO * height:
            width = height * _RATIO_AFTER
        if height > _LARGEST_RATIO * width:
            height = width * _RATIO_AFTER
        return width, height

    def tokens(self, size_wh: Size) -> int:
        """Count the visual tokens of an image, without the two around them."""
        width, height = self.resized_wh(size_wh)
        return (width // self.factor) * (height // self.factor)

    def settings(self) -> dict[str, str]:
        """Give what a samples' meta says of it, text by name; `from_settings` reads it again."""
        return {name: str(getattr(self, field)) for name, field in _NAMES.items()}

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Resize:
        """Read it from a samples' meta.

        Raises:
            RecordError: A number is missing or wrong.
        """
        try:
            numbers = {field: int(settings[name]) for name, field in _NAMES.items()}
        except (KeyError, ValueError) as error:
            raise RecordError(
                f"settings: {error} of the images' resizing; expected whole numbers of {', '.join(_NAMES)}: "
                "prepare the data again"
            ) from error
        return cls(**numbers)

    def __str__(self) -> str:
        """Name the numbers, for messages."""
        return ", ".join(f"{name} {getattr(self, field)}" for name, field in _NAMES.items())


_NAMES = {
    "processor.factor": "factor",
    "processor.min_pixels": "min_pixels",
    "processor.max_pixels": "max_pixels",
    "image.min_pixels": "image_min_pixels",
    "image.max_pixels": "image_max_pixels",
}
RESIZE_SETTINGS = tuple(_NAMES)
"""What `Resize.settings` names."""


def smart_resize(size_wh: Size, factor: int, min_pixels: int, max_pixels: int) -> Size:
    """Give the size that Qwen's image processors bring an image to.

    Args:
        size_wh: Width and height in pixels; one at most 200 times the other, as they ask for.
        factor: What both sides become multiples of.
        min_pixels: Least area.
        max_pixels: Largest area.
    """
    width, height = size_wh
    # `round` rounds halves to even there as well.
    columns, rows = round(width / factor), round(height / factor)
    if columns * rows * factor**2 > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        columns, rows = (max(1, math.floor(side / shrink / factor)) for side in size_wh)
    elif columns * rows * factor**2 < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        columns, rows = (math.ceil(side * grow / factor) for side in size_wh)
    return columns * factor, rows * factor


def read_resize(
    model_dir: str | os.PathLike[str],
    image_min_pixels: int = STOCK_MIN_PIXELS,
    image_max_pixels: int = STOCK_MAX_PIXELS,
) -> Resize:
    """Read how a model's processor resizes.

    Args:
        model_dir: The model's folder.
        image_min_pixels: As in `Resize`.
        image_max_pixels: As in `Resize`.

    Raises:
        ModelError: There is no readable processor config.
    """
    folder = Path(model_dir)
    config: Any = _read_json(folder / "preprocessor_config.json")
    if config is None:
        config = (_read_json(folder / "processor_config.json") or {}).get("image_processor")
    try:
        size = dict(config.get("size") or {})
        # The processors let the older keys win, too.
        smallest = int(config.get("min_pixels") or size["shortest_edge"])
        largest = int(config.get("max_pixels") or size["longest_edge"])
        factor = int(config["patch_size"]) * int(config["merge_size"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{folder}: no image settings in preprocessor_config.json; name a complete model folder"
        ) from error
    return Resize(factor, smallest, largest, image_min_pixels, image_max_pixels)


def _scaled(width: int, height: int, area: int) -> Size:
    scale = math.sqrt(area / (width * height))
    # PaddleFormers stops at a side of 0, so there is nothing to agree with.
    return max(1, int(width * scale)), max(1, int(height * scale))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
