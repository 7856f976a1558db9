"""One image file: is it there, what is it, will a trainer see in it what its boxes were drawn on?

Takes a path, gives `ImageFacts`. Reads the header; decodes only on demand, or where a file looks cut off.
Knows no sample.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from paddle_ground.data.check.looks import LOOK_SIDE, fingerprint
from paddle_ground.data.headers import MAX_PIXELS

_ORIENTATION = 0x0112
_MAX_ASPECT = 200  # Qwen's smart resize raises beyond.
_MIN_SIDE = 16  # Half a visual token of Qwen3-VL.
_PLAIN_MODES = {"RGB", "L", "P", "1", "RGBA", "LA", "PA", "RGBX"}
_PLAIN_KINDS = {"JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF"}
# What the last bytes of a whole file hold.
_ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_TAIL = 64


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known about an image file.

    Attributes:
        size_wh: Stored width and height in pixels; (0, 0) where it can't be read.
        content: 64 bits of the hash of the bytes; 0 where it can't be read.
        look: Its perceptual fingerprint (see `looks`); b"" where it was not decoded.
        flaws: Code and message of each problem.
    """

    size_wh: tuple[int, int] = (0, 0)
    content: int = 0
    look: bytes = b""
    flaws: tuple[tuple[str, str], ...] = ()


def inspect_image(path: Path, decode: bool) -> ImageFacts:
    """Look at an image file. Never raises.

    Args:
        path: The file.
        decode: Decode all pixels.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ImageFacts(flaws=(("image_missing", "no such file"),))
    except (OSError, ValueError) as error:
        return ImageFacts(flaws=(("image_unreadable", str(getattr(error, "strerror", "") or error)),))
    content = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
    try:
        with warnings.catch_warnings():
            # The size is checked before anything is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _look_into(data, content, decode)
    except Exception as error:  # Pillow's readers raise whatever their format's parser meets.
        reason = "no image that Pillow can open" if isinstance(error, UnidentifiedImageError) else error
        return ImageFacts(content=content, flaws=(("image_unreadable", f"{len(data)} bytes: {reason}"),))


def _look_into(data: bytes, content: int, decode: bool) -> ImageFacts:
    with Image.open(io.BytesIO(data)) as image:
        size_wh, kind = image.size, image.format or ""
        if size_wh[0] * size_wh[1] > MAX_PIXELS:
            reason = f"{size_wh[0]} x {size_wh[1]} pixels, above the safe limit of {MAX_PIXELS}"
            return ImageFacts(size_wh, content, flaws=(("image_unreadable", reason),))
        flaws = [*_shape_flaws(size_wh), *_content_flaws(image, kind, data)]
        look = b""
        ending = _ENDINGS.get(kind)
        if decode:
            look = _decode(image)
        elif ending is not None and ending not in data[-_TAIL:]:
            # Cut off, or with something appended: only decoding can tell.
            image.load()
        return ImageFacts(size_wh, content, look, tuple(flaws))


def _shape_flaws(size_wh: tuple[int, int]) -> list[tuple[str, str]]:
    width, height = size_wh
    if max(size_wh) > _MAX_ASPECT * min(size_wh):
        return [("image_aspect", f"{width} x {height} pixels")]
    if min(size_wh) < _MIN_SIDE:
        return [("image_tiny", f"{width} x {height} pixels")]
    return []


def _content_flaws(image: Image.Image, kind: str, data: bytes) -> list[tuple[str, str]]:
    flaws = []
    if "exif" in image.info or b"Exif" in data[:4096] or kind not in _ENDINGS:
        orientation = image.getexif().get(_ORIENTATION, 1)
        if orientation in range(2, 9):
            flaws.append(("image_rotated", f"EXIF orientation {orientation}"))
    if image.mode not in _PLAIN_MODES:
        flaws.append(("image_mode", f"mode {image.mode}"))
    if kind not in _PLAIN_KINDS:
        flaws.append(("image_kind", f"{kind or 'unknown'} file"))
    # MPO: phones append a depth or gain map to a JPEG; its first frame is the picture.
    frames = getattr(image, "n_frames", 1) if kind != "MPO" else 1
    if frames > 1:
        flaws.append(("image_animated", f"{frames} frames"))
    return flaws


def _decode(image: Image.Image) -> bytes:
    # A JPEG's brightness alone: all of the file is read and all of its pixels are decoded, yet in half
    # the time. Other formats ignore this.
    image.draft("L", image.size)
    image.load()
    # Palettes and 16 bits can't be averaged as they are.
    plain = image if image.mode in ("RGB", "L") else image.convert("RGB")
    grey = plain if plain.mode == "L" else plain.convert("L")
    small = grey.resize((LOOK_SIDE, LOOK_SIDE), Image.Resampling.BOX)
    return fingerprint(np.asarray(small, dtype=np.uint8))
