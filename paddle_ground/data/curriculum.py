"""A course from single objects to whole images: progressive region sampling for training.

Takes a training picture, gives one view of it for each part of the course. In the first part a view is
a window around one of its objects, `context` times as large; in the last part it is the whole image;
between them the window's edges move from there to the image's border in even steps:

    window(part) = (1 - t) * around the object + t * whole image,   t = part / (parts - 1)

Each part shows every image once, around an object drawn anew. Parts are written one after the other
and must be trained in that order: in one epoch, with `random_shuffle: false`, and for a map data set with
`dataloader_shuffle: false` too. Within a part the samples stand in a drawn order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from paddle_ground.boxes import FloatArray, clip_boxes
from paddle_ground.data.augment.picture import Picture
from paddle_ground.data.augment.rows import SizeWh, Visibility, Window
from paddle_ground.data.augment.words import speaks_of_place
from paddle_ground.errors import ConfigError

_LEAST_SIDE_PX = 96
_LONGEST_SHAPE = 2.0
# What a window leaves out at each border that would otherwise show the whole image.
_INSET = 0.04


@dataclass(frozen=True, slots=True)
class CurriculumOptions:
    """How a course runs.

    Attributes:
        parts: Of how many parts it consists; as many times as that an image is shown, as in epochs.
        context: How many times an object's width and height the first part's windows have.
        min_visible: The least share of an object's area that a window must show to ask for it.

    Raises:
        ConfigError: A number is out of its range.
    """

    parts: int
    context: float = 1.5
    min_visible: float = 0.3

    def __post_init__(self) -> None:
        """Refuse numbers out of their range."""
        if not 2 <= self.parts <= 100:
            raise ConfigError(f"curriculum is {self.parts}; a course has 2 to 100 parts")
        if not 1 <= self.context <= 10:
            raise ConfigError(f"curriculum context is {self.context:g}; it must be 1 to 10")
        if not 0 <= self.min_visible <= 1:
            raise ConfigError(f"curriculum min_visible is {self.min_visible:g}; it must be 0 to 1")


class Curriculum:
    """The stage that shows training pictures part by part; views are named `_c1` and so on."""

    def __init__(self, options: CurriculumOptions) -> None:
        """Take the options."""
        self._options = options
        self._visibility = Visibility(options.min_visible)

    def fresh(self) -> Curriculum:
        """Give itself: it remembers nothing."""
        return self

    def __call__(self, picture: Picture) -> Iterator[Picture]:
        """Yield a view of a training picture for each part, the picture itself for the last; all of val.

        A picture whose phrases all name places is shown in the last part only.

        Raises:
            DataError: It can't be decoded.
        """
        last = self._options.parts - 1
        if picture.split == "train":
            for part in range(last):
                view = self._view(picture, part, part / last)
                if view is not None:
                    yield view
            picture = replace(picture, part=last)
        yield picture

    def _view(self, picture: Picture, part: int, t: float) -> Picture | None:
        generator = picture.generator(f"curriculum {part}")
        box = _draw_object(picture, generator)
        if box is None:
            return None
        near = _around(box, self._options.context, picture.size_wh)
        window = _between(near, picture.size_wh, t)
        if window == (0, 0, *picture.size_wh):
            window = _inset(box, picture.size_wh, t)
        view = replace(picture, suffix=f"{picture.suffix}_c{part + 1}", part=part)
        view = view.through(window, (window[2] - window[0], window[3] - window[1]), self._visibility)
        return None if picture.row.referrals and not view.row.referrals else view


def _draw_object(picture: Picture, generator: np.random.Generator) -> FloatArray | None:
    """Draw a box to look at: an object's, or any place where there is none; None for no phrase's."""
    boxes = clip_boxes(np.nan_to_num(picture.row.boxes_xyxy_px), picture.size_wh)
    whole = (0, 0, *picture.size_wh)
    usable = Visibility(0.0).is_visible(picture.row.boxes_xyxy_px, whole, picture.size_wh)
    choice = np.flatnonzero(usable & ~picture.row.is_crowd)
    if picture.row.referrals:
        phrases = [r for r in picture.row.referrals if r.boxes and not speaks_of_place(r.phrase)]
        choice = np.array(sorted({box for r in phrases for box in r.boxes if usable[box]}), dtype=np.int64)
        if not len(choice):
            return None
    if len(choice):
        chosen: FloatArray = boxes[int(generator.choice(choice))]
        return chosen
    # Nothing in the picture: a part of it is as good an example of nothing.
    size = np.array(picture.size_wh) * generator.uniform(0.2, 0.5, 2)
    corner = (np.array(picture.size_wh) - size) * generator.random(2)
    anywhere: FloatArray = np.concatenate([corner, corner + size])
    return anywhere


def _around(box_xyxy_px: FloatArray, context: float, size_wh: SizeWh) -> FloatArray:
    """Give the window around an object, no strip and no stamp, moved into the image."""
    limits = np.array(size_wh, dtype=np.float64)
    sides = (box_xyxy_px[2:] - box_xyxy_px[:2]) * context
    sides = np.maximum(sides, max(sides.max() / _LONGEST_SHAPE, _LEAST_SIDE_PX))
    sides = np.minimum(sides, limits)
    middle = (box_xyxy_px[:2] + box_xyxy_px[2:]) / 2
    corner = np.clip(middle - sides / 2, 0, limits - sides)
    return np.concatenate([corner, corner + sides])


def _between(near: FloatArray, size_wh: SizeWh, t: float) -> Window:
    whole = np.array([0, 0, *size_wh], dtype=np.float64)
    mixed = (1 - t) * near + t * whole
    # Outwards to whole pixels, so that the object stays whole.
    window = [*np.floor(mixed[:2]).astype(int).tolist(), *np.ceil(mixed[2:]).astype(int).tolist()]
    return window[0], window[1], window[2], window[3]


def _inset(box_xyxy_px: FloatArray, size_wh: SizeWh, t: float) -> Window:
    """Give nearly the whole image, so that no two parts show the same; cut into the object only at need."""
    width, height = size_wh
    most = [math.ceil(side * _INSET * (1 - t)) for side in (width, height, width, height)]
    x_min, y_min, x_max, y_max = (int(number) for number in box_xyxy_px)
    free = [min(pair) for pair in zip(most, (x_min, y_min, width - x_max, height - y_max), strict=True)]
    left, top, right, bottom = free if any(free) else most
    return left, top, width - right, height - bottom
