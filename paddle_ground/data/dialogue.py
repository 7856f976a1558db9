"""One conversation about images -> one training record and, where its answer is boxes, their truth.

Takes a `DialogueRow` and the images' names and sizes in the output, gives a `Sample` whose boxes are in
the model's integers and whose groundings are written in the wanted answer format. What else the
conversation says stays as it is. Pure: reads and writes nothing, and knows no file format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from paddle_ground.answers import AnswerFormat, AnswerRegion, fill_marks, render_target
from paddle_ground.boxes import BoolArray, FloatArray, IntArray, clip_boxes, valid_mask
from paddle_ground.data.source import DialogueRow
from paddle_ground.errors import AnswerError, BoxError, DataError
from paddle_ground.records import Message, Sample, TruthBox, TruthImage
from paddle_ground.records.samples import BOX_MARK, IMAGE_MARK, REF_MARK
from paddle_ground.spaces import CoordinateSpace

IntBox = tuple[int, int, int, int]

EMPTY_GROUNDING = render_target((), AnswerFormat.JSON).content
"""What the turn of a row says that answers a search with "nothing is there", whatever the source wrote."""

ANY_OBJECT = "object"
"""The one class of a source that has no closed list of names."""


@dataclass(frozen=True, slots=True)
class DialogueOptions:
    """How conversations are turned into records.

    Attributes:
        space: The coordinate space of the model.
        answer_format: How answers are written that are nothing but a grounding. Other turns show their
            boxes in special tokens for TOKENS, as plain numbers for JSON.
        class_names: By category id, for the truth; (`ANY_OBJECT`,) where names are free.
        box_order: "position" as in `convert.RowOptions`, or "source"; of answers that are a grounding.
    """

    space: CoordinateSpace
    answer_format: AnswerFormat
    class_names: tuple[str, ...]
    box_order: Literal["position", "source"] = "source"


@dataclass(frozen=True, slots=True)
class ConvertedDialogue:
    """What became of a row.

    Attributes:
        sample: The training record; None where the row had to be left out.
        truth: The boxes of the last answer, of a row with one image whose last answer is a grounding;
            None where there is nothing to score by boxes. () says that nothing is there.
        prompt: For `TruthImage.prompt`: the question that the truth answers.
        phrase: For `TruthImage.phrase`: what was searched for, where the truth counts as `ANY_OBJECT`.
        has_answer: Whether any answer is more than "nothing is there".
        skipped: Reason ("nan_box", "empty_box", "outside_box", "point", "no_answer", "label") and place
            of each box that was left out, or of what the row was left out for.
        clipped_boxes: How many boxes reached beyond their image.
        merged_boxes: How many fell together with one of the same name in the model's integers.
    """

    sample: Sample | None
    truth: tuple[TruthBox, ...] | None = None
    prompt: str = ""
    phrase: str = ""
    has_answer: bool = False
    skipped: tuple[tuple[str, str], ...] = ()
    clipped_boxes: int = 0
    merged_boxes: int = 0


def grounding_content(boxes: int) -> str:
    """Give the turn of a `DialogueRow` that says nothing but so many named boxes."""
    return ", ".join([REF_MARK + BOX_MARK] * boxes) if boxes else EMPTY_GROUNDING


def convert_dialogue(
    row: DialogueRow, images: Sequence[TruthImage], first_box_id: int, options: DialogueOptions
) -> ConvertedDialogue:
    """Turn a row into a record.

    Args:
        row: The conversation.
        images: File name in the output and real size of each image, in the row's order.
        first_box_id: The id of its first truth box; as many ids are free as the row has boxes.
        options: How.

    Raises:
        DataError: The row's marks don't match its images, refs or boxes, or nothing would say of which of
            its images a box is; the message opens with its place.
    """
    turns = _cut_into_turns(row, len(images))
    boxes = _check_boxes(row, images, options.space)
    record = _Record(row.where, boxes, options)
    for turn in turns:
        record.add(turn)
    answers = [turn for turn in turns if turn.message.role == "assistant"]
    if not answers:
        record.leave_out("no_answer", f"{row.where}: nobody answers")
    if record.is_left_out:
        return ConvertedDialogue(None, skipped=tuple(record.skipped))
    names = tuple(image.file_name for image in images)
    sample = Sample(tuple(record.messages), names, tuple(record.refs), tuple(record.boxes))
    result = ConvertedDialogue(
        sample=sample,
        has_answer=any(turn.message.content != EMPTY_GROUNDING for turn in answers),
        skipped=tuple(record.skipped),
        clipped_boxes=int(boxes.is_clipped.sum()),
        merged_boxes=record.merged,
    )
    if len(images) != 1 or not turns[-1].is_grounding:
        return result
    truth, phrase = _truth(turns[-1], boxes, images[0].id, first_box_id, options.class_names)
    return replace(result, truth=truth, prompt=sample.prompt, phrase=phrase)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A message with what its own marks stand for; `boxes` are places in the row's boxes."""

    message: Message
    refs: tuple[str, ...]
    boxes: range

    @property
    def is_grounding(self) -> bool:
        if self.message.role != "assistant" or len(self.boxes) != len(self.refs):
            return False
        return self.message.content == grounding_content(len(self.boxes))


