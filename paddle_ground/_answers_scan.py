"""Find the answer in what a model said, and choose the scanner that reads it.

Takes an answer's raw text, gives `Findings`. Knows chat markers, thinking blocks, ways to say "nothing
there" and how the two formats look from afar; knows nothing of coordinate ranges.
"""

from __future__ import annotations

import re

from paddle_ground._answers_found import AnswerFormat, Findings, Repair
from paddle_ground._answers_json import looks_like_json, scan_json
from paddle_ground._answers_tokens import looks_like_tokens, scan_tokens

_END = re.compile(r"<\|im_end\|>|<\|endoftext\|>|<\|im_start\|>")
_START = re.compile(r"\s*<\|im_start\|>(?:assistant)?\s*")
_PLACEHOLDER = re.compile(r"<ref-object>|<bbox>")
_BOX_TOKEN = re.compile(r"<\|box_(?:start|end)\|>|</?box>")
_PLAIN_BOX = re.compile(r"\[\s*\d+\s*(?:,\s*\d+\s*){3}\]")
# The ways to say "nothing" seen in answers; a whole short answer must say it, not a part of one.
_NONE = re.compile(
    r"none|nothing|no (?:matching )?(?:objects?|instances?)(?: (?:found|detected))?|无|没有|未找到|未检测到",
    re.IGNORECASE,
)
_NONE_SENTENCE = re.compile(
    r"there (?:is|are|was|were) (?:no|none)\b[^.\n]*|(?:图中|图片中|图像中)(?:没有|未)[^。\n]*", re.IGNORECASE
)
_MAX_NONE_CHARS = 200


def answer_body(text: str) -> tuple[str, set[Repair]]:
    """Cut what is not the answer: chat markers, a thinking block, what comes after the end.

    Returns:
        The rest, without blanks around it, and what had to be cut.
    """
    repairs: set[Repair] = set()
    start = _START.match(text)
    body = text[start.end() :] if start else text
    end = _END.search(body)
    if end:
        after = _END.sub("", body[end.start() :])
        body = body[: end.start()]
        if after.strip():
            repairs.add(Repair.TEXT_AFTER_END_DROPPED)
    thinking, closed, rest = body.partition("</think>")
    if closed:
        body = rest
        if thinking.replace("<think>", "").strip():
            repairs.add(Repair.THINKING_DROPPED)
    if _PLACEHOLDER.search(body):
        repairs.add(Repair.PLACEHOLDER_UNEXPANDED)
    return body.strip(), repairs


def scan(body: str, fmt: AnswerFormat | None) -> Findings:
    """Read an answer in the expected format; if nothing is found, in the other one.

    Args:
        body: What `answer_body` left.
        fmt: The expected format; None takes what is there.
    """
    stated = _stated_none(body)
    if stated:
        if fmt is AnswerFormat.JSON:
            stated.repairs.add(Repair.OTHER_FORMAT)
        return stated
    expected = fmt or _guess_format(body)
    found = _scan_as(body, expected)
    if found.candidates or found.says_none:
        return found
    other = AnswerFormat.JSON if expected is AnswerFormat.TOKENS else AnswerFormat.TOKENS
    second = _scan_as(body, other)
    if not (second.candidates or second.says_none):
        return found
    if fmt is not None:
        second.repairs.add(Repair.OTHER_FORMAT)
    return second


def _stated_none(body: str) -> Findings | None:
    plain = body.strip(" \t\r\n.。!！\"'`")
    if len(plain) > _MAX_NONE_CHARS:
        return None
    if _NONE.fullmatch(plain):
        return Findings(says_none=True)
    if _NONE_SENTENCE.fullmatch(plain) and not looks_like_tokens(body):
        return Findings(says_none=True, repairs={Repair.PROSE_IGNORED})
    return None


def _guess_format(body: str) -> AnswerFormat:
    if looks_like_json(body) and "<|box_start|>" not in body:
        return AnswerFormat.JSON
    return AnswerFormat.TOKENS if looks_like_tokens(body) else AnswerFormat.JSON


def _scan_as(body: str, fmt: AnswerFormat) -> Findings:
    return scan_tokens(body) if fmt is AnswerFormat.TOKENS else scan_json(body)


def says_plain_box(text: str) -> bool:
    """Tell whether a text holds four whole numbers in brackets, as boxes stand inside sentences."""
    return bool(_PLAIN_BOX.search(text))


def says_box_tokens(text: str) -> bool:
    """Tell whether a text holds a box token, whether or not a box stands behind it."""
    return bool(_BOX_TOKEN.search(text))
