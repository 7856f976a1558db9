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
from paddle_ground.data.check.space import Evidence, IntSizes, borders_of, judge_absolute, judge_numbers
from paddle_ground.data.check.view import SampleCheck, SampleView
from paddle_ground.spaces import CoordinateSpace


class GeometryCheck(SampleCheck):
    """All about the numbers of boxes.

    Args:
        path: The samples file.
        space: In which the boxes should be; None where nobody knows it.
        truths: Exact pixel boxes, to compare with.
    """

    def __init__(self, path: Path, space: CoordinateSpace | None, truths: Truths) -> None:
        self._path, self._space = path, space
        self._borders = array("d")
        self._lines, self._sizes, self._numbers = array("q"), array("i"), array("d")
        self._negative: list[SampleView] = []
        self._swapped = self._mended = 0
        self._empty_lines: dict[int, int] = {}
        self._truths, self._evidence = truths, Evidence(space)

    def look(self, view: SampleView) -> Iterator[Problem]:
        """Gather the boxes of one sample."""
        # Boxes in `objects` as they stand; those inside an answer's text as they could be read.
        boxes: list[tuple[float, ...]] = list(view.sample.boxes)
        if not boxes:
            boxes = [region.box for region in view.regions]
            self._note_mended(view)
        borders = borders_of(self._space, view.size_wh)
        for box in boxes:
            self._borders.extend(borders)
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
        borders = np.frombuffer(self._borders, dtype=np.float64).reshape(-1, 2)
        verdict = self._evidence.verdict() or self._judge(boxes, sizes, borders)
        if verdict:
            yield Problem("wrong_space", self._path, 0, verdict)
            return
        if self._evidence.differs():
            yield Problem("truth_differs", self._path, 0, self._evidence.differs())
        lines = np.frombuffer(self._lines, dtype=np.int64)
        yield from self._outside(boxes, borders, lines)
        yield from self._degenerate(boxes, lines)

    def _judge(self, boxes: FloatArray, sizes: IntSizes, borders: FloatArray) -> str:
        if self._space is None:
            return ""
        if self._space.resize is not None:
            return judge_absolute(boxes, sizes, borders)
        return judge_numbers(boxes, sizes, self._space.maximum, self._swapped)

    def _outside(
        self,
        boxes: FloatArray,
        borders: FloatArray,
        lines: np.ndarray,  # type: ignore[type-arg]
    ) -> Iterator[Problem]:
        bad = (boxes < 0).any(axis=1) | (boxes > np.tile(borders, 2)).any(axis=1)
        for place in np.flatnonzero(bad):
            wide, high = borders[place]
            limits = f"0..{wide:.0f}" if wide == high else f"x in 0..{wide:.0f} and y in 0..{high:.0f}"
            message = f"box {_text(boxes[place])}, expected {limits}"
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
