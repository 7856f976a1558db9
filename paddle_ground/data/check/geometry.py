"""Are the boxes inside the image, of some size, and in the coordinate space that they should be in?

Takes `SampleView`s, gives problems. Where the whole file is in another space it says that once, instead
of a complaint a box. Knows no file format.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from paddle_ground.answers import Repair
from paddle_ground.boxes import FloatArray, valid_mask
from paddle_ground.data.check.beside import Truths
from paddle_ground.data.check.problems import Problem
from paddle_ground.data.check.space import Evidence, judge_numbers
from paddle_ground.data.check.view import SampleCheck, SampleView


class GeometryCheck(SampleCheck):
    """All about the numbers of boxes.

    Args:
        path: The samples file.
        maximum: The number of the right and the bottom border; inf where the space has none.
        truths: Exact pixel boxes, to compare with.
    """

    def __init__(self, path: Path, maximum: float, truths: Truths) -> None:
        self._path, self._maximum = path, maximum
        self._lines, self._sizes, self._numbers = array("q"), array("i"), array("d")
        self._negative: list[SampleView] = []
        self._swapped = self._mended = 0
        self._empty_lines: dict[int, int] = {}
        self._truths, self._evidence = truths, Evidence(maximum)

    def look(self, view: SampleView) -> Iterator[Problem]:
        """Gather the boxes of one sample."""
        # Boxes in `objects` as they stand; those inside an answer's text as they could be read.
        boxes: list[tuple[float, ...]] = list(view.sample.boxes)
        if not boxes:
            boxes = [region.box for region in view.regions]
            self._note_mended(view)
        for box in boxes:
            self._lines.append(view.line)
            self._sizes.extend(view.size_wh)
            self._numbers.extend(box)
        if boxes and view.sample.images and min(view.size_wh) > 0:
            truth = self._truths.boxes_of(view.sample.images[0], view.sample.prompt)
            if truth is not None:
                self._evidence.add(np.array(boxes, dtype=np.float64), truth, view.size_wh)
        return iter(())

    def _note_mended(self, view: SampleView) -> None:
        for target in view.targets:
            if Repair.SWAPPED_CORNERS.value in target.repairs:
                self._swapped += len(target.regions)
            if Repair.DEGENERATE_DROPPED.value in target.repairs or (
                Repair.SWAPPED_CORNERS.value in target.repairs
            ):
                self._empty_lines[view.line] = self._empty_lines.get(view.line, 0) + 1
            if Repair.CLIPPED.value in target.repairs:
                self._negative.append(view)

    def finish(self) -> Iterator[Problem]:
        """Judge all numbers together, then one by one."""
        boxes = np.frombuffer(self._numbers, dtype=np.float64).reshape(-1, 4)
        sizes = np.frombuffer(self._sizes, dtype=np.int32).reshape(-1, 2)
        verdict = self._evidence.verdict() or judge_numbers(boxes, sizes, self._maximum, self._swapped)
        if verdict:
            yield Problem("wrong_space", self._path, 0, verdict)
            return
        if self._evidence.differs():
            yield Problem("truth_differs", self._path, 0, self._evidence.differs())
        lines = np.frombuffer(self._lines, dtype=np.int64)
        yield from self._outside(boxes, lines)
        yield from self._degenerate(boxes, lines)

    def _outside(self, boxes: FloatArray, lines: np.ndarray) -> Iterator[Problem]:  # type: ignore[type-arg]
        bad = (boxes < 0).any(axis=1) | (boxes > self._maximum).any(axis=1)
        for place in np.flatnonzero(bad):
            message = f"box {_text(boxes[place])}, expected 0..{self._maximum:.0f}"
            yield Problem("box_outside", self._path, int(lines[place]), message)
        for view in self._negative:
            yield view.problem("box_outside", "a box in the answer has a negative number")

    def _degenerate(self, boxes: FloatArray, lines: np.ndarray) -> Iterator[Problem]:  # type: ignore[type-arg]
        for place in np.flatnonzero(~valid_mask(boxes)):
            box = boxes[place]
            swapped = box[2] < box[0] or box[3] < box[1]
            message = f"box {_text(box)} {'has swapped corners' if swapped else 'has no area'}"
            yield Problem("box_degenerate", self._path, int(lines[place]), message)
        for line in self._empty_lines:
            message = "a box in the answer has swapped corners or no area"
            yield Problem("box_degenerate", self._path, line, message)


def _text(box: FloatArray) -> str:
    return "(" + ", ".join(f"{number:g}" for number in box) + ")"
