"""Annotated images whose boxes are held against their real sizes, many at a time.

Takes `SourceRow`s and the sizes of their images, gives what can be asked of each box, in the model's
integers and in the order of an answer. Pure; knows neither questions nor records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from paddle_ground.answers import AnswerFormat
from paddle_ground.boxes import BoolArray, FloatArray, box_areas, clip_boxes, valid_mask
from paddle_ground.data.choices import BoxOrder, MaxBoxesBy
from paddle_ground.data.order import order_boxes
from paddle_ground.data.source import SourceRow
from paddle_ground.spaces import CoordinateSpace


@dataclass(frozen=True, slots=True)
class RowOptions:
    """How rows are turned into records.

    Attributes:
        space: The coordinate space of the model.
        answer_format: How answers are written.
        prompt: What the user asks, where nothing else is asked.
        class_names: By category id.
        box_order: See `paddle_ground.data.order`.
        min_side_px: A box narrower or lower than that is not asked for; in the truth it counts as a
            crowd box, so that finding it is neither right nor wrong.
        max_boxes: How many boxes an answer names at most; None for all. The truth keeps the others.
        max_boxes_by: Which ones: the "largest", or the first in "order".
        seed: Of a random order.
    """

    space: CoordinateSpace
    answer_format: AnswerFormat
    prompt: str
    class_names: tuple[str, ...]
    box_order: BoxOrder
    min_side_px: float = 0.0
    max_boxes: int | None = None
    max_boxes_by: MaxBoxesBy = "largest"
    seed: int = 0


class BoxFacts(NamedTuple):
    """What is known of one box, once it was held against its image.

    Attributes:
        box_xyxy_px: Cut at the border of the image, pixels.
        numbers: The same in the model's integers; zeros where it may not be asked for.
        category_id: Its class.
        area: As the source states it, else its own; pixels squared.
        is_usable: See `CheckedRow`.
        is_answer: Likewise.
        is_ignored: Of a crowd, or too small: in the truth, but never asked for.
        is_clipped: Whether it reached beyond the image.
    """

    box_xyxy_px: list[float]
    numbers: list[int]
    category_id: int
    area: float
    is_usable: bool
    is_answer: bool
    is_ignored: bool
    is_clipped: bool


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row whose boxes were held against its image.

    Attributes:
        row: The row.
        inside_xyxy_px: Shape (N, 4), cut at the border of the image.
        is_usable: Shape (N,), finite and with an area inside the image.
        is_answer: Shape (N,), usable, no crowd and not too small: may be asked for.
        facts: The same and more of each box, as Python's own numbers.
        order: Places of all boxes as an answer names them, unless at random.
    """

    row: SourceRow
    inside_xyxy_px: FloatArray
    is_usable: BoolArray
    is_answer: BoolArray
    facts: tuple[BoxFacts, ...]
    order: tuple[int, ...]

    @property
    def small_boxes(self) -> int:
        """Tell how many boxes are usable, and no crowd's, but too small."""
        ignored = [fact.is_ignored for fact in self.facts].count(True)
        return ignored - int(self.row.is_crowd.sum()) if ignored else 0

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Give reason and place of each box that is not usable."""
        row, boxes = self.row, self.row.boxes_xyxy_px
        return tuple(
            (_reason(boxes[i]), f"{row.where} box {i}: {boxes[i].tolist()}")
            for i, fact in enumerate(self.facts)
            if not fact.is_usable
        )


def check_row(row: SourceRow, size_wh: tuple[int, int], options: RowOptions) -> CheckedRow:
    """Hold a row's boxes against the real size of its image."""
    return check_rows([row], [size_wh], options)[0]


def check_rows(
    rows: Sequence[SourceRow], sizes_wh: Sequence[tuple[int, int]], options: RowOptions
) -> list[CheckedRow]:
    """Hold the boxes of rows against the real sizes of their images, all at once.

    On a few boxes numpy takes as long as on hundreds.

    Args:
        rows: One or more.
        sizes_wh: Of each one's image, in pixels.
        options: How.
    """
    lengths = [len(row.boxes_xyxy_px) for row in rows]
    images = np.repeat(np.arange(len(rows)), lengths)
    sizes = np.array(sizes_wh, dtype=np.int64).reshape(-1, 2)[images]
    stated = np.concatenate([row.boxes_xyxy_px for row in rows]).reshape(-1, 4)
    inside = clip_boxes(stated, sizes)
    # Infinity would be cut at the border like any other number, but it is no number.
    is_usable = valid_mask(inside) & np.isfinite(stated).all(axis=1)
    is_crowd = np.concatenate([row.is_crowd for row in rows])
    is_answer = is_usable & ~is_crowd
    if options.min_side_px > 0:
        is_answer &= valid_mask(inside, options.min_side_px)
    numbers = np.zeros((len(inside), 4), np.int64)
    said = sizes[is_answer]
    numbers[is_answer] = options.space.widen(options.space.encode(inside[is_answer], said), said)
    categories = np.concatenate([row.category_ids for row in rows])
    areas = np.concatenate([row.areas_px for row in rows])
    facts = [
        *map(
            BoxFacts,
            inside.tolist(),
            numbers.tolist(),
            categories.tolist(),
            np.where(np.isfinite(areas), areas, box_areas(inside)).tolist(),
            is_usable.tolist(),
            is_answer.tolist(),
            (is_crowd | (is_usable & ~is_answer)).tolist(),
            (inside != stated).any(axis=1).tolist(),
        )
    ]
    kind = "source" if options.box_order == "random" else options.box_order
    order = order_boxes(kind, numbers, inside, categories, images=images)
    ends = np.cumsum(lengths).tolist()
    checked = []
    for row, start, end in zip(rows, [0, *ends], ends, strict=False):
        own = slice(start, end)
        places = tuple((order[own] - start).tolist())
        checked.append(
            CheckedRow(row, inside[own], is_usable[own], is_answer[own], tuple(facts[own]), places)
        )
    return checked


def _reason(box: FloatArray) -> str:
    if not np.isfinite(box).all():
        return "nan_box"
    return "outside_box" if box[2] > box[0] and box[3] > box[1] else "empty_box"