@dataclass(frozen=True, slots=True)
class _Boxes:
    """A row's boxes: cut at their images' borders, in the model's integers, and what is wrong with them."""

    inside: FloatArray
    numbers: IntArray
    complaints: tuple[tuple[str, str], ...]  # ("", "") for a usable box, else reason and place.
    is_clipped: BoolArray


class _Record:
    """A sample that grows turn by turn."""

    def __init__(self, where: str, boxes: _Boxes, options: DialogueOptions) -> None:
        self._where, self._boxes, self._options = where, boxes, options
        self.messages: list[Message] = []
        self.refs: list[str] = []
        self.boxes: list[IntBox] = []
        self.skipped: list[tuple[str, str]] = []
        self.merged = 0
        self.is_left_out = False

    def leave_out(self, reason: str, place: str) -> None:
        self.skipped.append((reason, place))
        self.is_left_out = True

    def add(self, turn: _Turn) -> None:
        bad = [self._boxes.complaints[box] for box in turn.boxes if self._boxes.complaints[box][0]]
        self.skipped += bad
        # Words around a box that is gone would speak of nothing, and an answer that lost all its boxes
        # would claim that nothing is there.
        if bad and (not turn.is_grounding or len(bad) == len(turn.boxes)):
            self.is_left_out = True
        if self.is_left_out:
            return
        if turn.is_grounding:
            self._add_grounding(turn)
        else:
            self._add_text(turn)

    def _add_grounding(self, turn: _Turn) -> None:
        named = [
            (label, self._number(box))
            for label, box in zip(turn.refs, turn.boxes, strict=True)
            if not self._boxes.complaints[box][0]
        ]
        if self._options.box_order == "position":
            named.sort(key=lambda one: (one[1][1], one[1][0], one[1][3], one[1][2]))
        once = list(dict.fromkeys(named))
        self.merged += len(named) - len(once)
        try:
            regions = [AnswerRegion(label, box) for label, box in once]
            target = render_target(regions, self._options.answer_format)
        except AnswerError as error:
            self.leave_out("label", f"{self._where}: {error}")
            return
        self._take(turn, target.content, target.refs, target.boxes)

    def _add_text(self, turn: _Turn) -> None:
        boxes = tuple(self._number(box) for box in turn.boxes)
        if self._options.answer_format is AnswerFormat.TOKENS:
            self._take(turn, turn.message.content, turn.refs, boxes)
        else:
            self._take(turn, fill_marks(turn.message.content, turn.refs, boxes, AnswerFormat.JSON), (), ())

    def _take(self, turn: _Turn, content: str, refs: tuple[str, ...], boxes: tuple[IntBox, ...]) -> None:
        self.messages.append(Message(turn.message.role, content))
        self.refs += refs
        self.boxes += boxes

    def _number(self, box: int) -> IntBox:
        x1, y1, x2, y2 = self._boxes.numbers[box].tolist()
        return x1, y1, x2, y2


