"""Which coordinate space do these numbers look like?

Takes the boxes of a whole file with their images' sizes, and exact boxes where there are some; gives a
verdict in words, or nothing where all is as it should be. Knows no file.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from paddle_ground.boxes import FloatArray, valid_mask, xyxy_to_xywh
from paddle_ground.errors import RecordError
from paddle_ground.families import QWEN2_5_VL
from paddle_ground.records import SamplesMeta, samples_space
from paddle_ground.spaces import RELATIVE_1000, CoordinateSpace, coordinate_space

IntSizes = npt.NDArray[np.int32]

_ENOUGH = 20  # Fewer boxes say little.
_NEARLY_ALL = 0.99
_TO_PIXELS = "convert them with the size of each image, or let `prepare` do it"

_RESIZED = "pixels of the images as Qwen2.5-VL resizes them"
_HYPOTHESES = {
    "thousandths": "thousandths; prepare them for this family",
    "resized": f"{_RESIZED}; prepare them for this family",
    "pixels": f"pixels of the image, x1, y1, x2, y2; {_TO_PIXELS}",
    "pixels_xywh": f"pixels of the image as x, y, width, height; {_TO_PIXELS}",
    "thousandths_xywh": "thousandths, but as x, y, width, height; add the corner to width and height",
    "thousandths_yxyx": "thousandths, but with y before x; swap them",
}


class Evidence:
    """Compares boxes with the exact ones, image by image.

    Args:
        space: That they should be in; None where nobody knows it.
    """

    def __init__(self, space: CoordinateSpace | None) -> None:
        self._usable = space is not None
        self._right = "resized" if space is not None and space.resize is not None else "thousandths"
        published = coordinate_space(QWEN2_5_VL.coordinate_space, QWEN2_5_VL.resize())
        self._resized = space if space is not None and space.resize is not None else published
        self._total = 0
        self._fits = dict.fromkeys(_HYPOTHESES, 0)

    def add(self, boxes: FloatArray, truth_xyxy_px: FloatArray, size_wh: tuple[int, int]) -> None:
        """Compare the boxes of one image.

        Args:
            boxes: Shape (N, 4), as they stand in the sample.
            truth_xyxy_px: Shape (M, 4), pixels.
            size_wh: Of the image.
        """
        truth = truth_xyxy_px[valid_mask(truth_xyxy_px)]
        if not self._usable or not len(truth) or len(truth) * len(boxes) > 1_000_000:
            return
        self._total += len(boxes)
        thousandths = RELATIVE_1000.encode(truth, size_wh).astype(np.float64)
        forms = {
            "thousandths": thousandths,
            "resized": self._resized.encode(truth, size_wh).astype(np.float64),
            "pixels": truth,
            "pixels_xywh": xyxy_to_xywh(truth),
            "thousandths_xywh": xyxy_to_xywh(thousandths),
            "thousandths_yxyx": thousandths[:, [1, 0, 3, 2]],
        }
        for name, form in forms.items():
            gaps = np.abs(boxes[:, None, :] - form[None, :, :]).max(axis=2)
            self._fits[name] += int((gaps.min(axis=1) <= 1.5).sum())

    def verdict(self) -> str:
        """Say what the boxes look like, or "" where they are right or that can't be told."""
        if self._total < 5 or self._share(self._right) >= 0.5:
            return ""
        best = max(self._fits, key=lambda name: self._fits[name])
        if best == self._right or self._share(best) < 0.8:
            return ""
        return f"beside the truth file {self._share(best):.0%} of the boxes are {_HYPOTHESES[best]}"

    def differs(self) -> str:
        """Say how few boxes are in the truth, or "" where most are."""
        share = self._share(self._right)
        if self._total < 5 or share >= 0.5:
            return ""
        return f"only {share:.0%} of {self._total} boxes are in the truth file"

    def _share(self, name: str) -> float:
        return self._fits[name] / self._total if self._total else 1.0


def space_of(meta: SamplesMeta | None) -> CoordinateSpace | None:
    """Give the space that boxes should be in: thousandths where nothing says; None where nobody knows it."""
    try:
        return RELATIVE_1000 if meta is None else samples_space(meta)
    except RecordError:
        return None


