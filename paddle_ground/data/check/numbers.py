"""How much there is of what: samples, boxes, sizes.

Takes `SampleView`s, gives `Numbers`. Finds no problem.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from paddle_ground.data.check.padding import Padding
from paddle_ground.data.check.problems import Problem
from paddle_ground.data.check.space import borders_of
from paddle_ground.data.check.view import SampleCheck, SampleView
from paddle_ground.spaces import CoordinateSpace

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def _no_ints() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a samples file holds.

    Attributes:
        lines: Lines that are not blank.
        samples: Valid ones among them.
        images: Different image files.
        boxes: Boxes in all answers.
        without_boxes: Samples whose answers say that nothing is there.
        labels: Boxes by label, the most frequent first.
        box_sides: Shape (boxes,): square root of the box's share of its image, 0..1.
        boxes_a_sample: Shape (samples,).
        image_sides: Shape (images that could be read, 2): width and height in pixels.
        lengths: Shape (samples,): tokens; empty where no model was named.
        max_seq_len: What the lengths were held against.
        padding: Shares of padding, or None where no model was named.
    """

    lines: int = 0
    samples: int = 0
    images: int = 0
    boxes: int = 0
    without_boxes: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    box_sides: Floats = field(default_factory=lambda: np.zeros(0))
    boxes_a_sample: Ints = field(default_factory=_no_ints)
    image_sides: Ints = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    lengths: Ints = field(default_factory=_no_ints)
    max_seq_len: int = 0
    padding: Padding | None = None


class Tally(SampleCheck):
    """Counts what can be counted a sample at a time."""

    def __init__(self, space: CoordinateSpace | None) -> None:
        self._space = space
        self._sides, self._counts = array("f"), array("l")
        self.without_boxes = 0

    def look(self, view: SampleView) -> Iterator[Problem]:
        """Count one sample."""
        regions = view.regions
        self._counts.append(len(regions))
        self.without_boxes += bool(view.targets) and all(t.reading == "nothing" for t in view.targets)
        wide, high = borders_of(self._space, view.size_wh)
        # Where the space is not known they may be pixels, so divided by the image's own.
        area = wide * high if np.isfinite(wide) else max(1, view.size_wh[0] * view.size_wh[1])
        for region in regions:
            x1, y1, x2, y2 = region.box
            self._sides.append(min(1.0, (max(0.0, x2 - x1) * max(0.0, y2 - y1) / area) ** 0.5))
        return iter(())

    @property
    def boxes_a_sample(self) -> Ints:
        """Shape (samples,)."""
        return np.array(self._counts, dtype=np.int64)

    @property
    def box_sides(self) -> Floats:
        """Shape (boxes,)."""
        return np.array(self._sides, dtype=np.float64)
