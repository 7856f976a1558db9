"""Read grounding answers in JSON, from strict to badly broken.

Takes an answer's text, gives `Findings`. The form is Qwen's: a list, mostly in a ```json fence, of
``{"bbox_2d": [x1, y1, x2, y2], "label": "cat"}``. One pass over tokens with a stack of open
brackets finds each object on its own, so that a broken neighbour, a missing end, Python quotes,
other wrapping or talk around costs only what is itself unreadable. Every pass is linear and nothing
recurses. Knows nothing of coordinate ranges or box tokens.

Not read on purpose: ``box_2d`` (Gemini's is y, x, y, x while others' is x, y, x, y), ``bbox_3d``,
and parallel lists (``{"bboxes": [...], "labels": [...]}``), whose numbers are pixels.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from paddle_ground._answers_found import Candidate, Findings, Repair, numbers_in, to_number

BOX_KEY, POINT_KEY, LABEL_KEY = "bbox_2d", "point_2d", "label"
_BOX_KEYS = (BOX_KEY, "bbox", "box", "bounding_box", "position")
_POINT_KEYS = (POINT_KEY, "point")
_LABEL_KEYS = (
    LABEL_KEY, "name", "class", "class_name", "category", "object", "phrase", "description",
    "text_content", "text", "name_en", "name_zh",
)  # fmt: skip

_NO_STRINGS = frozenset({"null", "None", "true", "false", "True", "False"})
_FENCE_OPEN = re.compile(r"```\s{0,8}(?:json\b)?", re.IGNORECASE)
_TOKEN = re.compile(
    r"""(?P<open>[\[{])|(?P<close>[\]}])|(?P<mark>[:,])"""
    r"""|(?P<number>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d{1,3})?)"""
    r"""|(?P<quote>["'])|(?P<word>[^\W\d]\w*)|(?P<other>[^\s])"""
)
# Possessive by construction: each alternative starts with its own character, so no backtracking.
_STRING_REST = {quote: re.compile(rf"(?:[^{quote}\\]|\\.)*{quote}", re.DOTALL) for quote in "\"'"}


def looks_like_json(text: str) -> bool:
    """Say whether a text opens like a JSON answer or holds one of its keys."""
    start = text.lstrip()[:8]
    return start.startswith(("[", "{", "```")) or BOX_KEY in text or POINT_KEY in text


def scan_json(text: str) -> Findings:
    """Gather the boxes of a JSON answer.

    Args:
        text: The answer without end tokens.

    Returns:
        Candidates in text order and the repairs that reading needed.
    """
    walk = _Walk(text)
    position = 0
    while match := _TOKEN.search(text, position):
        position = walk.take(match)
        if position < 0:
            break
    return walk.finish()


@dataclass
class _Frame:
    """One open bracket.

    Attributes:
        start: Where it stands in the text.
        is_object: A brace, not a square bracket.
        owner: The nearest open brace around, which boxes found further in belong to.
        key: In a brace: the key whose value comes next; "" while a key is awaited.
        pending: The last string that is no value: in a brace, the next key.
        numbers: In a square bracket: the numbers directly in it.
        values: In a brace: by key, the lists of two or four numbers anywhere below it.
        texts: In a brace: by key, its string.
    """

    start: int
    is_object: bool
    owner: _Frame | None
    key: str = ""
    pending: str = ""
    numbers: list[float] = field(default_factory=list)
    values: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


class _Walk:
    """The stack of open brackets and what was found inside; `take` is called once a token."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found = Findings()
        self._stack: list[_Frame] = []
        self._previous = ""  # the structural character before the current token, inside brackets
        self._outside_from = 0  # where the text outside of all brackets goes on
        self._outside: list[str] = []
        self._in_top = 0  # candidates before the current outermost bracket
        self._top_is_blank = True  # does the outermost bracket hold no value at all?
        self._blank_tops = 0

    def take(self, match: re.Match[str]) -> int:
        """Handle one token; give the position to go on from, or -1 where the text stops inside a string."""
        kind, end = match.lastgroup, match.end()
        if kind == "open":
            self._open(match)
        elif not self._stack:
            return end
        elif kind == "close":
            self._close(match.group(), end)
        elif kind == "mark":
            self._mark(match.group())
        elif kind == "number":
            self._number(match.group())
        elif kind == "word" and match.group() not in _NO_STRINGS:
            self._string(match.group())
        elif kind == "quote" and self._previous in {"[", "{", ":", ","}:
            rest = _STRING_REST[match.group()].match(self._text, end)
            if rest is None:
                return -1
            self._string(_unescape(self._text[match.start() : rest.end()]))
            end = rest.end()
        if kind != "mark" and kind != "open":
            self._previous = ""
        return end

    def finish(self) -> Findings:
        """Close what is still open and say what had to be mended."""
        found, rest = self._found, ""
        if self._stack:
            self._truncated()
        else:
            rest = self._text[self._outside_from :]
        outside = " ".join([*self._outside, rest])
        opened = len(_FENCE_OPEN.findall(outside))
        if opened % 2:
            found.repairs.add(Repair.FENCE_UNCLOSED)
        is_talk = bool(_FENCE_OPEN.sub(" ", outside).strip(" \t\r\n,;"))
        if is_talk:
            found.repairs.add(Repair.PROSE_IGNORED)
        # "[]" between words only counts where a fence marks it as the answer.
        found.says_none = not found.candidates and self._blank_tops > 0 and (opened > 0 or not is_talk)
        return found

    def _open(self, match: re.Match[str]) -> None:
        if not self._stack:
            self._outside.append(self._text[self._outside_from : match.start()])
            self._in_top = len(self._found.candidates)
            self._top_is_blank = True
        parent = self._stack[-1] if self._stack else None
        owner = parent if parent is None or parent.is_object else parent.owner
        self._stack.append(_Frame(match.start(), match.group() == "{", owner))
        self._previous = match.group()

    def _close(self, character: str, end: int) -> None:
        wants_object = character == "}"
        if self._stack[-1].is_object != wants_object:
            # "[1, 2, 3, 4}" lacks a bracket: close what is inside, if the right kind is open at all.
            if wants_object and self._stack[-1].owner is None:
                return
            if not wants_object:
                return  # "{... ]": the brace is still open; its end may come
            while not self._stack[-1].is_object:
                self._end_frame(self._stack.pop())
        frame = self._stack.pop()
        self._end_frame(frame)
        if not self._stack:
            self._end_top(frame, end)

    def _mark(self, character: str) -> None:
        frame = self._stack[-1]
        self._previous = character
        if not frame.is_object:
            if character == ":" and len(self._stack) > 1 and self._stack[-2].is_object:
                # "[1, 2, 3, 4, "label": ..." lacks a bracket: the last string was the next key.
                self._end_frame(self._stack.pop())
                self._stack[-1].key = frame.pending.lower()
            return
        if character == ":" and not frame.key:
            frame.key = frame.pending.lower()
        elif character == ",":
            frame.key = ""
        frame.pending = ""

    def _number(self, token: str) -> None:
        self._top_is_blank = False
        frame = self._stack[-1]
        if not frame.is_object:
            frame.numbers.append(to_number(token))

    def _string(self, value: str) -> None:
        frame = self._stack[-1]
        if not frame.is_object:
            self._top_is_blank = False
            frame.pending = value
        elif frame.key:
            self._top_is_blank = False
            frame.texts.setdefault(frame.key, value)  # after a stray quote more words may come
        else:
            frame.pending = value

    def _end_frame(self, frame: _Frame) -> None:
        if frame.is_object:
            self._end_object(frame)
        elif len(frame.numbers) in (2, 4):
            numbers = tuple(frame.numbers)
            if frame.owner is not None:
                frame.owner.values.setdefault(frame.owner.key, []).append(numbers)
            elif len(numbers) == 4:
                # A box without keys. Two bare numbers could be anything.
                self._found.candidates.append(Candidate("", numbers))
                self._found.repairs.add(Repair.KEY_RENAMED)

    def _end_object(self, frame: _Frame) -> None:
        found = self._found
        label_key = next((key for key in _LABEL_KEYS if key in frame.texts), LABEL_KEY)
        label = frame.texts.get(label_key, "").strip()
        for key in (*_BOX_KEYS, *_POINT_KEYS):
            values = frame.values.get(key)
            if values is None and key in frame.texts:  # "bbox_2d": "[1, 2, 3, 4]" in quotes
                values = [tuple(numbers_in(frame.texts[key][:200]))]
                found.repairs.add(Repair.JSON_MENDED)
            if values is None:
                continue
            numbers_list = _whole_shapes(values, key)
            found.candidates.extend(Candidate(label, numbers) for numbers in numbers_list)
            if not numbers_list:
                found.repairs.add(Repair.MALFORMED_DROPPED)
            if key not in (BOX_KEY, POINT_KEY) or label_key != LABEL_KEY:
                found.repairs.add(Repair.KEY_RENAMED)
            return
        if LABEL_KEY in frame.texts:
            found.repairs.add(Repair.MALFORMED_DROPPED)

    def _end_top(self, frame: _Frame, end: int) -> None:
        found = self._found
        span = self._text[frame.start : end]
        self._outside_from = end
        if len(found.candidates) > self._in_top:
            if not _is_strict(span):
                found.repairs.add(Repair.JSON_MENDED)
            if frame.is_object:
                found.repairs.add(Repair.NOT_A_LIST)
        elif self._top_is_blank:
            self._blank_tops += 1
            if span.count("[") > 1 or frame.is_object:
                found.repairs.add(Repair.NOT_A_LIST)
        else:
            self._outside.append(span)  # "[ANSWER]": brackets of prose

    def _truncated(self) -> None:
        """The text stops inside brackets: keep the last object if all of it but its end is there."""
        found, frame = self._found, self._stack[-1]
        if frame.is_object:
            # A word or number at the very end may itself be cut.
            after_value = self._previous == "" and not self._text[-1:].isalnum()
            lost = not (after_value and frame.values and frame.texts.get(LABEL_KEY))
            if not lost:
                self._end_object(frame)
        else:
            lost = bool(frame.numbers) or not found.candidates
        found.repairs.add(Repair.TRUNCATED_TAIL_DROPPED if lost else Repair.TRUNCATED_TAIL_CLOSED)


def _whole_shapes(values: list[tuple[float, ...]], key: str) -> list[tuple[float, ...]]:
    """Boxes of four numbers; two pairs under a box key are the corners of one."""
    if key in _POINT_KEYS:
        return [value for value in values if len(value) == 2]
    if [len(value) for value in values] == [2, 2]:
        return [values[0] + values[1]]
    return [value for value in values if len(value) in (2, 4)]


def _unescape(quoted: str) -> str:
    """Read a quoted string: by JSON's rules where they fit, else with backslashes dropped."""
    if quoted[0] == '"':
        try:
            return str(json.loads(quoted, strict=False))
        except ValueError:
            pass
    return re.sub(r"\\(.)", r"\1", quoted[1:-1], flags=re.DOTALL)


def _is_strict(span: str) -> bool:
    try:
        json.loads(span, parse_int=float)  # int() of a runaway number is quadratic, float() is not
    except (ValueError, RecursionError):
        return False
    return True
