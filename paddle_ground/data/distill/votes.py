"""One answer of a teacher -> the boxes that it votes for, in pixels of the image file.

Takes a reply with the question and both sizes of the image, gives boxes, or why the answer can't be used.
Texts are read by `answers.parse`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from paddle_ground.answers import Repair, parse
from paddle_ground.boxes import FloatArray, as_boxes, clip_boxes, map_boxes, valid_mask
from paddle_ground.data.classes import check_classes
from paddle_ground.data.distill.agreement import SaidBox
from paddle_ground.data.distill.client import Reply
from paddle_ground.data.distill.options import AskOptions, TeacherQuestion, TeacherSpace
from paddle_ground.errors import DataError
from paddle_ground.spaces import RELATIVE_1000

# An answer that stops early is wrong about all that it did not come to. "loop": ours that went in circles.
_UNFINISHED = ("length", "loop", "content_filter")
_CUT_OFF = {Repair.TRUNCATED_TAIL_CLOSED, Repair.TRUNCATED_TAIL_DROPPED}


@dataclass(frozen=True, slots=True)
class Vote:
    """What an answer votes for.

    Attributes:
        boxes: With an area, inside the image; () for nothing there; None where the answer can't be used.
        problem: Why it can't: "cut_off", "unreadable", "other_names" or "outside"; "" where it can.
        unknown_labels: How many boxes had a name that was not asked for, or none.
        is_outside: Whether boxes reached clearly beyond the image: a sign of another coordinate space.
    """

    boxes: tuple[SaidBox, ...] | None
    problem: str = ""
    unknown_labels: int = 0
    is_outside: bool = False


def read_vote(
    reply: Reply,
    question: TeacherQuestion,
    asking: AskOptions,
    size_wh: tuple[int, int],
    sent_size_wh: tuple[int, int],
) -> Vote:
    """Read an answer.

    Args:
        reply: As it came.
        question: What was asked.
        asking: Which names count, and what numbers mean.
        size_wh: Of the image file.
        sent_size_wh: Of what the teacher saw.
    """
    # Numbers are clipped here, not by the parser: only so is it seen that they were too large.
    parsed, space = parse(reply.text, None, math.inf), asking.space
    as_relative = parse(reply.text, None, RELATIVE_1000.maximum)
    if Repair.FRACTIONS_SCALED in as_relative.repairs:
        parsed, space = as_relative, "relative_1000"
    if reply.finish in _UNFINISHED or not _CUT_OFF.isdisjoint(parsed.repairs):
        return Vote(None, "cut_off")
    is_silent = Repair.EMPTY_ANSWER in parsed.repairs
    if parsed.status == "failed" or is_silent or (parsed.points and not parsed.regions):
        return Vote(None, "unreadable")
    boxes = as_boxes([region.box for region in parsed.regions])
    limit_wh = sent_size_wh if space == "absolute" else (RELATIVE_1000.maximum, RELATIVE_1000.maximum)
    is_outside = bool((boxes > [1.05 * side for side in (*limit_wh, *limit_wh)]).any())
    boxes_px = clip_boxes(_to_pixels(boxes, space, size_wh, sent_size_wh), size_wh)
    labels = [_label(region.label, question, asking.class_names) for region in parsed.regions]
    usable = valid_mask(boxes_px).tolist()
    said = tuple(
        SaidBox(label, (box[0], box[1], box[2], box[3]))
        for label, box, is_usable in zip(labels, boxes_px.tolist(), usable, strict=True)
        if label is not None and is_usable
    )
    unknown = labels.count(None)
    if parsed.regions and not said:
        # It saw something, if not what was asked for: no witness for an empty image.
        problem = "other_names" if unknown else "outside" if is_outside else "unreadable"
        return Vote(None, problem, unknown, is_outside)
    return Vote(said, "", unknown, is_outside)


def _to_pixels(
    boxes: FloatArray, space: TeacherSpace, size_wh: tuple[int, int], sent_size_wh: tuple[int, int]
) -> FloatArray:
    if space == "relative_1000":
        return RELATIVE_1000.decode(boxes, size_wh)
    return map_boxes(boxes, (size_wh[0] / sent_size_wh[0], size_wh[1] / sent_size_wh[1]))


def _label(said: str, question: TeacherQuestion, class_names: tuple[str, ...]) -> str | None:
    """Give the name that counts for what a teacher called a box; None where none does."""
    if question.phrase:
        return question.phrase
    name = " ".join(said.split())
    if not class_names:
        return name if _is_usable(name) else None
    by_plain = {own.casefold(): own for own in class_names}
    return name if name in class_names else by_plain.get(name.casefold())


def _is_usable(name: str) -> bool:
    try:
        check_classes((name,), "")
    except DataError:
        return False
    return True
