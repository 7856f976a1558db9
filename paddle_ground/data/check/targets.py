"""What a sample's answers say, with numbers as they stand: nothing clipped at the right or the bottom.

Takes a `Sample`, gives its regions and how they could be read. Knows no coordinate space and no file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from paddle_ground.answers import AnswerFormat, AnswerRegion, Repair, fill_marks, parse, render
from paddle_ground.errors import AnswerError
from paddle_ground.records import Sample
from paddle_ground.records.samples import BOX_MARK, REF_MARK

Reading = Literal["boxes", "nothing", "text", "mended", "failed", "misnamed"]
"""boxes, or the statement that there are none, as they should stand; free text; boxes that had to be
mended; what looks like boxes and can't be read; boxes with a name that breaks the answer around it."""

# These show that an answer was not written by a renderer; the others have codes of their own or are
# what a sentence with boxes in it looks like.
_MENDED = {
    Repair.TEXT_AFTER_END_DROPPED.value, Repair.PLACEHOLDER_UNEXPANDED.value, Repair.FENCE_UNCLOSED.value,
    Repair.JSON_MENDED.value, Repair.NOT_A_LIST.value, Repair.KEY_RENAMED.value,
    Repair.MARKER_MISSING.value, Repair.TRUNCATED_TAIL_CLOSED.value, Repair.TRUNCATED_TAIL_DROPPED.value,
    Repair.MALFORMED_DROPPED.value,
}  # fmt: skip
_OPENINGS = ("[", "{", "```", "<|")


@dataclass(frozen=True, slots=True)
class Target:
    """One assistant turn, read.

    Attributes:
        regions: Labels and boxes, corners in order.
        reading: How it could be read.
        fmt: The format that it is written in; None for free text and where that can't be told.
        repairs: Values of `Repair`.
    """

    regions: tuple[AnswerRegion, ...]
    reading: Reading
    fmt: AnswerFormat | None = None
    repairs: tuple[str, ...] = ()


def read_targets(sample: Sample) -> tuple[Target, ...]:
    """Read all assistant turns of a sample.

    Args:
        sample: Its marks match its refs and boxes.
    """
    ref = box = 0
    found = []
    for message in sample.messages:
        refs, boxes = message.content.count(REF_MARK), message.content.count(BOX_MARK)
        if message.role == "assistant":
            found.append(
                _read(message.content, sample.refs[ref : ref + refs], sample.boxes[box : box + boxes])
            )
        ref, box = ref + refs, box + boxes
    return tuple(found)


@lru_cache(maxsize=4096)
def name_flaw(label: str) -> str:
    """Say why a label can't stand in an answer, or "" where it can."""
    try:
        render([AnswerRegion(label, (0, 0, 1, 1))], AnswerFormat.TOKENS)
    except AnswerError as error:
        return str(error).split(": ", 1)[-1].split(";")[0]
    return ""


def _read(content: str, refs: tuple[str, ...], boxes: tuple[tuple[int, int, int, int], ...]) -> Target:
    try:
        text = fill_marks(content, refs, boxes)
    except AnswerError:  # The marks were counted; only an adversarial text gets here.
        return Target((), "failed")
    if any(name_flaw(ref) for ref in refs):
        return Target((), "misnamed")
    answer = parse(text, AnswerFormat.TOKENS, math.inf)
    is_other = Repair.OTHER_FORMAT.value in answer.repairs
    repairs = tuple(repair for repair in answer.repairs if repair != Repair.OTHER_FORMAT.value)
    if answer.status == "failed" and not answer.regions:
        # Boxes without area were there, and were left out.
        if Repair.DEGENERATE_DROPPED.value in repairs:
            return Target((), "boxes", AnswerFormat.JSON if is_other else AnswerFormat.TOKENS, repairs)
        looks_like_boxes = bool(boxes) or text.lstrip().startswith(_OPENINGS)
        return Target((), "failed" if looks_like_boxes else "text", None, repairs)
    if not content.strip() or (not answer.regions and answer.points):
        return Target((), "text")
    reading: Reading = "boxes" if answer.regions else "nothing"
    if _MENDED & set(repairs):
        # Free text with a number or bracket in it is no broken answer.
        if not boxes and not text.lstrip().startswith(_OPENINGS):
            return Target((), "text")
        reading = "mended"
    return Target(answer.regions, reading, AnswerFormat.JSON if is_other else AnswerFormat.TOKENS, repairs)
