"""What a model folder says of how its model must be asked.

Takes a folder; gives its `grounding.json`, the pixel limits in it and the numbers that the model speaks, or
what is assumed without one.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from paddle_ground.families import DEFAULT, Family, family_of
from paddle_ground.infer.preprocess import PixelLimits
from paddle_ground.records import GroundingConfig, read_grounding
from paddle_ground.records.meta import GROUNDING_FILE
from paddle_ground.resize import STOCK_MAX_PIXELS, STOCK_MIN_PIXELS, Resize
from paddle_ground.spaces import CoordinateSpace, coordinate_space

LOGGER = logging.getLogger(__name__)


def grounding_of(model_dir: str | Path) -> GroundingConfig | None:
    """Read how a model must be asked, or say aloud that it doesn't tell.

    Raises:
        RecordError: There is a `grounding.json`, and it is wrong.
    """
    if (Path(model_dir) / GROUNDING_FILE).is_file():
        return read_grounding(model_dir)
    if not Path(model_dir).is_dir():
        return None  # who loads it tells
    limits, family = pixel_limits(None), family_of(model_dir) or DEFAULT
    LOGGER.warning(
        "%s: no %s, so %s's defaults are assumed: boxes in %s, either answer format, "
        "images of at most %d pixels",
        model_dir, GROUNDING_FILE, family.title, family.coordinate_space, limits.max_pixels,
    )  # fmt: skip
    return None


def pixel_limits(grounding: GroundingConfig | None) -> PixelLimits:
    """Give the image areas that a model was trained with; PaddleFormers' own where it doesn't tell."""
    if grounding is not None:
        return PixelLimits(grounding.min_pixels, grounding.max_pixels)
    return PixelLimits(STOCK_MIN_PIXELS, STOCK_MAX_PIXELS)


def model_space(grounding: GroundingConfig | None, family: Family, processor: Any) -> CoordinateSpace:
    """Give the numbers in which a model speaks of boxes.

    Args:
        grounding: How it was tuned; none for a published model, which speaks as its family does.
        family: Of the model.
        processor: PaddleFormers' processor of it; its limits tell of which pixels absolute boxes are.

    Raises:
        BoxError: Nobody knows the space in `grounding`.
    """
    limits, images = pixel_limits(grounding), processor.image_processor
    resize = Resize(
        factor=int(images.patch_size) * int(images.merge_size),
        min_pixels=int(images.size["shortest_edge"]),
        max_pixels=int(images.size["longest_edge"]),
        image_min_pixels=limits.min_pixels,
        image_max_pixels=limits.max_pixels,
    )
    return coordinate_space(grounding.coordinate_space if grounding else family.coordinate_space, resize)
