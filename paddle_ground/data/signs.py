"""Road signs: what the demo teaches a model that has seen shapes and colours, but never a sign.

Takes a sign's name and box, changes the image. The signs follow the Vienna Convention on Road Signs and
Signals (1968) in colour and outline; their proportions are our own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from paddle_ground.data.outlines import OUTLINES, Corners, draw_outline, text_mask

_RED, _BLUE, _YELLOW = (200, 25, 35), (20, 75, 170), (245, 195, 20)
_WHITE, _BLACK = (240, 240, 240), (25, 25, 25)

_BEVEL = 1 - 1 / math.sqrt(2)
_OCTAGON: Corners = tuple(
    (x, y)
    for x, y in (
        (_BEVEL, 0), (1 - _BEVEL, 0), (1, _BEVEL), (1, 1 - _BEVEL),
        (1 - _BEVEL, 1), (_BEVEL, 1), (0, 1 - _BEVEL), (0, _BEVEL),
    )
)  # fmt: skip
_DOWNWARD: Corners = ((0, 0), (1, 0), (0.5, 1))
_ARROW: Corners = ((0.5, 0), (1, 0.45), (0.65, 0.45), (0.65, 1), (0.35, 1), (0.35, 0.45), (0, 0.45))
_WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class _Layer:
    """One outline of a sign; `place_xyxy` in parts of the sign's box. Letters where there is a text."""

    rgb: tuple[int, int, int]
    corners: Corners
    place_xyxy: tuple[float, float, float, float] = _WHOLE
    text: str = ""


def _inner(by: float) -> tuple[float, float, float, float]:
    return by, by, 1 - by, 1 - by


_CIRCLE, _SQUARE = OUTLINES["circle"], OUTLINES["square"]
_TRIANGLE, _DIAMOND = OUTLINES["triangle"], OUTLINES["diamond"]

SIGNS: dict[str, tuple[_Layer, ...]] = {
    "stop sign": (
        _Layer(_RED, _OCTAGON),
        _Layer(_WHITE, (), (0.12, 0.34, 0.88, 0.66), "STOP"),
    ),
    "yield sign": (
        _Layer(_RED, _DOWNWARD),
        _Layer(_WHITE, _DOWNWARD, (0.22, 0.13, 0.78, 0.69)),
    ),
    "warning sign": (
        _Layer(_RED, _TRIANGLE),
        _Layer(_WHITE, _TRIANGLE, (0.2, 0.27, 0.8, 0.87)),
        _Layer(_BLACK, (), (0.46, 0.45, 0.54, 0.8), "!"),
    ),
    "speed limit": (
        _Layer(_RED, _CIRCLE),
        _Layer(_WHITE, _CIRCLE, _inner(0.14)),
        _Layer(_BLACK, (), (0.27, 0.33, 0.73, 0.67), "30"),
    ),
    "no entry": (
        _Layer(_RED, _CIRCLE),
        _Layer(_WHITE, _SQUARE, (0.15, 0.4, 0.85, 0.6)),
    ),
    "priority road": (
        _Layer(_WHITE, _DIAMOND),
        _Layer(_YELLOW, _DIAMOND, _inner(0.16)),
    ),
    "parking": (
        _Layer(_BLUE, _SQUARE),
        _Layer(_WHITE, (), (0.3, 0.18, 0.7, 0.82), "P"),
    ),
    "straight ahead": (
        _Layer(_BLUE, _CIRCLE),
        _Layer(_WHITE, _ARROW, (0.3, 0.16, 0.7, 0.84)),
    ),
}
"""Signs by name, their layers from the ground up; the first fills the box."""


def draw_sign(
    image: Image.Image,
    box: tuple[int, int, int, int],
    name: str,
    dimming: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> float:
    """Draw a sign.

    Args:
        image: RGB, drawn upon.
        box: Its exact box, in quarter pixels.
        name: From `SIGNS`.
        dimming: Added to red, green and blue of all its colours, as light does.

    Returns:
        The area that it covers, pixels squared.
    """
    covered = 0.0
    for layer in SIGNS[name]:
        red, green, blue = np.clip(np.array(layer.rgb) + dimming, 0, 255).tolist()
        outline = text_mask(layer.text) if layer.text else layer.corners
        # The first layer is the largest, and the others lie upon it.
        covered = max(covered, draw_outline(image, _part(box, layer), (red, green, blue), outline))
    return covered


def _part(box: tuple[int, int, int, int], layer: _Layer) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    wide, high = right - left, bottom - top
    x1, y1, x2, y2 = layer.place_xyxy
    # A layer keeps a pixel's quarter at least: there is nothing to draw in an empty box.
    start_x, start_y = left + round(x1 * wide), top + round(y1 * high)
    end_x, end_y = left + round(x2 * wide), top + round(y2 * high)
    return start_x, start_y, max(end_x, start_x + 1), max(end_y, start_y + 1)
