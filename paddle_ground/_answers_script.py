"""The fixed text of each answer format, for those who build an answer token by token.

Gives what `answers.render` writes around labels and coordinates (a test holds the two together). Private:
import it from `paddle_ground.answers`.
"""

from __future__ import annotations

from dataclasses import dataclass

from paddle_ground._answers_found import AnswerFormat

SCRIPT_LABEL = "label"


@dataclass(frozen=True, slots=True)
class AnswerScript:
    """A format as text: what stands before, between and after the slots.

    Attributes:
        slots: What is filled in, in order: the label and x1, y1, x2, y2.
        first: What stands before the first region's first slot.
        joins: What stands between two slots of one region.
        more: What stands between two regions.
        close: What stands behind the last region.
        empty: The answer without regions.
    """

    slots: tuple[str, ...]
    first: str
    joins: tuple[str, ...]
    more: str
    close: str
    empty: str


_SCRIPTS = {
    AnswerFormat.TOKENS: AnswerScript(
        slots=(SCRIPT_LABEL, "x1", "y1", "x2", "y2"),
        first="<|object_ref_start|>",
        joins=("<|object_ref_end|><|box_start|>(", ",", "),(", ","),
        more=")<|box_end|>, <|object_ref_start|>",
        close=")<|box_end|>",
        empty="none",
    ),
    AnswerFormat.JSON: AnswerScript(
        slots=("x1", "y1", "x2", "y2", SCRIPT_LABEL),
        first='```json\n[\n\t{"bbox_2d": [',
        joins=(", ", ", ", ", ", '], "label": "'),
        more='"},\n\t{"bbox_2d": [',
        close='"}\n]\n```',
        empty="```json\n[]\n```",
    ),
}


def answer_script(fmt: AnswerFormat) -> AnswerScript:
    """Give the fixed text of a format."""
    return _SCRIPTS[fmt]
