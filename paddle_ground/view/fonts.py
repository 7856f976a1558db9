"""Find a font that has the characters of a label, Chinese ones included.

Takes a text and a size, gives a Pillow font. Looks, in this order, at the file that the environment
variable PADDLE_GROUND_FONT names, DejaVu Sans (which Matplotlib brings along), Noto Sans SC (from the
package `pylopdf-fonts-zh-cn` of the extra `eval`), and the system's fonts through fontconfig.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from PIL import ImageFont

_log = logging.getLogger(__name__)

FONT_VARIABLE = "PADDLE_GROUND_FONT"
"""Environment variable: a font file to be tried before all others."""

Font = ImageFont.FreeTypeFont

# Module, path inside it. Found without importing: Matplotlib's import takes a quarter of a second.
_PACKAGED = (
    ("matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf"),
    ("pylopdf_fonts_zh_cn", "NotoSansSC-Regular.otf"),
)
# A noncharacter: no font has a glyph for it, so it shows what the font draws instead of a glyph.
_NO_CHARACTER = "\U0010ffff"
_PROBE_SIZE_PX = 24


def font_for(text: str, size_px: int) -> Font:
    """Choose the first font that has every character of a text.

    Args:
        text: What is to be drawn.
        size_px: Height of the letters' em square in pixels, at least 1.

    Returns:
        A font. If none has all characters, the one that has most, and a warning once for each text.
    """
    best, best_missing = "", len(text) + 1
    for path in _candidates(text):
        missing = len(missing_characters(path, text))
        if missing < best_missing:
            best, best_missing = path, missing
        if missing == 0:
            break
    if best_missing:
        _warn_once("".join(sorted(missing_characters(best, text))))
    return load_font(best, size_px)


@functools.lru_cache(maxsize=64)
def load_font(path: str, size_px: int) -> Font:
    """Open a font file; "" is the one built into Pillow."""
    if path:
        return ImageFont.truetype(path, size_px)
    built_in = ImageFont.load_default(size_px)
    if not isinstance(built_in, ImageFont.FreeTypeFont):
        raise OSError("this Pillow was built without FreeType; install Pillow from its wheel")
    return built_in


def missing_characters(path: str, text: str) -> set[str]:
    """Name the characters of a text that a font has no glyph for.

    Args:
        path: A font file, or "" for Pillow's own.
        text: Blanks and invisible characters are passed over.
    """
    return {character for character in set(text) if not _has_glyph(path, character)}


@functools.lru_cache(maxsize=8192)
def _has_glyph(path: str, character: str) -> bool:
    if character.isspace() or unicodedata.category(character) in {"Cf", "Cc", "Mn", "Cs"}:
        return True
    drawn, nothing = _drawn(path, character), _drawn(path, _NO_CHARACTER)
    return drawn != nothing and any(drawn[1])


@functools.lru_cache(maxsize=8192)
def _drawn(path: str, character: str) -> tuple[tuple[int, int], bytes]:
    mask = load_font(path, _PROBE_SIZE_PX).getmask(character)
    return mask.size, bytes(mask)


def _candidates(text: str) -> Iterator[str]:
    chosen = os.environ.get(FONT_VARIABLE)
    if chosen:
        yield _checked(chosen)
    yield from _packaged_fonts()
    yield ""
    if not text.isascii():
        yield from _system_fonts("".join(sorted(set(text)))[:32])


def _checked(path: str) -> str:
    try:
        load_font(path, _PROBE_SIZE_PX)
    except OSError as error:
        _warn_unreadable(path, str(error))
        return ""
    return path


@functools.cache
def _packaged_fonts() -> tuple[str, ...]:
    found = []
    for module, inside in _PACKAGED:
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).parent / inside
            if path.is_file():
                found.append(str(path))
    return tuple(found)


@functools.lru_cache(maxsize=256)
def _system_fonts(characters: str) -> tuple[str, ...]:
    """Ask fontconfig for scalable fonts that hold these characters."""
    command = shutil.which("fc-list")
    if command is None:
        return ()
    charset = " ".join(f"{ord(character):x}" for character in characters if not character.isspace())
    query = [command, f":scalable=true:charset={charset}", "--format=%{file}\n"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(path for path in sorted(set(answer.stdout.splitlines())) if _checked(path))


@functools.cache
def _warn_once(characters: str) -> None:
    _log.warning(
        "no font here has the characters %s; install one with `pip install 'paddle_ground[eval]'` or name "
        "a font file in the environment variable %s",
        characters, FONT_VARIABLE,
    )  # fmt: skip


@functools.cache
def _warn_unreadable(path: str, reason: str) -> None:
    _log.warning("%s: no readable font (%s); choosing another", path, reason)