def borders_of(space: CoordinateSpace | None, size_wh: tuple[int, int]) -> tuple[float, float]:
    """Give the numbers of an image's right and bottom border; inf where space or size are not known."""
    if space is None or (space.resize is not None and min(size_wh) < 1):
        return math.inf, math.inf
    return space.borders_wh(size_wh)


def judge_absolute(boxes: FloatArray, sizes_wh: IntSizes, borders_wh: FloatArray) -> str:
    """Tell by the numbers alone that boxes are not pixels of the resized images.

    Args:
        boxes: Shape (N, 4), as they stand.
        sizes_wh: Shape (N, 2), of each box's image as stored.
        borders_wh: Shape (N, 2), of its resized image; inf where unknown.

    Returns:
        What it looks like and what to do, or "".
    """
    known = np.isfinite(borders_wh).all(axis=1)
    far, borders, sizes = boxes[known, 2:], borders_wh[known], sizes_wh[known]
    if len(far) < _ENOUGH:
        return ""
    beyond = float((far > borders).any(axis=1).mean())
    if beyond > 0.05 and (far <= sizes).all():
        return (
            f"{beyond:.0%} of the boxes reach beyond the resized image, none beyond the stored one: pixels "
            "of the image as stored; prepare them for this family"
        )
    if beyond > 0.05 and far.max() <= RELATIVE_1000.maximum:
        return (
            f"{beyond:.0%} of the boxes reach beyond the resized image, and no number is above 1000: "
            "thousandths; prepare them for this family"
        )
    # Of pixels spread over large images, this share would be above 1000.
    expected = float(np.clip(1 - RELATIVE_1000.maximum / borders, 0, None).sum())
    if expected >= 8 and 900 < far.max() <= RELATIVE_1000.maximum:
        return (
            "no number is above 1000 in images wider or higher than that: thousandths; "
            "prepare them for this family"
        )
    return ""


def judge_numbers(boxes: FloatArray, sizes_wh: IntSizes, maximum: float, swapped: int = 0) -> str:
    """Tell a wrong space by its numbers alone.

    Args:
        boxes: Shape (N, 4), as they stand.
        sizes_wh: Shape (N, 2), the image's size for each box; 0 where unknown.
        maximum: The number of the right and the bottom border in the space that they should be in.
        swapped: How many boxes were swapped already when they were read.

    Returns:
        What it looks like and what to do, or "".
    """
    if len(boxes) < _ENOUGH or not math.isfinite(maximum):
        return ""
    largest = float(boxes.max())
    if largest <= 1.5 and (boxes != np.floor(boxes)).mean() > 0.2:
        return f"all numbers are 0..{largest:g}: fractions of the image; multiply by {maximum:.0f}"
    backwards = float((boxes[:, 2:] < boxes[:, :2]).any(axis=1).sum() + swapped) / len(boxes)
    if backwards > 0.2:
        return (
            f"{backwards:.0%} of the boxes end before they begin: x, y, width, height; "
            "add the corner to width and height"
        )
    return _judge_pixels(boxes, sizes_wh, maximum)


def _judge_pixels(boxes: FloatArray, sizes_wh: IntSizes, maximum: float) -> str:
    known = (sizes_wh > 0).all(axis=1)
    boxes, sizes = boxes[known], sizes_wh[known].astype(np.float64)
    if len(boxes) < _ENOUGH:
        return ""
    far, reach = boxes[:, 2:], boxes[:, 2:] / sizes
    fit = float((reach <= 1.005).all(axis=1).mean())
    beyond = float((far > maximum).any(axis=1).mean())
    if fit >= _NEARLY_ALL and beyond > 0:
        return (
            f"{beyond:.0%} of the boxes have numbers above {maximum:.0f} (up to {far.max():.0f}), and all "
            f"fit their images: pixels, not thousandths; {_TO_PIXELS}"
        )
    # Sides below the maximum: thousandths would go beyond them, pixels never do.
    telling = sizes < 0.9 * maximum
    # Of thousandths spread over the image, this share would lie beyond an image's own side.
    expected = float((1 - sizes[telling] / maximum).sum()) if telling.any() else 0.0
    if fit == 1.0 and expected >= 8 and float(reach.max()) > 0.9:
        return (
            f"no number is larger than its image's side (at most {far.max():.0f}): pixels, not thousandths; "
            f"{_TO_PIXELS}"
        )
    return ""
