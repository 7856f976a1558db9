"""One annotated image and one question about it -> one training record and its exact truth.

Takes a `SourceRow`, gives a `Sample`, truth boxes, and what had to be left out and why. Pure: reads
and writes nothing, and knows no file format. Which questions are asked is decided in `questions`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from paddle_ground.answers import AnswerFormat, AnswerRegion, render_target
from paddle_ground.boxes import BoolArray, FloatArray, IntArray, clip_boxes, valid_mask
from paddle_ground.data.choices import BoxOrder, MaxBoxesBy
from paddle_ground.data.order import order_boxes
from paddle_ground.data.source import SourceRow
from paddle_ground.records import Message, Sample, TruthBox, TruthImage
from paddle_ground.records.samples import IMAGE_MARK
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


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about one image.

    Attributes:
        prompt: The user's words.
        boxes: Places of the boxes that it is about, in the row; None for all.
        phrase: What the answer calls them all; "" to name each by its class.
    """

    prompt: str
    boxes: tuple[int, ...] | None = None
    phrase: str = ""


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of a question.

    Attributes:
        sample: The training record; crowd boxes are not in it.
        truth: All usable boxes, crowd boxes too, in the source's order: as the source has them, but
            cut at the border of the image; with the box's own area where the source states none. Of a
            phrase, all are of the class of its first one.
        skipped: Reason ("nan_box", "empty_box", "outside_box") and place of each box that was left out.
        clipped_boxes: How many truth boxes reached beyond the image.
        merged_boxes: How many boxes are in the truth, but fell together with one of the same class
            in the model's integers, and so stand in the answer once.
        small_boxes: How many were too small to be asked for.
        unsaid_boxes: How many were more than an answer may name.
    """

    sample: Sample
    truth: tuple[TruthBox, ...]
    skipped: tuple[tuple[str, str], ...]
    clipped_boxes: int
    merged_boxes: int
    small_boxes: int = 0
    unsaid_boxes: int = 0

    @property
    def has_answer(self) -> bool:
        """Tell whether there is a box to answer with: usable, and not a crowd's."""
        return any(not box.is_crowd for box in self.truth)


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row whose boxes were held against its image.

    Attributes:
        row: The row.
        inside_xyxy_px: Shape (N, 4), cut at the border of the image.
        is_usable: Shape (N,), finite and with an area inside the image.
        is_answer: Shape (N,), usable, no crowd and not too small: may be asked for.
        small_boxes: How many are usable but too small.
    """

    row: SourceRow
    inside_xyxy_px: FloatArray
    is_usable: BoolArray
    is_answer: BoolArray
    small_boxes: int

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Give reason and place of each box that is not usable."""
        row, boxes = self.row, self.row.boxes_xyxy_px
        return tuple(
            (_reason(boxes[i]), f"{row.where} box {i}: {boxes[i].tolist()}")
            for i in np.flatnonzero(~self.is_usable).tolist()
        )


def check_row(row: SourceRow, size_wh: tuple[int, int], options: RowOptions) -> CheckedRow:
    """Hold a row's boxes against the real size of its image."""
    inside = clip_boxes(row.boxes_xyxy_px, size_wh)
    # Infinity would be cut at the border like any other number, but it is no number.
    is_usable = valid_mask(inside) & np.isfinite(row.boxes_xyxy_px).all(axis=1)
    is_answer = is_usable & ~row.is_crowd
    small = 0
    if options.min_side_px > 0:
        is_large = valid_mask(inside, options.min_side_px)
        small = int((is_answer & ~is_large).sum())
        is_answer = is_answer & is_large
    return CheckedRow(row, inside, is_usable, is_answer, small)


def convert_row(row: SourceRow, image: TruthImage, first_box_id: int, options: RowOptions) -> Converted:
    """Turn a row into the record that asks for all of its boxes.

    Args:
        row: The annotated image.
        image: Its id and file name in the output, and its real size.
        first_box_id: The id of its first truth box; as many ids are free as the row has boxes.
        options: How.
    """
    return answer(
        check_row(row, image.size_wh, options), Question(options.prompt), image, first_box_id, options
    )


