"""Small pictures that fit, all together, into a number of bytes.

Takes image files, gives data URLs. Knows no boxes and no page. The fewer pictures, the larger they are.
"""

from __future__ import annotations

import base64
import io
import logging
import math
import os
from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from PIL import Image

_log = logging.getLogger(__name__)

_PREFIX = "data:image/webp;base64,"
# Longer side in pixels, WebP quality: from what a screen shows to what one can just recognise.
_SIZES = (
    (960, 78), (768, 75), (640, 72), (512, 68), (416, 62), (368, 58), (320, 55), (288, 52), (256, 50),
    (232, 46), (208, 42), (192, 39), (176, 36), (160, 33), (144, 30), (128, 28), (112, 26), (96, 24),
    (80, 22),
)  # fmt: skip
_TRIED = 32
_THREADS = 8


def make_thumbnails(paths: Sequence[Path], budget_bytes: int) -> list[str | None]:
    """Shrink pictures to the largest size at which all of them fit.

    Args:
        paths: Image files.
        budget_bytes: Of all data URLs together.

    Returns:
        One data URL a path, WebP, its orientation as stored; None for a file that can't be read (a warning
        counts them), and for the largest ones where even the smallest size is too much.
    """
    if not paths:
        return []
    made: list[str | None] = []
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as workers:
        for size in _SIZES[_first_to_make(workers, paths, budget_bytes) :]:
            made = list(workers.map(_shrink, paths, repeat(size)))
            if sum(len(one) for one in made if one) <= budget_bytes:
                break
    unread = sum(one is None for one in made)
    if unread:
        _log.warning("%d of %d pictures can't be read; the report shows their boxes alone", unread, len(made))
    return _within(made, budget_bytes)


def _first_to_make(workers: Executor, paths: Sequence[Path], budget_bytes: int) -> int:
    """Tell from a few pictures at which of the sizes all of them should fit; the last one where none does."""
    tried = paths[:: max(1, len(paths) // _TRIED)]

    def fits(row: int) -> bool:
        few = [len(one) for one in workers.map(_shrink, tried, repeat(_SIZES[row])) if one]
        return sum(few) * len(paths) <= budget_bytes * len(few)

    # Smaller ones take fewer bytes: a handful of sizes decides.
    return min(bisect_left(range(len(_SIZES)), True, key=fits), len(_SIZES) - 1)


def _within(made: list[str | None], budget_bytes: int) -> list[str | None]:
    """Leave out the largest ones until the rest fits."""
    total = sum(len(one) for one in made if one)
    for row in sorted(range(len(made)), key=lambda row: -len(made[row] or "")):
        if total <= budget_bytes:
            break
        total -= len(made[row] or "")
        made[row] = None
    return made


def _shrink(path: Path, size: tuple[int, int]) -> str | None:
    longer_side, quality = size
    try:
        with Image.open(path) as image:
            scale = longer_side / max(image.size)
            # JPEG: decoded at a half, a quarter or an eighth, where that is enough.
            image.draft("RGB", (math.ceil(scale * image.width), math.ceil(scale * image.height)))
            picture = _on_white(image)
    except Exception:  # PIL's decoders raise nearly everything at one input or another
        return None
    picture.thumbnail((longer_side, longer_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    out = io.BytesIO()
    # Neither EXIF nor a profile: a browser would turn the picture, but boxes are in stored pixels.
    picture.save(out, "WEBP", quality=quality, method=2, exif=b"", icc_profile=b"")
    return _PREFIX + base64.b64encode(out.getvalue()).decode("ascii")


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    picture = image.convert("RGBA")
    paper = Image.new("RGB", picture.size, "white")
    paper.paste(picture, mask=picture.getchannel("A"))
    return paper
