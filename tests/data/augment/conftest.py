"""Pictures whose pixels tell where their objects are: bright rectangles on dark, grainy ground."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.data.augment.picture import Picture, Pixels
from paddle_ground.data.expand import content_key
from paddle_ground.data.source import Referral, SourceRow

LIGHT = (255, 230, 120)
Box = Sequence[float]


def _draw(size_wh: tuple[int, int], boxes: Sequence[Box], colours: Sequence[Any] = ()) -> Image.Image:
    """Draw a rectangle a box, which covers the box's pixels and no other."""
    width, height = size_wh
    pixels = np.random.default_rng(width * 1000 + height).integers(15, 30, (height, width, 1)).repeat(3, 2)
    for place, box in enumerate(boxes):
        x_min, y_min, x_max, y_max = (int(number) for number in box)
        pixels[y_min:y_max, x_min:x_max] = colours[place] if colours else LIGHT
    return Image.fromarray(pixels.astype(np.uint8))


def _file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _row(
    boxes: Sequence[Box], referrals: Sequence[tuple[str, tuple[int, ...]]] = (), **changes: Any
) -> SourceRow:
    values: dict[str, Any] = {
        "image_id": 7,
        "read_image": lambda: b"",
        "size_wh": None,
        "boxes_xyxy_px": np.array(boxes, dtype=np.float64).reshape(-1, 4),
        "category_ids": np.zeros(len(boxes), np.int64),
        "areas_px": np.full(len(boxes), np.nan),
        "is_crowd": np.zeros(len(boxes), np.bool_),
        "where": "shard:3",
        "referrals": tuple(Referral(phrase, places) for phrase, places in referrals),
    }
    return SourceRow(**(values | changes))


def _picture(
    size_wh: tuple[int, int],
    boxes: Sequence[Box],
    referrals: Sequence[tuple[str, tuple[int, ...]]] = (),
    colours: Sequence[Any] = (),
    **changes: Any,
) -> Picture:
    data = _file(_draw(size_wh, boxes, colours))
    fields = {"split": "train", "sources": (content_key(data),), "seed": (1, 2, 3)}
    fields |= {name: changes.pop(name) for name in tuple(fields) if name in changes}
    return Picture(_row(boxes, referrals, **changes), size_wh, Pixels(data=data), **fields)


def _bright_box(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Find the rectangle by its pixels: the corners of what is bright, None where nothing is."""
    return image.convert("L").point(lambda value: 255 if value > 110 else 0).getbbox()


@pytest.fixture(scope="session")
def draw() -> Callable[..., Image.Image]:
    """Function that draws a rectangle a box."""
    return _draw


@pytest.fixture(scope="session")
def file() -> Callable[..., bytes]:
    """Function that encodes an image."""
    return _file


@pytest.fixture(scope="session")
def row() -> Callable[..., SourceRow]:
    """Function that makes a row of boxes and phrases."""
    return _row


@pytest.fixture(scope="session")
def picture() -> Callable[..., Picture]:
    """Function that makes a picture with a rectangle a box."""
    return _picture


@pytest.fixture(scope="session")
def bright_box() -> Callable[[Image.Image], tuple[int, int, int, int] | None]:
    """Function that finds the rectangle of a picture by its pixels."""
    return _bright_box