def answer(
    checked: CheckedRow, question: Question, image: TruthImage, first_box_id: int, options: RowOptions
) -> Converted:
    """Turn a question about a row into a record.

    Args:
        checked: The row.
        question: What is asked.
        image: As for `convert_row`.
        first_box_id: Likewise.
        options: How.

    Raises:
        AnswerError: The question's phrase can't stand in an answer.
    """
    row, keep = checked.row, checked.is_usable
    said = checked.is_answer
    if question.boxes is not None:
        asked = np.zeros(len(keep), dtype=np.bool_)
        asked[list(question.boxes)] = True
        keep, said = keep & asked, said & asked
    chosen = checked.inside_xyxy_px[said]
    numbers = options.space.widen(options.space.encode(chosen, image.size_wh), image.size_wh)
    categories = row.category_ids[said]
    # By name and prompt, so that it depends on nothing else: not on workers, not on other rows.
    seed = f"{options.seed} {image.file_name} {question.prompt}"
    order = order_boxes(options.box_order, numbers, chosen, categories, seed)
    once = _once(order, numbers, categories, bool(question.phrase))
    named = _at_most(once, chosen, options)
    labels = [question.phrase or options.class_names[category] for category in categories[named].tolist()]
    return Converted(
        sample=_sample(labels, numbers[named], image.file_name, question.prompt, options),
        truth=_exact(checked, image.id, first_box_id, keep, bool(question.phrase)),
        skipped=checked.skipped,
        clipped_boxes=int((checked.inside_xyxy_px[keep] != row.boxes_xyxy_px[keep]).any(axis=1).sum()),
        merged_boxes=len(order) - len(once),
        small_boxes=checked.small_boxes,
        unsaid_boxes=len(once) - len(named),
    )


def _reason(box: FloatArray) -> str:
    if not np.isfinite(box).all():
        return "nan_box"
    return "outside_box" if box[2] > box[0] and box[3] > box[1] else "empty_box"


def _once(order: IntArray, numbers: IntArray, categories: IntArray, is_phrase: bool) -> list[int]:
    """Leave out what the answer would say twice."""
    ids, rows = categories.tolist(), numbers.tolist()
    first: dict[tuple[int, ...], int] = {}
    for place in order.tolist():
        first.setdefault((0 if is_phrase else ids[place], *rows[place]), place)
    return list(first.values())


def _at_most(places: list[int], boxes_xyxy_px: FloatArray, options: RowOptions) -> list[int]:
    if options.max_boxes is None or len(places) <= options.max_boxes:
        return places
    if options.max_boxes_by == "order":
        return places[: options.max_boxes]
    largest = order_boxes("size", np.zeros((len(places), 4), np.int64), boxes_xyxy_px[places], None, "")
    kept = set(largest[: options.max_boxes].tolist())
    return [place for rank, place in enumerate(places) if rank in kept]


def _exact(
    checked: CheckedRow, image_id: int, first_box_id: int, keep: BoolArray, is_phrase: bool
) -> tuple[TruthBox, ...]:
    row = checked.row
    exact: list[TruthBox] = []
    is_crowd = (row.is_crowd | (checked.is_usable & ~checked.is_answer)).tolist()
    numbers = (checked.inside_xyxy_px.tolist(), row.category_ids.tolist(), row.areas_px.tolist(), is_crowd)
    # Lists first: taking single numbers out of arrays costs more than all the rest.
    for place, (box, category, area, crowd, good) in enumerate(zip(*numbers, keep.tolist(), strict=True)):
        if good:
            x_min, y_min, x_max, y_max = box
            own_area = area if math.isfinite(area) else (x_max - x_min) * (y_max - y_min)
            corners = (x_min, y_min, x_max, y_max)
            named = exact[0].category_id if is_phrase and exact else category
            exact.append(TruthBox(first_box_id + place, image_id, named, corners, own_area, crowd))
    return tuple(exact)


def _sample(
    labels: list[str], numbers: IntArray, image_name: str, prompt: str, options: RowOptions
) -> Sample:
    regions = [
        AnswerRegion(label, (x1, y1, x2, y2))
        for label, (x1, y1, x2, y2) in zip(labels, numbers.tolist(), strict=True)
    ]
    target = render_target(regions, options.answer_format)
    messages = (Message("user", IMAGE_MARK + prompt), Message("assistant", target.content))
    return Sample(messages, (image_name,), target.refs, target.boxes)
