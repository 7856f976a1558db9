"""An annotated image on its way through tiling and augmentation: pixels, row, and where both came from.

Takes the bytes of an image file and its row, gives pixels when they are asked for and bytes when all
is done; an image that nothing touches is never decoded. Pixels are RGB as the trainer's own loader
makes them, in the stored frame: an EXIF orientation is not applied, and not written again.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from PIL import Image

from paddle_ground.data.augment.rows import SizeWh, Visibility, Window, through_window
from paddle_ground.data.expand import ImageBytes
from paddle_ground.data.source import SourceRow
from paddle_ground.errors import DataError

JPEG_QUALITY = 95
_LOSSLESS = frozenset({"PNG", "BMP", "GIF"})


class Pixels:
    """One image, as a file or as pixels, whichever is needed; for one thread."""

    def __init__(
        self, data: ImageBytes | None = None, image: Image.Image | None = None, lossless: bool = False
    ) -> None:
        """Hold either a file's bytes, or an RGB image and whether to write it without loss."""
        self._data = data
        self._image = image
        self.lossless = lossless

    @property
    def image(self) -> Image.Image:
        """The pixels, RGB; not to be drawn into.

        Raises:
            DataError: The file can't be decoded; the message is a clause without a place.
        """
        if self._image is None:
            self._image, self.lossless = decode(self._data or b"")
        return self._image

    @property
    def data(self) -> ImageBytes:
        """The file: the bytes that came in, or JPEG of quality 95 or PNG of the pixels."""
        if self._data is None:
            self._data = encode(self.image, self.lossless)
        return self._data

    def of(self, image: Image.Image) -> Pixels:
        """Give pixels that are written as these are."""
        return Pixels(image=image, lossless=self.lossless)

    def kept(self, with_image: bool) -> Pixels:
        """Give the same for later: bytes of its own, and the pixels only if they are wanted too."""
        return Pixels(bytes(self.data), self.image if with_image else None, self.lossless)

    def fleeting(self) -> Pixels:
        """Give the same for now: pixels that have yet to be decoded are not remembered here."""
        return Pixels(self._data, self._image, self.lossless)


def decode(data: ImageBytes) -> tuple[Image.Image, bool]:
    """Decode an image file's first frame.

    Returns:
        The image, RGB, and whether its format keeps every pixel as it was.

    Raises:
        DataError: It can't be decoded; the message is a clause without a place.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            lossless = opened.format in _LOSSLESS
            image = opened.convert("RGB")
    except Exception as error:  # Pillow's decoders raise whatever their format's parser meets.
        raise DataError(f"the image can't be decoded ({error})") from error
    # What the file says besides pixels (orientation, colour profile) is not about the new image.
    image.info = {}
    return image, lossless


def encode(image: Image.Image, lossless: bool) -> bytes:
    """Write an RGB image as a PNG file, or as JPEG of quality 95."""
    stream = io.BytesIO()
    if lossless:
        image.save(stream, "PNG", compress_level=3)
    else:
        image.save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


@dataclass(frozen=True, slots=True)
class Picture:
    """An annotated image.

    Attributes:
        row: Its boxes, in its own pixels.
        size_wh: Its width and height in pixels.
        pixels: What can be seen.
        split: "train" or "val".
        sources: `content_key` of each source image that can be seen.
        suffix: What was done, for the file name; "" for an untouched image.
        part: Of the curriculum, from 0 on.
        seed: What everything random about it is drawn from, besides its suffix.
    """

    row: SourceRow
    size_wh: SizeWh
    pixels: Pixels
    split: str
    sources: tuple[str, ...]
    suffix: str = ""
    part: int = 0
    seed: tuple[int, ...] = ()

    def generator(self, purpose: str) -> np.random.Generator:
        """Give a generator that depends on the picture and the purpose alone."""
        return np.random.default_rng([*self.seed, zlib.crc32(f"{self.suffix} {purpose}".encode())])

    def through(
        self, window: Window, new_size_wh: SizeWh, visibility: Visibility, keep_unusable: bool = False
    ) -> Picture:
        """Give what a window of it shows, resized; see `rows.through_window`."""
        row = through_window(self.row, self.size_wh, window, new_size_wh, visibility, keep_unusable)
        size = (window[2] - window[0], window[3] - window[1])
        if size == new_size_wh:
            image = self.pixels.image.crop(window)
        else:
            # Pillow's filters widen where they shrink, so that nothing flickers.
            image = self.pixels.image.resize(new_size_wh, Image.Resampling.BICUBIC, window)
        return replace(self, row=row, size_wh=new_size_wh, pixels=self.pixels.of(image))

    def repainted(self, image: Image.Image) -> Picture:
        """Give the same scene in other pixels of the same size."""
        return replace(self, pixels=self.pixels.of(image))

    @property
    def has_object(self) -> bool:
        """Whether there is an object to answer with."""
        return bool((~self.row.is_crowd).any())


class Stage(Protocol):
    """One step from pictures to pictures: tiling, a curriculum, augmentation."""

    def fresh(self) -> Stage:
        """Give one of the same kind that has seen no picture yet."""

    def __call__(self, picture: Picture) -> Iterator[Picture]:
        """Turn a picture into none, one or several, with suffixes that tell them apart.

        Raises:
            DataError: It can't be decoded; before the first picture, as a clause without a place.
        """
