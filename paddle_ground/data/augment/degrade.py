"""Makes a picture look worse, as cheap cameras and messengers do: out of focus, or saved too small."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from paddle_ground.data.augment.picture import Picture


def blur(picture: Picture, generator: np.random.Generator, radius_px: tuple[float, float]) -> Picture:
    """Blur a picture by a Gaussian whose radius is drawn from a range in pixels; boxes stay."""
    radius = generator.uniform(*radius_px)
    return picture.repainted(picture.pixels.image.filter(ImageFilter.GaussianBlur(radius)))


def save_small(picture: Picture, generator: np.random.Generator, quality: tuple[int, int]) -> Picture:
    """Send a picture through JPEG of a quality drawn from a range, both ends included; boxes stay."""
    stream = io.BytesIO()
    drawn = int(generator.integers(quality[0], quality[1] + 1))
    picture.pixels.image.save(stream, "JPEG", quality=drawn)
    with Image.open(stream) as saved:
        return picture.repainted(saved.convert("RGB"))
