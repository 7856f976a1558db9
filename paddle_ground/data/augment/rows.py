"""Annotations that follow their image: through a window, into a mirror, side by side.

Takes a `SourceRow` and what was done to its pixels, gives the row of the new image. Box arithmetic is
`boxes`' own; what is decided here is which boxes and phrases are still true. Touches no pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from paddle_ground.boxes import (
    BoolArray,
    FloatArray,
    IntArray,
    clip_boxes,
    coverage_matrix,
    map_boxes,
    valid_mask,
)
from paddle_ground.data.augment.mirror import mirror_phrase
from paddle_ground.data.augment.words import speaks_of_place
from paddle_ground.data.source import Referral, SourceRow

Window = tuple[int, int, int, int]
"""x_min, y_min, x_max, y_max in whole pixels, inside the image."""

SizeWh = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Visibility:
    """When a box that a window cuts is still an object to answer with.

    Attributes:
        min_share: The least share of its area that must be inside, 0..1. What is below stays in the
            truth as a crowd box, so that finding it is neither right nor wrong.
        min_side_px: The least width and height of what is inside, in pixels of the window, unless the
            whole box is no larger.
    """

    min_share: float
    min_side_px: float = 4.0

    def shares(self, boxes_xyxy_px: FloatArray, window: Window, size_wh: SizeWh) -> FloatArray:
        """Give how much of each box is inside the window.

        Args:
            boxes_xyxy_px: Shape (N, 4), in the image.
            window: A part of the image.
            size_wh: The image's; what of a box lies beyond its border doesn't count.

        Returns:
            Shape (N,), 0..1; 0 for what is no box.
        """
        inside = clip_boxes(np.nan_to_num(boxes_xyxy_px), size_wh)
        shares: FloatArray = np.where(valid_mask(boxes_xyxy_px), coverage_matrix(inside, [window])[:, 0], 0.0)
        return shares

    def is_visible(self, boxes_xyxy_px: FloatArray, window: Window, size_wh: SizeWh) -> BoolArray:
        """Tell which boxes are objects to answer with when the window is all that can be seen.

        Returns:
            Shape (N,), True for a visible one.
        """
        shares = self.shares(boxes_xyxy_px, window, size_wh)
        left, top, right, bottom = window
        moved = map_boxes(clip_boxes(np.nan_to_num(boxes_xyxy_px), size_wh), (1, 1), (-left, -top))
        large = valid_mask(clip_boxes(moved, (right - left, bottom - top)), self.min_side_px)
        visible: BoolArray = (shares > 0) & (shares >= self.min_share) & (large | (shares >= 1))
        return visible


def through_window(
    row: SourceRow,
    size_wh: SizeWh,
    window: Window,
    new_size_wh: SizeWh,
    visibility: Visibility,
    keep_unusable: bool = False,
) -> SourceRow:
    """Give the row of an image of which only a window is left, resized.

    Args:
        row: The annotation of the whole image.
        size_wh: Its width and height in pixels.
        window: What is left of it.
        new_size_wh: What the window was resized to.
        visibility: Which cut boxes are still objects.
        keep_unusable: Whether to keep boxes that are none (NaN, empty, outside), so that they are
            counted; for one window of an image, at its corner.

    Returns:
        The row: boxes cut at the window, objects that are hardly visible as crowd boxes, and phrases
        only where all of their objects are visible and, if anything was cut away, no place is named.
    """
    boxes = row.boxes_xyxy_px
    usable = valid_mask(clip_boxes(boxes, size_wh)) & np.isfinite(boxes).all(axis=1)
    shares = visibility.shares(boxes, window, size_wh)
    visible = visibility.is_visible(boxes, window, size_wh)
    kept = np.flatnonzero((usable & (shares > 0)) | (~usable & keep_unusable))
    width, height = window[2] - window[0], window[3] - window[1]
    scale = (new_size_wh[0] / width, new_size_wh[1] / height)
    moved = map_boxes(boxes, scale, (-window[0] * scale[0], -window[1] * scale[1]))
    cut = np.where(usable[:, None], clip_boxes(moved, new_size_wh), moved)
    stated = np.where(usable, row.areas_px * shares * (scale[0] * scale[1]), row.areas_px)
    whole = (width, height) == size_wh
    renamed = _rename(row.referrals, kept, visible, (lambda phrase: phrase) if whole else _still_true)
    return replace(
        row,
        size_wh=new_size_wh,
        boxes_xyxy_px=cut[kept],
        category_ids=row.category_ids[kept],
        areas_px=stated[kept],
        is_crowd=(row.is_crowd | (usable & ~visible))[kept],
        referrals=renamed,
    )


def in_mirror(row: SourceRow, size_wh: SizeWh, classes: Sequence[int | None]) -> SourceRow | None:
    """Give the row of an image that was mirrored from left to right.

    Args:
        row: The annotation.
        size_wh: The image's width and height in pixels.
        classes: What each class is in the mirror; see `mirror.mirror_classes`.

    Returns:
        The row, without phrases of which nobody knows what they would be in the mirror; None where a
        class has no mirrored one.
    """
    mirrored = [classes[category] for category in row.category_ids.tolist()]
    if None in mirrored:
        return None
    every = np.arange(len(row.boxes_xyxy_px))
    return replace(
        row,
        size_wh=size_wh,
        boxes_xyxy_px=map_boxes(row.boxes_xyxy_px, (-1, 1), (size_wh[0], 0)),
        category_ids=np.array(mirrored, dtype=np.int64),
        referrals=_rename(row.referrals, every, np.ones(len(every), np.bool_), mirror_phrase),
    )


def side_by_side(parts: Iterable[tuple[SourceRow, tuple[int, int]]], size_wh: SizeWh) -> SourceRow:
    """Give the row of an image that others were pasted into.

    Args:
        parts: The rows of the others, each with the place of its upper left corner in pixels; the
            first one lends its id and its place in the source.
        size_wh: Width and height of the whole.

    Returns:
        The row, without phrases: what one image alone has may be in two of several.
    """
    parts = list(parts)
    rows = [row for row, _ in parts]
    moved = [map_boxes(row.boxes_xyxy_px, (1, 1), corner) for row, corner in parts]
    return replace(
        rows[0],
        size_wh=size_wh,
        boxes_xyxy_px=np.concatenate(moved),
        category_ids=np.concatenate([row.category_ids for row in rows]),
        areas_px=np.concatenate([row.areas_px for row in rows]),
        is_crowd=np.concatenate([row.is_crowd for row in rows]),
        referrals=(),
    )


def _still_true(phrase: str) -> str | None:
    return None if speaks_of_place(phrase) else phrase


def _rename(
    referrals: Iterable[Referral],
    kept: IntArray,
    visible: BoolArray,
    say: Callable[[str], str | None],
) -> tuple[Referral, ...]:
    """Point phrases at the boxes that are left, in their new order, and word them anew."""
    places = {int(old): new for new, old in enumerate(kept)}
    renamed = []
    for referral in referrals:
        phrase = say(referral.phrase) if all(visible[box] for box in referral.boxes) else None
        if phrase is not None:
            renamed.append(Referral(phrase, tuple(places[box] for box in referral.boxes)))
    return tuple(renamed)
