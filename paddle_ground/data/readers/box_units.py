"""Which units the boxes have that stand in the text of answers: by evidence, over many rows.

Takes boxes and the sizes of their images, gives a verdict with its grounds, and pixels. Qwen2.5-VL's data
has pixels, Qwen3-VL's and Qwen2-VL's thousandths of the image's sides, and nothing in either says so: a
number beyond 1000 can be a pixel only, one beyond its image a thousandth only. Knows no file format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paddle_ground.boxes import FloatArray
from paddle_ground.data.readers.turns import Units

BOX_UNITS = ("pixels", "relative_1000")
"""What a user may say."""

# Qwen2.5-VL's images are resized to multiples of 28 first, and its boxes with them.
_SLACK_PX = 28.0
_MAX_DISSENT = 0.05


@dataclass(frozen=True, slots=True)
class UnitEvidence:
    """How many boxes speak for what.

    Attributes:
        boxes: Finite boxes seen.
        pixels_only: Boxes with a number above 1000, inside their image.
        thousandths_only: Boxes that reach beyond their image, with no number above 1000.
        fractions: Boxes whose numbers all lie within 0..1.
    """

    boxes: int = 0
    pixels_only: int = 0
    thousandths_only: int = 0
    fractions: int = 0

    def __add__(self, other: UnitEvidence) -> UnitEvidence:
        """Put the evidence of two sets of boxes together."""
        return UnitEvidence(
            self.boxes + other.boxes,
            self.pixels_only + other.pixels_only,
            self.thousandths_only + other.thousandths_only,
            self.fractions + other.fractions,
        )

    @property
    def is_plain(self) -> bool:
        """Tell whether so many boxes agree that no more need be looked at."""
        return min(self.pixels_only, self.thousandths_only) == 0 and self.told >= 50

    @property
    def told(self) -> int:
        """Give the number of boxes that can have one unit only."""
        return self.pixels_only + self.thousandths_only

    def verdict(self) -> Units | None:
        """Give the units that the boxes must have, or None where they don't tell."""
        if self.boxes and self.fractions == self.boxes:
            return "fractions"
        if self.told == 0 or min(self.pixels_only, self.thousandths_only) > _MAX_DISSENT * self.told:
            return None
        return "pixels" if self.pixels_only > self.thousandths_only else "relative_1000"

    def __str__(self) -> str:
        """Word the grounds, for a message."""
        return (
            f"of {self.boxes} boxes seen {self.pixels_only} can be pixels only and "
            f"{self.thousandths_only} thousandths only"
        )


def weigh_units(boxes: FloatArray, sizes_wh: FloatArray) -> UnitEvidence:
    """Look for boxes that only one unit allows.

    Args:
        boxes: Shape (N, 4), corners, of unknown unit.
        sizes_wh: Shape (N, 2), the size of each box's image in pixels; NaN where unknown.
    """
    finite = np.isfinite(boxes).all(axis=1)
    boxes, sizes_wh = boxes[finite], sizes_wh[finite]
    borders = np.tile(sizes_wh, 2) + _SLACK_PX
    # A comparison with NaN is False: what is unknown tells nothing.
    with np.errstate(invalid="ignore"):
        is_outside = (boxes > borders).any(axis=1)
        is_inside = (boxes <= borders).all(axis=1)
    is_large = (boxes > 1000).any(axis=1)
    return UnitEvidence(
        boxes=len(boxes),
        pixels_only=int((is_large & is_inside).sum()),
        thousandths_only=int((is_outside & ~is_large).sum()),
        fractions=int(((boxes >= 0) & (boxes <= 1)).all(axis=1).sum()),
    )


def to_pixels(
    boxes: Sequence[Sequence[float]],
    box_images: Sequence[int],
    sizes_wh: Sequence[tuple[int, int] | None],
    units: Units,
) -> FloatArray:
    """Turn boxes into pixels of their images.

    Args:
        boxes: N rows of x1, y1, x2, y2.
        box_images: Which image each belongs to.
        sizes_wh: Of the images; None where unknown.
        units: Of the boxes.

    Returns:
        Shape (N, 4); NaN for a box whose image has no known size or is not there, unless it is in pixels.
    """
    array = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    if units == "pixels" or not len(array):
        return array
    known = [size if size is not None else (np.nan, np.nan) for size in sizes_wh]
    sides = [known[image] if 0 <= image < len(known) else (np.nan, np.nan) for image in box_images]
    scale = 1000.0 if units == "relative_1000" else 1.0
    with np.errstate(over="ignore", invalid="ignore"):  # What becomes infinite is counted as no box.
        scaled: FloatArray = array * np.tile(np.array(sides, dtype=np.float64), 2) / scale
    return scaled
