"""The coordinate spaces that models speak: pixels to a model's integers and back.

Takes and gives numpy arrays of shape (N, 4) and sizes of images. Which family speaks which stands in
`families`; this knows nothing of files, labels, text or models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paddle_ground.boxes import FloatArray, IntArray, as_boxes, refuse_first
from paddle_ground.errors import BoxError
from paddle_ground.resize import Resize


@dataclass(frozen=True, slots=True)
class CoordinateSpace:
    """The numbers in which a family of models speaks of boxes.

    Attributes:
        name: As written into `samples.meta.json` and `grounding.json`.
        maximum: The number that stands for the right and the bottom border; inf where images differ in it.
        resize: Makes the images of whose pixels the numbers are; None where they are parts of the image.
    """

    name: str
    maximum: float
    resize: Resize | None = None

    def borders_wh(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        """Give the numbers that stand for the right and the bottom border of an image.

        Args:
            size_wh: Width and height of the image as stored, in pixels, both above 0.

        Raises:
            BoxError: A side of the image is not positive.
        """
        if self.resize is None:
            return int(self.maximum), int(self.maximum)
        _sides_xyxy(size_wh)
        return self.resize.resized_wh(size_wh)

    def refuse_several_borders(self, sizes_wh: Sequence[tuple[int, int]]) -> None:
        """Refuse images of one conversation among which a box would not say where it belongs.

        Parts of an image are parts of any; pixels need to be of images of one size. Samples don't say of
        which of several images a box is.

        Args:
            sizes_wh: Width and height of each image as stored, in pixels, all above 0.

        Raises:
            BoxError: They come to the model in several sizes, in whose pixels the boxes are.
        """
        if self.resize is None:
            return
        borders = list(dict.fromkeys(map(self.borders_wh, sizes_wh)))
        if len(borders) > 1:
            found = ", ".join(f"{width} x {height}" for width, height in borders)
            raise BoxError(
                f"boxes in {self.name} among {len(sizes_wh)} images that the model sees as {found} pixels: "
                "nothing says of which image a box is; give these images one size, ask about one image at a "
                "time, or take a model family of relative coordinates"
            )

    def encode(self, boxes_xyxy_px: npt.ArrayLike, size_wh: tuple[int, int] | IntArray) -> IntArray:
        """Turn pixels into the model's integers.

        Args:
            boxes_xyxy_px: Shape (N, 4), pixels.
            size_wh: Width and height of the image in pixels, both above 0; or shape (N, 2), of each box's
                own image.

        Returns:
            Shape (N, 4), int64 from 0 to the borders. Halves are rounded up, what lies outside is clipped.

        Raises:
            BoxError: A number is not finite, or a side of the image is not positive.
        """
        boxes, borders = as_boxes(boxes_xyxy_px), np.tile(self._borders(size_wh), 2)
        refuse_first(~np.isfinite(boxes).all(axis=1), boxes, "is not finite")
        scaled = np.floor(boxes * borders / _sides_xyxy(size_wh) + 0.5)
        encoded: IntArray = np.clip(scaled, 0, borders).astype(np.int64)
        return encoded

    def _borders(self, size_wh: tuple[int, int] | IntArray) -> IntArray:
        """Give `borders_wh` of one image, shape (2,), or of each box's own, shape (N, 2)."""
        if isinstance(size_wh, tuple):
            return np.array(self.borders_wh(size_wh))
        if self.resize is None:
            return np.array([int(self.maximum)] * 2)
        sizes, own = np.unique(size_wh, axis=0, return_inverse=True)
        known = [self.borders_wh((width, height)) for width, height in sizes.tolist()]
        borders: IntArray = np.array(known, dtype=np.int64).reshape(-1, 2)[own.reshape(-1)]
        return borders

    def widen(self, boxes_xyxy: npt.ArrayLike, size_wh: tuple[int, int] | IntArray) -> IntArray:
        """Give boxes that rounding left without width or height one unit of it.

        Args:
            boxes_xyxy: Shape (N, 4), as `encode` gives them.
            size_wh: Of the image, as for `encode`.

        Returns:
            Shape (N, 4), int64; the far corner moves out by one, or at the border the near one in.
        """
        boxes: IntArray = as_boxes(boxes_xyxy).astype(np.int64)
        flat = boxes[:, :2] == boxes[:, 2:]
        at_border = boxes[:, 2:] == self._borders(size_wh)
        boxes[:, 2:] += flat & ~at_border
        boxes[:, :2] -= flat & at_border
        return boxes

    def decode(self, boxes_xyxy: npt.ArrayLike, size_wh: tuple[int, int]) -> FloatArray:
        """Turn the model's numbers into pixels.

        Args:
            boxes_xyxy: Shape (N, 4), from 0 to the borders.
            size_wh: Width and height of the image in pixels, both above 0.

        Returns:
            Shape (N, 4), float64 pixels; at most half a step (side / border / 2) away from what was encoded.

        Raises:
            BoxError: A side of the image is not positive.
        """
        borders = np.array(self.borders_wh(size_wh) * 2)
        decoded: FloatArray = as_boxes(boxes_xyxy) * _sides_xyxy(size_wh) / borders
        return decoded


RELATIVE_1000 = CoordinateSpace("relative_1000", 1000)
"""Qwen3-VL and Qwen2-VL: thousandths of the image's width and height, 0..1000."""

ABSOLUTE_RESIZED = "absolute_resized"
"""Qwen2.5-VL: pixels of the image that the model sees, which is another one than is stored."""


def coordinate_space(name: str, resize: Resize | None = None) -> CoordinateSpace:
    """Look a coordinate space up by its name.

    Args:
        name: "relative_1000" or "absolute_resized".
        resize: What absolute pixels are of; of no matter to relative ones.

    Raises:
        BoxError: Nobody knows that name, the message lists the known ones; or absolute pixels are of nothing.
    """
    if name == RELATIVE_1000.name:
        return RELATIVE_1000
    if name != ABSOLUTE_RESIZED:
        raise BoxError(f"unknown coordinate space {name!r}; known: {ABSOLUTE_RESIZED}, {RELATIVE_1000.name}")
    if resize is None:
        raise BoxError(f"{name} are pixels of resized images; say how images are resized")
    return CoordinateSpace(name, math.inf, resize)


def _sides_xyxy(size_wh: tuple[float, float] | IntArray) -> FloatArray:
    sides = np.asarray(size_wh, dtype=np.float64)
    if not (sides > 0).all():
        width, height = np.atleast_2d(size_wh)[~(np.atleast_2d(sides) > 0).all(axis=1)][0].tolist()
        raise BoxError(f"an image must be at least 1 pixel wide and high, found {width} x {height}")
    return np.tile(sides, 2)
