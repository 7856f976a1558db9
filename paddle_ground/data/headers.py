"""What kind of image some bytes are, and how large: read from the header, no pixel is decoded.

Takes the bytes of an image file, gives its suffix and size. Knows no data set.
JPEG (ITU-T T.81, annex B) and PNG (ISO 15948) are read here, since nearly all images are one of the
two and this is ten times as fast; the rest goes through Pillow.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from paddle_ground.errors import DataError

MAX_PIXELS = 89_478_485
"""Above this Pillow warns of a decompression bomb (a quarter of a gigabyte as RGB)."""

# Formats that the trainer's own loader opens without loss; the first frame counts for GIF and WebP.
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif"}
_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
# Start-of-frame markers, which hold the size: C0..CF but for the tables DHT, JPG and DAC.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image file says of itself.

    Attributes:
        suffix: The file name suffix of its real format, such as ".jpg".
        size_wh: Stored width and height in pixels (an EXIF orientation is not applied).
    """

    suffix: str
    size_wh: tuple[int, int]


def read_header(data: bytes | memoryview) -> ImageHeader:
    """Read an image's format and size.

    Args:
        data: The whole file.

    Raises:
        DataError: These bytes are no image of a known format, or one too large to decode safely.
            The message is a clause without a place, for the caller to complete.
    """
    header = _read_png(data) or _read_jpeg(data) or _read_other(data)
    width, height = header.size_wh
    if width < 1 or height < 1:
        raise DataError(f"the image is {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise DataError(f"the image is {width} x {height} pixels, above the safe limit of {MAX_PIXELS}")
    return header


def _read_png(data: bytes | memoryview) -> ImageHeader | None:
    if len(data) < 33 or data[:16] != _PNG_START:
        return None
    return ImageHeader(".png", struct.unpack_from(">II", data, 16))


def _read_jpeg(data: bytes | memoryview) -> ImageHeader | None:
    if data[:2] != b"\xff\xd8":
        return None
    position, end = 2, len(data) - 9
    while position < end and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # A fill byte.
            position += 1
        elif marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return ImageHeader(".jpg", (width, height))
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # Markers without content.
            position += 2
        else:
            position += 2 + int(struct.unpack_from(">H", data, position + 2)[0])
    return None


def _read_other(data: bytes | memoryview) -> ImageHeader:
    # Here, since most data sets don't need it.
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            kind, size_wh = image.format or "unknown", image.size
    except Image.DecompressionBombError as error:
        raise DataError(f"the image is too large to decode safely ({error})") from error
    except Exception as error:  # Pillow's readers raise whatever their format's parser meets.
        raise DataError(f"these {len(data)} bytes are no image that Pillow can open") from error
    if kind not in _SUFFIXES:
        raise DataError(f"the image is a {kind} file; convert it to JPEG or PNG")
    return ImageHeader(_SUFFIXES[kind], size_wh)
