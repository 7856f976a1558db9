"""Turn training images into patches in numpy, where PaddleFormers uses a dozen tensor operators.

Takes PaddleFormers' multimodal plugin, by replacing one method; gives the same patches
(a test compares them with the stock ones). An image that must be resized, or any video,
takes the stock way, so that resampling stays PaddleFormers' own.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def apply() -> None:
    """Replace `_get_mm_inputs` of the families' plugins. Calling it again changes nothing."""
    from paddleformers.datasets.template.mm_plugin import Qwen2VLPlugin, Qwen3VLPlugin

    # Each plugin has a method of its own, and so have those that derive from them.
    for plugin in (Qwen2VLPlugin, Qwen3VLPlugin):
        _replace(plugin)


def _replace(plugin: Any) -> None:
    stock = plugin._get_mm_inputs
    if getattr(stock, "_paddle_ground", False):
        return

    @functools.wraps(stock)
    def get_mm_inputs(self: Any, images: Any, videos: Any, audios: Any, processor: Any, **kwargs: Any) -> Any:
        fast = None if videos or not images else _image_inputs(self, images, processor)
        return stock(self, images, videos, audios, processor, **kwargs) if fast is None else fast

    get_mm_inputs._paddle_ground = True  # type: ignore[attr-defined]
    plugin._get_mm_inputs = get_mm_inputs


def _image_inputs(plugin: Any, images: Any, processor: Any) -> dict[str, Any] | None:
    import paddle

    settings = processor.image_processor
    opened = plugin._regularize_images(
        images,
        image_max_pixels=getattr(processor, "image_max_pixels", 768 * 768),
        image_min_pixels=getattr(processor, "image_min_pixels", 32 * 32),
    )["images"]
    factor = settings.patch_size * settings.merge_size
    if any(not _fits(image.size, factor, settings.size) for image in opened):
        return None
    parts = [patchify(np.asarray(image), settings) for image in opened]
    grids = [[1, image.height // settings.patch_size, image.width // settings.patch_size] for image in opened]
    return {
        "pixel_values": paddle.to_tensor(np.concatenate(parts)),
        "image_grid_thw": paddle.to_tensor(grids),
    }


def _fits(size_wh: tuple[int, int], factor: int, limits: Any) -> bool:
    """Tell whether Qwen's smart resize would leave the size as it is."""
    width, height = size_wh
    area = width * height
    return (
        width % factor == 0
        and height % factor == 0
        and limits["shortest_edge"] <= area <= limits["longest_edge"]
        and max(size_wh) <= 200 * min(size_wh)
    )


def patchify(pixels_hwc: NDArray[np.uint8], settings: Any) -> NDArray[np.float32]:
    """Normalise an image and cut it into patches, in the order that the vision tower reads.

    Args:
        pixels_hwc: (height, width, 3), sides multiples of patch_size * merge_size.
        settings: The image processor: patch_size, merge_size, temporal_patch_size,
            rescale_factor, image_mean, image_std.

    Returns:
        (patches, 3 * temporal_patch_size * patch_size ** 2).
    """
    patch, merge, frames = settings.patch_size, settings.merge_size, settings.temporal_patch_size
    height, width, channels = pixels_hwc.shape
    # Rescaling is folded into mean and deviation, as the stock processor does.
    mean = np.asarray(settings.image_mean, np.float32) * np.float32(1 / settings.rescale_factor)
    std = np.asarray(settings.image_std, np.float32) * np.float32(1 / settings.rescale_factor)
    scaled = (pixels_hwc.astype(np.float32) - mean) / std
    blocks = scaled.reshape(
        height // patch // merge, merge, patch, width // patch // merge, merge, patch, channels
    )
    # (rows, columns, row in merge, column in merge, channel, y, x)
    blocks = blocks.transpose(0, 3, 1, 4, 6, 2, 5)
    count = math.prod(blocks.shape[:4])
    still = blocks.reshape(count, channels, 1, patch * patch)
    return np.broadcast_to(still, (count, channels, frames, patch * patch)).reshape(count, -1)
