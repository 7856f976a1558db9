"""Boxes <-> model text: renders what a model should say, and reads what one did say.

Takes `AnswerRegion`s (a name and four numbers in the model's own coordinate space) and gives text;
takes text and gives `AnswerRegion`s, tolerantly, saying what it had to mend. Two formats:

* tokens: ``<|object_ref_start|>cat<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>, ...``, as
  PaddleFormers' grounding plugin expands ``<ref-object><bbox>`` and Qwen2-VL was trained;
* json: a fenced list of ``{"bbox_2d": [1, 2, 3, 4], "label": "cat"}``, as Qwen3-VL answers by itself.

Knows nothing of pixels or images (`spaces.CoordinateSpace` turns these numbers into pixels), nor of files.
What scans the text is in the private modules `_answers_*`; nothing else should import them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from paddle_ground._answers_found import AnswerFormat, Candidate, Repair
from paddle_ground._answers_json import BOX_KEY, LABEL_KEY
from paddle_ground._answers_marks import MarkedText, fill_marks, label_fault, reserved_mark, take_marks
from paddle_ground._answers_named import NamedBox, named_boxes
from paddle_ground._answers_scan import answer_body, says_box_tokens, says_plain_box, scan
from paddle_ground._answers_script import SCRIPT_LABEL, AnswerScript, answer_script
from paddle_ground.errors import AnswerError

__all__ = [
    "SCRIPT_LABEL",
    "AnswerFormat",
    "AnswerPoint",
    "AnswerRegion",
    "AnswerScript",
    "MarkedText",
    "NamedBox",
    "ParsedAnswer",
    "Repair",
    "Status",
    "Target",
    "answer_format",
    "answer_script",
    "fill_marks",
    "named_boxes",
    "parse",
    "render",
    "render_target",
    "reserved_mark",
    "says_box_tokens",
    "says_plain_box",
    "take_marks",
]

Status = Literal["ok", "repaired", "failed"]
"""ok: read as it stood. repaired: read after mending. failed: neither a box nor "none" was found."""

CoordMax: TypeAlias = float | tuple[float, float]
"""A largest coordinate: of both, or of x and of y."""

_UNSCALED = (1.0, 1.0)

NO_OBJECTS = "none"
"""What a box-token answer says when nothing is there; JSON says ``[]``."""


@dataclass(frozen=True, slots=True)
class AnswerRegion:
    """One named box as the model says it.

    Attributes:
        label: The name; "" where the model gave none.
        box: x1, y1, x2, y2 in the model's coordinate space (0..1000 for Qwen3-VL), x1 < x2 and y1 < y2.
    """

    label: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class AnswerPoint:
    """One named point as the model says it: x, y in the model's coordinate space."""

    label: str
    point: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """What could be read from an answer.

    Attributes:
        regions: The usable boxes, in the order of the text.
        status: See `Status`.
        repairs: Values of `Repair`, in that enum's order, each once; () when ok. On "failed" they tell why.
        points: Points that stood where boxes were asked for.
    """

    regions: tuple[AnswerRegion, ...]
    status: Status
    repairs: tuple[str, ...] = ()
    points: tuple[AnswerPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """An answer as it goes into a PaddleFormers record.

    Attributes:
        content: The assistant's turn. For tokens, ``<ref-object><bbox>`` a box, which PaddleFormers fills in.
        refs: `objects.ref`: names, in the order of the ``<ref-object>``s. Empty for JSON.
        boxes: `objects.bbox`: x1, y1, x2, y2 in the model's space, in the order of the ``<bbox>``es.
    """

    content: str
    refs: tuple[str, ...] = ()
    boxes: tuple[tuple[int, int, int, int], ...] = ()


def answer_format(name: str) -> AnswerFormat:
    """Look an answer format up by its name.

    Raises:
        AnswerError: The name is neither "tokens" nor "json".
    """
    try:
        return AnswerFormat(name)
    except ValueError:
        known = ", ".join(member.value for member in AnswerFormat)
        raise AnswerError(f"unknown answer format {name!r}; known: {known}") from None


def render(regions: Sequence[AnswerRegion], fmt: AnswerFormat) -> str:
    """Write the text that a perfect model would emit, special tokens included, end token not.

    `parse` gives the same regions back, as long as no region stands there twice.

    Args:
        regions: In the order in which the model shall name them; whole numbers, from 0 on.
        fmt: The answer format.

    Raises:
        AnswerError: A label is blank, padded with blanks, or would be taken for a special token or a
            placeholder; a box is not whole numbers or has no area. The message names the region.
    """
    boxes = _checked_boxes(regions)
    if fmt is AnswerFormat.JSON:
        return _render_json(regions, boxes)
    if not regions:
        return NO_OBJECTS
    return ", ".join(
        f"<|object_ref_start|>{region.label}<|object_ref_end|><|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
        for region, (x1, y1, x2, y2) in zip(regions, boxes, strict=True)
    )


def render_target(regions: Sequence[AnswerRegion], fmt: AnswerFormat) -> Target:
    """Write the same answer for a PaddleFormers record, where placeholders stand for tokens and boxes.

    Args:
        regions: As for `render`.
        fmt: The answer format.

    Raises:
        AnswerError: As for `render`.
    """
    if fmt is AnswerFormat.JSON or not regions:
        return Target(render(regions, fmt))
    boxes = _checked_boxes(regions)
    content = ", ".join(["<ref-object><bbox>"] * len(regions))
    return Target(content, tuple(region.label for region in regions), tuple(boxes))


def parse(text: str, fmt: AnswerFormat | None = None, coord_max: CoordMax = 1000.0) -> ParsedAnswer:
    """Read a model's answer, whatever state it is in. Never raises on any text; linear in its length.

    Args:
        text: With or without special tokens and end tokens.
        fmt: The expected format; the other one is read too, and reported. None: take what is there.
        coord_max: Largest number of the model's coordinate space; x's and y's where they differ (absolute
            pixels). `math.inf` where it is not known: only negative numbers are then clipped.

    Returns:
        The regions, a status and the repairs.
    """
    wide, high = coord_max if isinstance(coord_max, tuple) else (coord_max, coord_max)
    limits = (float(wide), float(high))  # A clipped number takes the limit's type.
    body, repairs = answer_body(text)
    if not body:
        return ParsedAnswer((), "repaired", _sorted_values({*repairs, Repair.EMPTY_ANSWER}))
    found = scan(body, fmt)
    repairs |= found.repairs
    regions, points = _checked_candidates(found.candidates, limits, repairs)
    usable = bool(regions or points) or found.says_none
    status: Status = "failed" if not usable else "repaired" if repairs else "ok"
    return ParsedAnswer(tuple(regions), status, _sorted_values(repairs), tuple(points))


# --- rendering ---------------------------------------------------------------------------------------


def _checked_boxes(regions: Sequence[AnswerRegion]) -> list[tuple[int, int, int, int]]:
    return [_checked_box(index, region) for index, region in enumerate(regions)]


def _checked_box(index: int, region: AnswerRegion) -> tuple[int, int, int, int]:
    label, (x1, y1, x2, y2) = region.label, region.box
    if fault := label_fault(label):
        raise AnswerError(f"region {index}: {fault}")
    # Plain numbers, as nearly always; asking each in turn takes ten times as long.
    if not (type(x1) is type(y1) is type(x2) is type(y2) is int and x1 >= 0 and y1 >= 0):
        if not all(math.isfinite(number) and number == int(number) and number >= 0 for number in region.box):
            raise AnswerError(
                f"region {index} ({label!r}): the box {region.box} is not whole numbers from 0 on; "
                "encode it with a CoordinateSpace first"
            )
        x1, y1, x2, y2 = (int(number) for number in region.box)
    if x1 >= x2 or y1 >= y2:
        raise AnswerError(f"region {index} ({label!r}): the box {(x1, y1, x2, y2)} has no area; leave it out")
    return x1, y1, x2, y2


def _render_json(regions: Sequence[AnswerRegion], boxes: Sequence[tuple[int, int, int, int]]) -> str:
    # Qwen3-VL's own layout, seen in its published answers: a tab, one object a line, a blank after colons.
    rows = [
        json.dumps({BOX_KEY: list(box), LABEL_KEY: region.label}, ensure_ascii=False)
        for region, box in zip(regions, boxes, strict=True)
    ]
    listing = "[\n\t" + ",\n\t".join(rows) + "\n]" if rows else "[]"
    return f"```json\n{listing}\n```"


# --- parsing -----------------------------------------------------------------------------------------


def _checked_candidates(
    candidates: Sequence[Candidate], limits: tuple[float, float], repairs: set[Repair]
) -> tuple[list[AnswerRegion], list[AnswerPoint]]:
    scales = _fraction_scales(candidates, limits)
    if scales != _UNSCALED:
        repairs.add(Repair.FRACTIONS_SCALED)
    regions: dict[AnswerRegion, None] = {}  # a set that keeps the order
    points: dict[AnswerPoint, None] = {}
    for candidate in candidates:
        if not all(math.isfinite(number) for number in candidate.numbers):
            repairs.add(Repair.MALFORMED_DROPPED)
            continue
        # x and y in turns, of a box as of a point.
        numbers = [
            _clipped(number * scales[place % 2], limits[place % 2], repairs)
            for place, number in enumerate(candidate.numbers)
        ]
        if len(numbers) == 2:
            repairs.add(Repair.POINT_NOT_BOX)
            points[AnswerPoint(candidate.label, (numbers[0], numbers[1]))] = None
            continue
        region = _region(candidate.label, numbers, repairs)
        if region is None:
            repairs.add(Repair.DEGENERATE_DROPPED)
        elif region in regions:
            repairs.add(Repair.DUPLICATE_DROPPED)
        else:
            regions[region] = None
            if not region.label:
                repairs.add(Repair.LABEL_MISSING)
            if scales == _UNSCALED and not all(number.is_integer() for number in numbers):
                repairs.add(Repair.NON_INTEGER)
    return list(regions), list(points)


def _fraction_scales(candidates: Sequence[Candidate], limits: tuple[float, float]) -> tuple[float, float]:
    """0..1 with decimals throughout can't be meant as thousandths: such boxes would be a dot."""
    numbers = [number for candidate in candidates for number in candidate.numbers]
    are_fractions = all(0 <= number <= 1.01 for number in numbers)
    has_decimals = any(not number.is_integer() for number in numbers if math.isfinite(number))
    return limits if are_fractions and has_decimals and all(map(math.isfinite, limits)) else _UNSCALED


def _clipped(number: float, coord_max: float, repairs: set[Repair]) -> float:
    inside = min(max(number, 0.0), coord_max)
    if inside != number:
        repairs.add(Repair.CLIPPED)
    return inside


def _region(label: str, numbers: Sequence[float], repairs: set[Repair]) -> AnswerRegion | None:
    x1, y1, x2, y2 = numbers
    if x1 > x2 or y1 > y2:
        repairs.add(Repair.SWAPPED_CORNERS)
        x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    if x1 == x2 or y1 == y2:
        return None
    return AnswerRegion(label, (x1, y1, x2, y2))


def _sorted_values(repairs: set[Repair]) -> tuple[str, ...]:
    return tuple(member.value for member in Repair if member in repairs)
