"""One annotated image -> one training record and its exact truth.

Takes a `SourceRow`, gives a `Sample`, truth boxes, and what had to be left out and why. Pure: reads
and writes nothing, and knows no file format.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from paddle_ground.answers import AnswerFormat, AnswerRegion, render_target
from paddle_ground.boxes import BoolArray, CoordinateSpace, FloatArray, clip_boxes, valid_mask
from paddle_ground.data.source import SourceRow
from paddle_ground.records import Message, Sample, TruthBox, TruthImage
from paddle_ground.records.samples import IMAGE_MARK

BoxOrder = Literal["position", "source"]
IntBox = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class RowOptions:
    """How rows are turned into records.

    Attributes:
        space: The coordinate space of the model.
        answer_format: How answers are written.
        prompt: What the user asks.
        class_names: By category id.
        box_order: "position": top to bottom, then left to right, by the box's first corner, in the
            model's own integers; "source": as annotated.
    """

    space: CoordinateSpace
    answer_format: AnswerFormat
    prompt: str
    class_names: tuple[str, ...]
    box_order: BoxOrder


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of a row.

    Attributes:
        sample: The training record; crowd boxes are not in it.
        truth: All usable boxes, crowd boxes too, in the source's order: as the source has them, but
            cut at the border of the image; with the box's own area where the source states none.
        skipped: Reason ("nan_box", "empty_box", "outside_box") and place of each box that was left out.
        clipped_boxes: How many truth boxes reached beyond the image.
        merged_boxes: How many boxes are in the truth, but fell together with one of the same class
            in the model's integers, and so stand in the answer once.
    """

    sample: Sample
    truth: tuple[TruthBox, ...]
    skipped: tuple[tuple[str, str], ...]
    clipped_boxes: int
    merged_boxes: int

    @property
    def has_answer(self) -> bool:
        """Tell whether there is a box to answer with: usable, and not a crowd's."""
        return any(not box.is_crowd for box in self.truth)


def convert_row(row: SourceRow, image: TruthImage, first_box_id: int, options: RowOptions) -> Converted:
    """Turn a row into a record.

    Args:
        row: The annotated image.
        image: Its id and file name in the output, and its real size.
        first_box_id: The id of its first truth box; as many ids are free as the row has boxes.
        options: How.
    """
    boxes = row.boxes_xyxy_px
    inside = clip_boxes(boxes, image.size_wh)
    # Infinity would be cut at the border like any other number, but it is no number.
    keep = valid_mask(inside) & np.isfinite(boxes).all(axis=1)
    skipped = tuple(
        (_reason(boxes[i]), f"{row.where} box {i}: {boxes[i].tolist()}")
        for i in np.flatnonzero(~keep).tolist()
    )
    truth = _exact(row, image.id, first_box_id, inside, keep)
    answer = keep & ~row.is_crowd
    numbers = options.space.widen(options.space.encode(inside[answer], image.size_wh))
    categories = row.category_ids[answer]
    if options.box_order == "position":
        order = np.lexsort((categories, numbers[:, 2], numbers[:, 3], numbers[:, 0], numbers[:, 1]))
        numbers, categories = numbers[order], categories[order]
    named = list(zip(categories.tolist(), map(tuple, numbers.tolist()), strict=True))
    once = list(dict.fromkeys(named))
    return Converted(
        sample=_sample(once, image.file_name, options),
        truth=truth,
        skipped=skipped,
        clipped_boxes=int((inside[keep] != boxes[keep]).any(axis=1).sum()),
        merged_boxes=len(named) - len(once),
    )


def _reason(box: FloatArray) -> str:
    if not np.isfinite(box).all():
        return "nan_box"
    return "outside_box" if box[2] > box[0] and box[3] > box[1] else "empty_box"


def _exact(
    row: SourceRow, image_id: int, first_box_id: int, inside: FloatArray, keep: BoolArray
) -> tuple[TruthBox, ...]:
    exact = []
    numbers = (inside.tolist(), row.category_ids.tolist(), row.areas_px.tolist(), row.is_crowd.tolist())
    # Lists first: taking single numbers out of arrays costs more than all the rest.
    for place, (box, category, area, is_crowd, good) in enumerate(zip(*numbers, keep.tolist(), strict=True)):
        if good:
            x_min, y_min, x_max, y_max = box
            own_area = area if math.isfinite(area) else (x_max - x_min) * (y_max - y_min)
            corners = (x_min, y_min, x_max, y_max)
            exact.append(TruthBox(first_box_id + place, image_id, category, corners, own_area, is_crowd))
    return tuple(exact)


def _sample(named: list[tuple[int, IntBox]], image_name: str, options: RowOptions) -> Sample:
    regions = [AnswerRegion(options.class_names[category], box) for category, box in named]
    target = render_target(regions, options.answer_format)
    messages = (Message("user", IMAGE_MARK + options.prompt), Message("assistant", target.content))
    return Sample(messages, (image_name,), target.refs, target.boxes)
