"""Marks in a text for what an object is called and where it is: filled in, and taken out again.

Takes a turn with PaddleFormers' placeholders and what they stand for, gives the text that a model reads;
takes a text with box tokens anywhere in it, gives the turn with placeholders. Numbers are in any
one space. Knows nothing of whole answers, images or files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from paddle_ground._answers_found import AnswerFormat
from paddle_ground.errors import AnswerError

REF, BOX = "<ref-object>", "<bbox>"

_MARK = re.compile(f"({REF}|{BOX})")
_CORNERS = r"\s*\(\s*(\d{1,7}(?:\.\d+)?)\s*,\s*(\d{1,7}(?:\.\d+)?)\s*\)"
# Qwen2-VL's tokens and, with the same inside, those of Qwen-VL.
_TOKENS = re.compile(
    r"<\|object_ref_start\|>(?P<name>[^<>]{1,1000})<\|object_ref_end\|>"
    rf"|<\|box_start\|>{_CORNERS}\s*,{_CORNERS}\s*<\|box_end\|>"
    r"|<ref>(?P<old_name>[^<>]{1,1000})</ref>"
    rf"|<box>{_CORNERS}\s*,{_CORNERS}\s*</box>"
)
_LEFT_OVER = re.compile(r"<\|(?:object_ref|box)_(?:start|end)\|>|</?(?:ref|box)>")

# Text that a Qwen tokenizer or a PaddleFormers template would turn into something else than text.
_RESERVED = re.compile(
    r"<\|[^<>]*\|>|<(?:ref-object|bbox|image|video|audio)>"
    r"|</?(?:ref|box|pred|img|think|tool_call|tool_response)>"
)


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A text whose names and boxes were taken out.

    Attributes:
        content: The text with `<ref-object>` and `<bbox>` where they stood.
        refs: The names, in order.
        boxes: x1, y1, x2, y2 of each box, in order, as written.
    """

    content: str
    refs: tuple[str, ...]
    boxes: tuple[tuple[float, float, float, float], ...]


def reserved_mark(text: str) -> str | None:
    """Give the first special token or placeholder in a text, that a model or trainer would obey."""
    found = _RESERVED.search(text)
    return found.group() if found else None


@lru_cache(maxsize=4096)
def label_fault(label: str) -> str:
    """Say why a label can't stand in an answer; "" where it can. Kept, as few labels name very many boxes."""
    if not label.strip():
        return "the label is blank; a box needs a name"
    if label != label.strip():
        return f"the label {label!r} is padded with blanks; strip it"
    special = reserved_mark(label)
    if special is not None:
        return f"the label {label!r} holds {special!r}, a special token or placeholder; rename it"
    if any("\ud800" <= character <= "\udfff" for character in label):
        return f"the label {label!r} holds half a surrogate pair; it is no valid Unicode"
    return ""


def fill_marks(
    content: str, refs: Sequence[str], boxes: Sequence[Sequence[int]], fmt: AnswerFormat = AnswerFormat.TOKENS
) -> str:
    """Write what the marks of one turn stand for into its text.

    Args:
        content: With `<ref-object>` and `<bbox>` marks.
        refs: One a `<ref-object>`, in order.
        boxes: x1, y1, x2, y2 for each `<bbox>`, in order.
        fmt: TOKENS: in special tokens, as PaddleFormers does. JSON: the bare name, and the numbers in
            square brackets, as Qwen2.5-VL and Qwen3-VL read and write them inside sentences.

    Raises:
        AnswerError: There are more or fewer marks than refs or boxes.
    """
    counts = (content.count(REF), content.count(BOX))
    if counts != (len(refs), len(boxes)):
        raise AnswerError(
            f"{counts[0]} {REF} and {counts[1]} {BOX} marks, but {len(refs)} names and {len(boxes)} boxes; "
            "give one for each mark"
        )
    names, corners = iter(refs), iter(boxes)
    as_tokens = fmt is AnswerFormat.TOKENS
    parts = []
    for part in _MARK.split(content):
        if part == REF:
            name = next(names)
            parts.append(f"<|object_ref_start|>{name}<|object_ref_end|>" if as_tokens else name)
        elif part == BOX:
            x1, y1, x2, y2 = next(corners)
            tokens = f"<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
            parts.append(tokens if as_tokens else f"[{x1}, {y1}, {x2}, {y2}]")
        else:
            parts.append(part)
    return "".join(parts)


def take_marks(text: str) -> MarkedText | None:
    """Take the names and boxes in special tokens out of a text; the words around them stay.

    Args:
        text: For example ``<|object_ref_start|>a dog<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>
            is asleep``. It holds no marks yet.

    Returns:
        None where no box stands in tokens, where a token is left that makes no whole name or box (a
        point, say), or where marks stand there already.
    """
    refs: list[str] = []
    boxes: list[tuple[float, float, float, float]] = []

    def take(match: re.Match[str]) -> str:
        name = match["name"] or match["old_name"]
        if name is not None:
            refs.append(name.strip())
            return REF
        x1, y1, x2, y2 = (float(group) for group in match.groups() if group is not None)
        boxes.append((x1, y1, x2, y2))
        return BOX

    if _MARK.search(text):
        return None
    content = _TOKENS.sub(take, text)
    if not boxes or _LEFT_OVER.search(content) or not all(refs):
        return None
    return MarkedText(content, tuple(refs), tuple(boxes))
