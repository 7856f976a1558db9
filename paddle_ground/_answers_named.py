"""Where the whole, well-formed regions of an answer stand in its bytes, with their names and numbers.

For those who must know which tokens said what: tokens are bytes, and a character may be spread over several.
Takes bytes, gives spans. Private: import it from `paddle_ground.answers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]
"""First byte, and the one after the last."""

_NAMED_BOX = re.compile(
    rb"<\|object_ref_start\|>(?P<label>(?:[^<]|<(?!\|))*)<\|object_ref_end\|>"
    rb"<\|box_start\|>(?P<box>[^<]*)<\|box_end\|>"
    rb'|\{\s*"bbox_2d"\s*:\s*\[(?P<box_>[^][{]*)\]\s*,\s*"label"\s*:\s*"(?P<label_>(?:[^"\\]|\\.)*)"\s*\}'
)
_DIGITS = re.compile(rb"\d+")


@dataclass(frozen=True, slots=True)
class NamedBox:
    """One region as it is written.

    Attributes:
        text: All of it, for `parse`.
        label: Where the name stands.
        digits: Where its numbers' digits stand.
    """

    text: str
    label: Span
    digits: tuple[Span, ...]


def named_boxes(answer: bytes) -> Iterator[NamedBox]:
    """Find the regions, of either format, that are written as `render` writes them; in order.

    Args:
        answer: UTF-8, special tokens included; what is none is passed over.
    """
    for match in _NAMED_BOX.finditer(answer):
        label, box = ("label", "box") if match["label"] is not None else ("label_", "box_")
        start, end = match.span(box)
        digits = tuple((found.start(), found.end()) for found in _DIGITS.finditer(answer, start, end))
        yield NamedBox(match.group().decode(errors="replace"), match.span(label), digits)
