"""Text made to be slow: the parser's work grows with its length, not with the square of it.

Counted in calls, not in seconds; each text is also parsed at a size where a square would never end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from paddle_ground.answers import AnswerFormat, AnswerRegion, parse, render

CAT = AnswerRegion("cat", (1.0, 2.0, 30.0, 40.0))
CAT_TOKENS = render([CAT], AnswerFormat.TOKENS)
CAT_JSON = '{"bbox_2d": [1, 2, 30, 40], "label": "cat"}'

HOSTILE: dict[str, Callable[[int], str]] = {
    "round brackets": lambda n: "(" * n,
    "square brackets": lambda n: "[" * n,
    "braces": lambda n: "{" * n,
    "closed brackets": lambda n: "[" * (n // 2) + "]" * (n // 2),
    "braces with keys": lambda n: '{"bbox_2d":[' * (n // 12),
    "quotes": lambda n: '["' * (n // 2),
    "escapes": lambda n: '["' + '\\"' * (n // 2),
    "digits": lambda n: "[" + "9" * n,
    "digits in a box token": lambda n: "<|box_start|>(" + "9" * n,
    "half corners": lambda n: "(1,2),(" * (n // 7),
    "blanks": lambda n: "(" + " " * n + "1",
    "box starts": lambda n: "<|box_start|>" * (n // 13),
    "name starts": lambda n: "<|object_ref_start|>a" * (n // 21),
    "end tokens": lambda n: "<|im_end|>" * (n // 10),
    "think blocks": lambda n: "<think>" * (n // 7) + "</think>" * (n // 8),
    "fences": lambda n: "```json\n" * (n // 8),
    "empty lists": lambda n: "[]" * (n // 2),
    "a loop of boxes": lambda n: (CAT_TOKENS + ", ") * (n // (len(CAT_TOKENS) + 2)),
    "a loop of objects": lambda n: "[" + (CAT_JSON + ", ") * (n // (len(CAT_JSON) + 2)),
    "deep boxes": lambda n: "[[1,2,3,4]," * (n // 11),
}  # fmt: skip


def count_calls(text: str) -> int:
    """Count the calls, ours and the interpreter's, that one parse makes."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        parse(text)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_costs_work_in_proportion(make: Callable[[int], str]) -> None:
    small, large = count_calls(make(2_000)), count_calls(make(8_000))
    assert large <= 4.5 * small + 200  # 16 times would be quadratic
    parse(make(100_000))  # ends at all: no recursion limit, no explosion
