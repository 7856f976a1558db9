"""What a model folder says of how its model must be asked.

Takes a folder; gives its `grounding.json` and the pixel limits in it, or what is assumed without one.
"""

from __future__ import annotations

import logging
from pathlib import Path

from paddle_ground.infer.preprocess import PixelLimits
from paddle_ground.records import GroundingConfig, read_grounding
from paddle_ground.records.meta import GROUNDING_FILE
from paddle_ground.spaces import RELATIVE_1000

LOGGER = logging.getLogger(__name__)


def grounding_of(model_dir: str | Path) -> GroundingConfig | None:
    """Read how a model must be asked, or say aloud that it doesn't tell.

    Raises:
        RecordError: There is a `grounding.json`, and it is wrong.
    """
    if (Path(model_dir) / GROUNDING_FILE).is_file():
        return read_grounding(model_dir)
    limits = pixel_limits(None)
    LOGGER.warning(
        "%s: no %s, so Qwen3-VL's defaults are assumed: boxes in %s, either answer format, "
        "images of at most %d pixels",
        model_dir, GROUNDING_FILE, RELATIVE_1000.name, limits.max_pixels,
    )  # fmt: skip
    return None


def pixel_limits(grounding: GroundingConfig | None) -> PixelLimits:
    """Give the image areas that a model was trained with; PaddleFormers' own where it doesn't tell."""
    if grounding is not None:
        return PixelLimits(grounding.min_pixels, grounding.max_pixels)
    from paddle_ground.backend.mends import STOCK_MAX_PIXELS, STOCK_MIN_PIXELS

    return PixelLimits(STOCK_MIN_PIXELS, STOCK_MAX_PIXELS)
