"""Images as they are sent to a teacher: the file as it is, or smaller, as a data URL.

Takes the bytes of an image file, gives what to send and the size in which the teacher sees it. Reads no file.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

from PIL import Image

from paddle_ground.data.headers import read_header
from paddle_ground.errors import DataError

# What every server's decoder knows, by suffix; all else is sent as PNG.
_SENT_AS_IS = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_ORIENTATION = 0x0112  # EXIF


@dataclass(frozen=True, slots=True)
class SentImage:
    """An image as a teacher gets it.

    Attributes:
        url: A data URL.
        size_wh: Of the image file, in pixels, as stored.
        sent_size_wh: Of what is sent.
    """

    url: str
    size_wh: tuple[int, int]
    sent_size_wh: tuple[int, int]


def make_sendable(data: bytes, max_pixels: int | None, side_multiple: int = 1) -> SentImage:
    """Make an image what a teacher shall see.

    An image that its EXIF data turns is sent as stored, without that note: some servers follow it and some
    don't, and boxes are wanted in stored pixels.

    Args:
        data: The image file.
        max_pixels: The most that are sent; None for any number.
        side_multiple: What the sides of the sent image are multiples of.

    Raises:
        DataError: It is no readable image; a clause, for the caller to complete.
    """
    header = read_header(data)
    sent_size_wh = _fit(header.size_wh, max_pixels, side_multiple)
    try:
        with Image.open(io.BytesIO(data)) as image:
            is_turned = image.getexif().get(_ORIENTATION, 1) != 1
            if sent_size_wh == header.size_wh and header.suffix in _SENT_AS_IS and not is_turned:
                return SentImage(_url(_SENT_AS_IS[header.suffix], data), header.size_wh, sent_size_wh)
            is_jpeg = header.suffix == ".jpg"
            pixels = image.convert("RGB")
        if sent_size_wh != header.size_wh:
            pixels = pixels.resize(sent_size_wh, Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"not a readable image ({error})") from error
    stream = io.BytesIO()
    if is_jpeg:
        pixels.save(stream, "JPEG", quality=95)
        return SentImage(_url("image/jpeg", stream.getvalue()), header.size_wh, sent_size_wh)
    pixels.save(stream, "PNG")
    return SentImage(_url("image/png", stream.getvalue()), header.size_wh, sent_size_wh)


def _fit(size_wh: tuple[int, int], max_pixels: int | None, multiple: int) -> tuple[int, int]:
    """Give the size to send: the image's shape as nearly as multiples allow, and not above the limit."""
    width, height = size_wh
    scale = 1.0 if max_pixels is None else min(1.0, math.sqrt(max_pixels / (width * height)))
    if scale == 1.0 and width % multiple == 0 and height % multiple == 0:
        return size_wh
    # Down where there is a limit, else to the nearest: a sliver keeps at least one multiple.
    steps = [side * scale / multiple for side in size_wh]
    whole = [math.floor(step) if scale < 1.0 else math.floor(step + 0.5) for step in steps]
    return max(whole[0], 1) * multiple, max(whole[1], 1) * multiple


def _url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
