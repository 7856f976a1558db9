"""Whether a source's boxes are corners (xyxy) or corner and size (xywh), by evidence.

Takes boxes, image sizes and areas, gives a verdict with its grounds. Knows no file format.

COCO's JSON is xywh, the parquet of `detection-datasets/coco` xyxy, and nothing in either says so.
A box contradicts xyxy if its second corner lies before its first, or if its object would be larger
than it; it contradicts xywh if it would reach beyond the image. Boxes that contradict both are
broken in any reading and count for neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from paddle_ground.boxes import FloatArray

BoxLayout = Literal["xyxy", "xywh"]

_SLACK_PX = 2.0  # Annotators and rounding overshoot the border by a little.
_MAX_DISSENT = 0.05  # Data sets have a few broken boxes; more than that is no verdict.


@dataclass(frozen=True, slots=True)
class LayoutEvidence:
    """How many boxes speak for what.

    Attributes:
        boxes: Finite boxes seen.
        against_xyxy: Boxes that can be xywh only.
        against_xywh: Boxes that can be xyxy only.
        fractions: Boxes with all four numbers within 0..1.
    """

    boxes: int = 0
    against_xyxy: int = 0
    against_xywh: int = 0
    fractions: int = 0

    def __add__(self, other: LayoutEvidence) -> LayoutEvidence:
        """Put the evidence of two sets of boxes together."""
        return LayoutEvidence(
            self.boxes + other.boxes,
            self.against_xyxy + other.against_xyxy,
            self.against_xywh + other.against_xywh,
            self.fractions + other.fractions,
        )

    @property
    def are_fractions(self) -> bool:
        """Tell whether these can't be pixels at all."""
        return self.boxes > 0 and self.fractions == self.boxes

    @property
    def is_plain(self) -> bool:
        """Tell whether so many boxes agree that no more need be looked at."""
        return min(self.against_xyxy, self.against_xywh) == 0 and self.against_xyxy + self.against_xywh >= 500

    def verdict(self) -> BoxLayout | None:
        """Give the layout that the boxes must have, or None where they don't tell."""
        told = self.against_xyxy + self.against_xywh
        if told == 0 or min(self.against_xyxy, self.against_xywh) > _MAX_DISSENT * told:
            return None
        return "xyxy" if self.against_xywh > self.against_xyxy else "xywh"

    def contradicts(self, layout: BoxLayout) -> int:
        """Count the boxes that can't be of a layout."""
        return self.against_xyxy if layout == "xyxy" else self.against_xywh

    def __str__(self) -> str:
        """Word the grounds, for a message."""
        xyxy_only, xywh_only = self.against_xywh, self.against_xyxy
        return f"of {self.boxes} boxes seen {xyxy_only} can be xyxy only and {xywh_only} xywh only"


def weigh_layout(boxes: FloatArray, sizes_wh: FloatArray, areas_px: FloatArray) -> LayoutEvidence:
    """Look for boxes that only one layout allows.

    Args:
        boxes: Shape (N, 4), of unknown layout, pixels.
        sizes_wh: Shape (N, 2), the size of each box's image; NaN where unknown.
        areas_px: Shape (N,), the area of each box's object; NaN where unknown.
    """
    finite = np.isfinite(boxes).all(axis=1)
    boxes, sizes_wh, areas_px = boxes[finite], sizes_wh[finite], areas_px[finite]
    first, second = boxes[:, :2], boxes[:, 2:]
    # A comparison with NaN is False: what is unknown contradicts nothing. Infinite areas do as they should.
    with np.errstate(invalid="ignore", over="ignore"):
        too_small = areas_px > 1.02 * np.prod(np.clip(second - first, 0, None), axis=1) + _SLACK_PX
        not_xyxy = (second < first).any(axis=1) | (second > sizes_wh + _SLACK_PX).any(axis=1) | too_small
        not_xywh = (second < 0).any(axis=1) | (first + second > sizes_wh + _SLACK_PX).any(axis=1)
    return LayoutEvidence(
        boxes=len(boxes),
        against_xyxy=int((not_xyxy & ~not_xywh).sum()),
        against_xywh=int((not_xywh & ~not_xyxy).sum()),
        fractions=int(((boxes >= 0) & (boxes <= 1)).all(axis=1).sum()),
    )
