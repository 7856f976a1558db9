"""What the two answer scanners hand to `answers.py`: raw findings and the names of repairs.

Takes and gives plain values. Knows nothing of either format, of coordinate spaces or of images.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

MAX_NUMBER_CHARS = 24
"""A longer number is a model that got stuck on one digit; it is read as "not a number"."""

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d{1,3})?")


class AnswerFormat(str, Enum):
    """How a model writes boxes."""

    TOKENS = "tokens"
    JSON = "json"


class Repair(str, Enum):
    """What had to be mended or left out to read an answer; the values are stable and go into files.

    Members are listed in the order in which `ParsedAnswer.repairs` names them.
    """

    EMPTY_ANSWER = "empty_answer"
    """The model said nothing at all; read as "no objects"."""
    OTHER_FORMAT = "other_format"
    """Box tokens where JSON was asked for, or the other way round."""
    THINKING_DROPPED = "thinking_dropped"
    """A non-empty <think> block stood before the answer."""
    PROSE_IGNORED = "prose_ignored"
    """Words stood around or between the boxes."""
    TEXT_AFTER_END_DROPPED = "text_after_end_dropped"
    """The model went on after its end token."""
    PLACEHOLDER_UNEXPANDED = "placeholder_unexpanded"
    """A literal <ref-object> or <bbox>: the training data's placeholders were never filled in."""
    FENCE_UNCLOSED = "fence_unclosed"
    """A ```json fence was opened and not closed."""
    JSON_MENDED = "json_mended"
    """Not strict JSON: single quotes, stray or missing commas, brackets or quotes."""
    NOT_A_LIST = "not_a_list"
    """Objects without the list around them, or wrapped in another object."""
    KEY_RENAMED = "key_renamed"
    """A key other than bbox_2d or label held the box or the name, or no key did."""
    MARKER_MISSING = "marker_missing"
    """A box or name token is missing although others are there."""
    TRUNCATED_TAIL_CLOSED = "truncated_tail_closed"
    """The answer stops early, yet its last object is complete and was kept."""
    TRUNCATED_TAIL_DROPPED = "truncated_tail_dropped"
    """The answer stops inside its last object, which was left out."""
    MALFORMED_DROPPED = "malformed_dropped"
    """An object without four finite numbers was left out."""
    POINT_NOT_BOX = "point_not_box"
    """Points stood where boxes belong; they are in `ParsedAnswer.points`."""
    LABEL_MISSING = "label_missing"
    """A box without a name; its label is the empty string."""
    FRACTIONS_SCALED = "fractions_scaled"
    """All coordinates were fractions 0..1; they were multiplied by the coordinate maximum."""
    NON_INTEGER = "non_integer"
    """A coordinate had decimals; kept as it was."""
    SWAPPED_CORNERS = "swapped_corners"
    """The second corner stood left of or above the first; the corners were sorted."""
    CLIPPED = "clipped"
    """A coordinate lay outside 0..maximum and was moved to the edge."""
    DEGENERATE_DROPPED = "degenerate_dropped"
    """A box without area (perhaps after clipping) was left out."""
    DUPLICATE_DROPPED = "duplicate_dropped"
    """The same name and box came again, as in a loop; the first was kept."""


@dataclass(frozen=True)
class Candidate:
    """One box (4 numbers) or point (2 numbers) as read, before any check; any finite or infinite floats."""

    label: str
    numbers: tuple[float, ...]


@dataclass
class Findings:
    """What a scanner gathers while it walks over an answer.

    Attributes:
        candidates: In the order of the text.
        repairs: What the scanner itself had to mend.
        says_none: The text states, in this format, that there are no objects.
    """

    candidates: list[Candidate] = field(default_factory=list)
    repairs: set[Repair] = field(default_factory=set)
    says_none: bool = False


def to_number(token: str) -> float:
    """Read one number; an absurdly long one is infinite (and so refused later), at constant cost."""
    return float(token) if len(token) <= MAX_NUMBER_CHARS else float("inf")


def numbers_in(text: str, *, may_be_cut: bool = False) -> list[float]:
    """Read every number in a piece of text, in order.

    Args:
        text: Any text; brackets, commas and blanks between the numbers are skipped.
        may_be_cut: The text may stop inside a number: one that touches the end is then left out.

    Returns:
        The numbers; runaway digit strings come back as infinity.
    """
    return [
        to_number(match.group())
        for match in _NUMBER.finditer(text)
        if not (may_be_cut and match.end() == len(text))
    ]