def _cut_into_turns(row: DialogueRow, images: int) -> list[_Turn]:
    text = "".join(turn.content for turn in row.turns)
    for mark, there, what in (
        (IMAGE_MARK, images, "images"),
        (REF_MARK, len(row.refs), "names"),
        (BOX_MARK, len(row.boxes_xyxy_px), "boxes"),
    ):
        if text.count(mark) != there:
            raise DataError(
                f"{row.where}: {text.count(mark)} {mark} marks but {there} {what}; each mark needs one, and "
                "each one a mark"
            )
    turns, ref, box = [], 0, 0
    for turn in row.turns:
        refs, boxes = turn.content.count(REF_MARK), turn.content.count(BOX_MARK)
        turns.append(_Turn(turn, row.refs[ref : ref + refs], range(box, box + boxes)))
        ref, box = ref + refs, box + boxes
    return turns


def _check_boxes(row: DialogueRow, images: Sequence[TruthImage], space: CoordinateSpace) -> _Boxes:
    boxes = row.boxes_xyxy_px
    inside, numbers = boxes.copy(), np.zeros((len(boxes), 4), dtype=np.int64)
    stray = [image for image in row.box_images.tolist() if not 0 <= image < len(images)]
    if stray:
        raise DataError(
            f"{row.where}: a box belongs to image {stray[0]}, but there are {len(images)}; count from 0"
        )
    if len(boxes):
        try:
            space.refuse_several_borders([image.size_wh for image in images])
        except BoxError as error:
            raise DataError(f"{row.where}: {error}") from error
    is_finite = np.isfinite(boxes).all(axis=1)
    for number, image in enumerate(images):
        own = row.box_images == number
        inside[own] = clip_boxes(boxes[own], image.size_wh)
        encoded = space.encode(inside[own & is_finite], image.size_wh)
        numbers[own & is_finite] = space.widen(encoded, image.size_wh)
    is_usable = valid_mask(inside) & is_finite
    complaints = tuple(
        ("", "") if usable else (_reason(box), f"{row.where} box {place}: {box.tolist()}")
        for place, (usable, box) in enumerate(zip(is_usable.tolist(), boxes, strict=True))
    )
    return _Boxes(inside, numbers, complaints, (inside != boxes).any(axis=1) & is_usable)


def _reason(box: FloatArray) -> str:
    if not np.isfinite(box).all():
        return "nan_box"
    if (box[:2] == box[2:]).all():
        return "point"
    return "outside_box" if (box[2:] > box[:2]).all() else "empty_box"


def _truth(
    turn: _Turn, boxes: _Boxes, image_id: int, first_box_id: int, class_names: tuple[str, ...]
) -> tuple[tuple[TruthBox, ...], str]:
    """Give the exact boxes of an answer, and the phrase they count under if not each under its own name."""
    ids = _ids_by_name(class_names)
    phrase = "" if all(label in ids for label in turn.refs) else ", ".join(dict.fromkeys(turn.refs))
    truth: list[TruthBox] = []
    for label, box in zip(turn.refs, turn.boxes, strict=True):
        if not boxes.complaints[box][0]:
            x_min, y_min, x_max, y_max = boxes.inside[box].tolist()
            category = 0 if phrase else ids[label]
            area = (x_max - x_min) * (y_max - y_min)
            corners = (x_min, y_min, x_max, y_max)
            truth.append(TruthBox(first_box_id + len(truth), image_id, category, corners, area))
    return tuple(truth), phrase


@lru_cache(maxsize=8)
def _ids_by_name(class_names: tuple[str, ...]) -> dict[str, int]:
    return {name: number for number, name in enumerate(class_names)}
