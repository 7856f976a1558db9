"""One annotated image and one question about it -> one training record and its exact truth.

Takes a `SourceRow`, gives a `Sample`, truth boxes, and what had to be left out and why. Pure: reads
and writes nothing, and knows no file format. Which questions are asked is decided in `questions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paddle_ground.answers import AnswerRegion, render_target
from paddle_ground.boxes import FloatArray
from paddle_ground.data.checked import BoxFacts, CheckedRow, RowOptions, check_row
from paddle_ground.data.order import draw_order, order_boxes
from paddle_ground.data.source import SourceRow
from paddle_ground.records import Message, Sample, TruthBox, TruthImage
from paddle_ground.records.samples import IMAGE_MARK


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
    facts = checked.facts
    asked = None if question.boxes is None else set(question.boxes)
    keep = [place for place, fact in enumerate(facts) if fact.is_usable and (asked is None or place in asked)]
    order = [place for place in checked.order if facts[place].is_answer and (asked is None or place in asked)]
    if options.box_order == "random":
        # By name and prompt, so that it depends on nothing else: not on workers, not on other rows.
        seed = f"{options.seed} {image.file_name} {question.prompt}"
        order = [order[place] for place in draw_order(len(order), seed)]
    once = _once(order, facts, bool(question.phrase))
    named = _at_most(once, checked.inside_xyxy_px, options)
    regions = []
    for place in named:
        x1, y1, x2, y2 = facts[place].numbers
        label = question.phrase or options.class_names[facts[place].category_id]
        regions.append(AnswerRegion(label, (x1, y1, x2, y2)))
    return Converted(
        sample=_sample(regions, image.file_name, question.prompt, options),
        truth=_exact(facts, image.id, first_box_id, keep, bool(question.phrase)),
        skipped=checked.skipped,
        clipped_boxes=[facts[place].is_clipped for place in keep].count(True),
        merged_boxes=len(order) - len(once),
        small_boxes=checked.small_boxes,
        unsaid_boxes=len(once) - len(named),
    )


def _once(order: list[int], facts: Sequence[BoxFacts], is_phrase: bool) -> list[int]:
    """Leave out what the answer would say twice."""
    first: dict[tuple[int, ...], int] = {}
    for place in order:
        fact = facts[place]
        first.setdefault((0 if is_phrase else fact.category_id, *fact.numbers), place)
    return list(first.values())


def _at_most(places: list[int], boxes_xyxy_px: FloatArray, options: RowOptions) -> list[int]:
    if options.max_boxes is None or len(places) <= options.max_boxes:
        return places
    if options.max_boxes_by == "order":
        return places[: options.max_boxes]
    largest = order_boxes("size", np.zeros((len(places), 4), np.int64), boxes_xyxy_px[places], None)
    kept = set(largest[: options.max_boxes].tolist())
    return [place for rank, place in enumerate(places) if rank in kept]


def _exact(
    facts: Sequence[BoxFacts], image_id: int, first_box_id: int, keep: list[int], is_phrase: bool
) -> tuple[TruthBox, ...]:
    exact = []
    for place in keep:
        fact = facts[place]
        x_min, y_min, x_max, y_max = fact.box_xyxy_px
        named = facts[keep[0]].category_id if is_phrase else fact.category_id
        corners = (x_min, y_min, x_max, y_max)
        exact.append(TruthBox(first_box_id + place, image_id, named, corners, fact.area, fact.is_ignored))
    return tuple(exact)


def _sample(regions: list[AnswerRegion], image_name: str, prompt: str, options: RowOptions) -> Sample:
    target = render_target(regions, options.answer_format)
    messages = (Message("user", IMAGE_MARK + prompt), Message("assistant", target.content))
    return Sample(messages, (image_name,), target.refs, target.boxes)
