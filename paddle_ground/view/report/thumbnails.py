"""Small pictures that fit, all together, into a number of bytes.

Takes image files, gives data URLs. Knows no boxes and no page. The fewer pictures, the larger they are.
"""

from __future__ import annotations

import base64
import io
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

_log = logging.getLogger(__name__)

_PREFIX = "data:image/webp;base64,"
# Longer side in pixels, WebP quality: from what a screen shows to what one can just recognise.
_SIZES = (
    (960, 78), (768, 75), (640, 72), (512, 68), (416, 62), (320, 55), (256, 50), (208, 42), (176, 36),
    (144, 30), (112, 26), (80, 22),
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
    tried = paths[:: max(1, len(paths) // _TRIED)]
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as workers:
        for size in _SIZES:
            # Most sizes are ruled out by a few pictures; only the last one or two are made of all.
            few = [len(one) for one in workers.map(_shrink, tried, [size] * len(tried)) if one]
            if size != _SIZES[-1] and sum(few) * len(paths) > budget_bytes * len(few):
                continue
            made = list(workers.map(_shrink, paths, [size] * len(paths)))
            if sum(len(one) for one in made if one) <= budget_bytes:
                break
    unread = sum(one is None for one in made)
    if unread:
        _log.warning("%d of %d pictures can't be read; the report shows their boxes alone", unread, len(made))
    return _within(made, budget_bytes)


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
            image.draft("RGB", (longer_side, longer_side))  # JPEG: decoded at half its size or less
            picture = _on_white(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
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
