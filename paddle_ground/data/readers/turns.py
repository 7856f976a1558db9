"""Conversations as the formats of trainers write them, brought to the one form of `DialogueRow`.

Takes turns with marks, or with boxes in their text, gives turns in which every answer that is nothing but
a grounding has its marks as `answers.render_target` sets them. Reads no file and no image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Literal

from paddle_ground.answers import (
    AnswerFormat,
    ParsedAnswer,
    Repair,
    fill_marks,
    parse,
    render_target,
    says_box_tokens,
    take_marks,
)
from paddle_ground.data.dialogue import grounding_content
from paddle_ground.errors import DataError
from paddle_ground.records import Message
from paddle_ground.records.samples import BOX_MARK, IMAGE_MARK, REF_MARK

Units = Literal["pixels", "relative_1000", "fractions", "unknown"]
"""What the numbers of boxes are: of the image file, thousandths of its sides, parts of them."""

_LISTED_BOX = re.compile(r'^\s*(?:```(?:json)?\s*)?\[\s*\{[^{}]*"bbox')
_ANY_NUMBER = float("inf")
# What a list of boxes may need and still be nothing but a list of boxes.
_HARMLESS = {
    repair.value
    for repair in (
        Repair.KEY_RENAMED,
        Repair.NOT_A_LIST,
        Repair.NON_INTEGER,
        Repair.DUPLICATE_DROPPED,
        Repair.SWAPPED_CORNERS,
        Repair.FENCE_UNCLOSED,
        Repair.JSON_MENDED,
    )
}
_OUR_NONE = render_target((), AnswerFormat.TOKENS).content


class LeftOut(Exception):
    """A row of a kind that can't become a sample, such as one about a video; says which kind."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One row of a conversation format.

    Attributes:
        turns: With an `<image>` a picture.
        images: As the row names them, one an `<image>`.
        refs: One a `<ref-object>`, in order.
        boxes: One a `<bbox>`, in order: x1, y1, x2, y2, or a point's x, y twice.
        box_images: Which image each box belongs to.
        units: Of the boxes.
        from_text: "tokens" or "json" where the boxes stood in the text, and how; "" where they had marks.
    """

    turns: tuple[Message, ...]
    images: tuple[str, ...]
    refs: tuple[str, ...] = ()
    boxes: tuple[tuple[float, ...], ...] = ()
    box_images: tuple[int, ...] = ()
    units: Units = "pixels"
    from_text: Literal["", "tokens", "json"] = ""


def normalised(row: Dialogue, where: str) -> Dialogue:
    """Bring a row into the form of `DialogueRow`.

    Raises:
        DataError: Its marks and what they stand for don't match.
    """
    row = _with_image_marks(row, where)
    text = "".join(turn.content for turn in row.turns)
    if BOX_MARK not in text and REF_MARK not in text:
        row = _taken_from_text(row)
    return _with_plain_groundings(row, where)


def means_empty(content: str) -> bool:
    """Tell whether an answer says, in the words of the box-token format, that nothing is there.

    In a conversation about anything else the same word may be an answer; the data set has to tell.
    """
    return content.strip() == _OUR_NONE


def _with_image_marks(row: Dialogue, where: str) -> Dialogue:
    """Put the images before the first question where no mark says otherwise, as ms-swift does."""
    marks = sum(turn.content.count(IMAGE_MARK) for turn in row.turns)
    if marks == len(row.images):
        return row
    place = next((number for number, turn in enumerate(row.turns) if turn.role == "user"), None)
    if marks or place is None:
        raise DataError(
            f"{where}: {marks} {IMAGE_MARK} marks but {len(row.images)} images; each mark needs one, and "
            "each one a mark"
        )
    turns = list(row.turns)
    turns[place] = Message("user", IMAGE_MARK * len(row.images) + turns[place].content)
    return replace(row, turns=tuple(turns))


def _taken_from_text(row: Dialogue) -> Dialogue:
    """Find the boxes that stand in the text of the turns, and put marks in their places.

    Raises:
        LeftOut: There are boxes of which not every one can be used: as text their numbers would be trained
            as they stand, in the source's units.
    """
    turns: list[Message] = []
    refs: list[str] = []
    boxes: list[tuple[float, ...]] = []
    from_lists = False
    for turn in row.turns:
        found = take_marks(turn.content)
        if found is not None:
            turns.append(Message(turn.role, found.content))
            refs += found.refs
            boxes += found.boxes
            continue
        if says_box_tokens(turn.content):
            raise LeftOut("with box tokens that can't all be read")
        listed = _read_list(turn) if turn.role == "assistant" else None
        if listed is None:
            turns.append(turn)
        else:
            turns.append(Message(turn.role, grounding_content(len(listed.regions))))
            refs += [region.label for region in listed.regions]
            boxes += [region.box for region in listed.regions]
            from_lists |= bool(listed.regions)
    if not boxes:
        return replace(row, turns=tuple(turns))
    return replace(
        row,
        turns=tuple(turns),
        refs=tuple(refs),
        boxes=tuple(boxes),
        # Nobody says which of several images a box in a text belongs to: the first, as in ms-swift.
        box_images=(0,) * len(boxes),
        units="unknown",
        from_text="json" if from_lists else "tokens",
    )


def _read_list(turn: Message) -> ParsedAnswer | None:
    """Read an answer that is a JSON list of boxes and nothing else.

    Raises:
        LeftOut: It is such a list, but not every box can be used.
    """
    if not any(mark in turn.content for mark in "[{"):
        return None
    found = parse(turn.content, AnswerFormat.JSON, _ANY_NUMBER)
    is_whole = found.status != "failed" and not found.points and set(found.repairs) <= _HARMLESS
    if not is_whole and _LISTED_BOX.search(turn.content):
        raise LeftOut("with a list of boxes that can't all be used")
    return found if is_whole else None


def _with_plain_groundings(row: Dialogue, where: str) -> Dialogue:
    """Set the marks of answers that are nothing but a grounding as `answers.render_target` does."""
    text = "".join(turn.content for turn in row.turns)
    if (text.count(REF_MARK), text.count(BOX_MARK)) != (len(row.refs), len(row.boxes)):
        raise DataError(
            f"{where}: {text.count(REF_MARK)} {REF_MARK} and {text.count(BOX_MARK)} {BOX_MARK} marks but "
            f"{len(row.refs)} names and {len(row.boxes)} boxes; each mark needs one, and each one a mark"
        )
    refs, boxes = iter(row.refs), iter(range(len(row.boxes)))
    turns: list[Message] = []
    own_refs: list[tuple[str, ...]] = []
    own_boxes: list[list[int]] = []
    for turn in row.turns:
        mine = tuple(islice(refs, turn.content.count(REF_MARK)))
        places = list(islice(boxes, turn.content.count(BOX_MARK)))
        named = _named_boxes(turn, mine, len(places), own_refs[-1] if own_refs else ())
        if named is not None:
            turn = Message(turn.role, grounding_content(len(named)))
            mine = tuple(label for label, _ in named)
            places = [places[box] for _, box in named]
        turns.append(turn)
        own_refs.append(mine)
        own_boxes.append(places)
    order = list(chain.from_iterable(own_boxes))
    return replace(
        row,
        turns=tuple(turns),
        refs=tuple(chain.from_iterable(own_refs)),
        boxes=tuple(row.boxes[place] for place in order),
        box_images=tuple(row.box_images[place] for place in order),
    )


def _named_boxes(
    turn: Message, refs: tuple[str, ...], boxes: int, asked: tuple[str, ...]
) -> list[tuple[str, int]] | None:
    """Read an answer with marks as a list of named boxes, if it is nothing else.

    Args:
        turn: The answer.
        refs: Of its own marks.
        boxes: How many marks for boxes it has.
        asked: Of the turn before: a single name there is the name of boxes that have none here.
    """
    if turn.role != "assistant" or not boxes:
        return None
    # Numbers and names that can be told apart again, and that mean nothing themselves.
    numbers = [(box, box, box + 1, box + 1) for box in range(boxes)]
    names = {f"mark {ref} mark": label for ref, label in enumerate(refs)}
    for fmt in (AnswerFormat.TOKENS, AnswerFormat.JSON):
        text = fill_marks(turn.content, list(names), numbers, fmt)
        found = parse(text, fmt, _ANY_NUMBER)
        harmless = _HARMLESS | ({Repair.LABEL_MISSING.value} if len(asked) == 1 else set())
        if found.points or not set(found.repairs) <= harmless:
            continue
        read = [(region.label or asked[0], int(region.box[0])) for region in found.regions]
        if sorted(box for _, box in read) == list(range(boxes)):
            return [(names.get(label, label), box) for label, box in read]
    return None
