"""One colour a class, the same in every picture, run and process.

Takes a label, gives colours. Knows no image.
"""

from __future__ import annotations

import hashlib
import math
from typing import TypeAlias

Color: TypeAlias = tuple[int, int, int]
"""Red, green, blue, each 0..255."""

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)

CROWD_SUFFIX = " (crowd)"
"""What a group's label ends with; the group has its class's colour."""

_HUES = 18
# Lightness and chroma in OKLCH: a bright and a deep tone. In that space equal steps of hue look equally
# large and equally bright, unlike in HSL, where yellow and green glare and blue drowns.
_TONES = ((0.76, 0.17), (0.52, 0.19))
# Found by search: with it Pascal VOC's classes all differ, and almost all of our synthetic ones.
_SALT = (58833).to_bytes(2, "big")


def label_color(label: str) -> Color:
    """Choose a class's colour from its name alone.

    Two names can share a colour: there are 36, so that neighbours can be told apart.

    Args:
        label: The class's name; case and blanks around it don't matter.
    """
    name = label.removesuffix(CROWD_SUFFIX).strip().casefold()
    # Not hash(): Python salts that anew in every process.
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, salt=_SALT).digest()
    return PALETTE[int.from_bytes(digest, "big") % len(PALETTE)]


def text_color_on(background: Color) -> Color:
    """Choose black or white text, whichever stands out more (WCAG 2 contrast ratio)."""
    luminance = relative_luminance(background)
    on_black, on_white = (luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05)
    return BLACK if on_black >= on_white else WHITE


def relative_luminance(color: Color) -> float:
    """Measure how bright a colour looks, 0..1, after WCAG 2."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in color)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _palette() -> tuple[Color, ...]:
    return tuple(
        _from_oklch(lightness, chroma, math.tau * (step + 0.5) / _HUES)
        for lightness, chroma in _TONES
        for step in range(_HUES)
    )


def _from_oklch(lightness: float, chroma: float, hue: float) -> Color:
    """Convert from OKLCH (B. Ottosson, 2020) to sRGB, with less chroma where sRGB has no such color."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    if min(linear) < 0 or max(linear) > 1:
        return _from_oklch(lightness, chroma * 0.97, hue)
    red, green, blue = (_to_srgb(value) for value in linear)
    return red, green, blue


def _to_srgb(linear: float) -> int:
    value = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(value * 255)


PALETTE = _palette()
