"""What a check found, as a record, as JSON and as a few lines for a terminal.

Takes problems and numbers, gives text. Knows no check.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paddle_ground.data.check.numbers import Ints, Numbers
from paddle_ground.data.check.problems import KINDS, Problem, Severity
from paddle_ground.spaces import RELATIVE_1000, CoordinateSpace

_FIRST = 3
_WIDTH = 160


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All that was found.

    Attributes:
        path: The samples file.
        numbers: What it holds.
        problems: All of them, errors first, then by kind and line.
        offsets: Where each line begins in the file, by line number; for reading some again.
        images_looked_at: Image files that were read, those of other splits included.
        seconds: What it took.
        compared_with: Other samples files that share no image with this one, or should not.
        space: In which the boxes should be; None where nobody knows it.
    """

    path: Path
    numbers: Numbers
    problems: tuple[Problem, ...]
    offsets: Ints
    images_looked_at: int
    seconds: float
    compared_with: tuple[Path, ...] = ()
    space: CoordinateSpace | None = RELATIVE_1000

    def count(self, severity: Severity) -> int:
        """Count the problems of a severity."""
        return sum(problem.kind.severity is severity for problem in self.problems)

    def is_clean(self, strict: bool = False) -> bool:
        """Tell whether there is no error, nor a warning where `strict`."""
        return not (self.count(Severity.ERROR) or (strict and self.count(Severity.WARNING)))

    def by_kind(self) -> dict[str, list[Problem]]:
        """Give the problems by code, in the order of the report."""
        groups: dict[str, list[Problem]] = {}
        for problem in self.problems:
            groups.setdefault(problem.code, []).append(problem)
        return groups

    def verdict(self) -> str:
        """Say it in one line."""
        numbers = self.numbers
        found = [_plural(count, severity.value) for severity in Severity if (count := self.count(severity))]
        held = f"{_plural(numbers.samples, 'sample')}, {_plural(numbers.images, 'image')}, " + _plural(
            numbers.boxes, "box", "boxes"
        )
        return f"{self.path}: {', '.join(found) or 'no problems'} in {held}"

    def to_json(self) -> dict[str, Any]:
        """Give everything as plain values."""
        return {
            "path": str(self.path),
            "compared_with": [str(path) for path in self.compared_with],
            "counts": {severity.value: self.count(severity) for severity in Severity},
            "kinds": {
                code: {
                    "severity": KINDS[code].severity.value,
                    "title": KINDS[code].title,
                    "remedy": KINDS[code].remedy,
                    "count": len(group),
                }
                for code, group in self.by_kind().items()
            },
            "numbers": _numbers_to_json(self.numbers),
            "images_looked_at": self.images_looked_at,
            "seconds": round(self.seconds, 3),
            "problems": [
                {
                    "code": problem.code,
                    "severity": problem.kind.severity.value,
                    "path": str(problem.path),
                    "line": problem.line or None,
                    "message": problem.message,
                }
                for problem in self.problems
            ],
        }


def sorted_problems(problems: list[Problem]) -> tuple[Problem, ...]:
    """Order problems: errors first, then as the table of kinds, then by file and line."""
    severities = {severity: place for place, severity in enumerate(Severity)}
    places = {code: (severities[kind.severity], place) for place, (code, kind) in enumerate(KINDS.items())}
    return tuple(sorted(problems, key=lambda one: (places[one.code], str(one.path), one.line, one.message)))


def terminal_lines(report: CheckReport) -> Iterator[str]:
    """Word a report for a terminal: the verdict, a line a kind with the first places, a few numbers."""
    yield report.verdict()
    for code, group in report.by_kind().items():
        kind = KINDS[code]
        count = f" ({len(group)})" if len(group) > 1 else ""
        yield f"{kind.severity.value}: {kind.title}{count} [{code}]: {kind.remedy}"
        for problem in group[:_FIRST]:
            yield _shortened(f"  {problem.where}: {' '.join(problem.message.split())}")
        if len(group) > _FIRST:
            yield f"  and {len(group) - _FIRST} more"
    yield from _number_lines(report)


def _number_lines(report: CheckReport) -> Iterator[str]:
    numbers = report.numbers
    if not numbers.samples:
        return
    top = Counter(dict(numbers.labels)).most_common(3)
    labels = ", ".join(f"{label} {count}" for label, count in top)
    yield _shortened(
        f"labels: {len(numbers.labels)}{f' ({labels}, ...)' if top else ''}; "
        f"boxes a sample: {_spread(numbers.boxes_a_sample)}; samples without: {numbers.without_boxes}"
    )
    if len(numbers.lengths):
        text = f"tokens a sample: {_spread(numbers.lengths)} of {numbers.max_seq_len}"
        if numbers.padding:
            padding = numbers.padding
            text += (
                f"; padding {padding.unpacked:.0%}, packed {padding.packed:.0%} "
                f"({padding.samples_a_pack:.1f} samples a sequence)"
            )
        yield text
    rate = report.images_looked_at / max(report.seconds, 1e-9)
    other = "".join(f", compared with {path.name}" for path in report.compared_with)
    yield f"{report.images_looked_at} image files in {report.seconds:.1f} s ({rate:.0f}/s){other}"


def _spread(values: Ints) -> str:
    return f"{int(np.median(values))} usual, {int(values.max())} at most" if len(values) else "none"


def _shortened(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _plural(count: int, word: str, words: str = "") -> str:
    return f"{count} {word}" if count == 1 else f"{count} {words or word + 's'}"


def _numbers_to_json(numbers: Numbers) -> dict[str, Any]:
    padding = numbers.padding
    return {
        "lines": numbers.lines,
        "samples": numbers.samples,
        "images": numbers.images,
        "boxes": numbers.boxes,
        "without_boxes": numbers.without_boxes,
        "labels": dict(numbers.labels),
        "boxes_a_sample": _summary(numbers.boxes_a_sample),
        "tokens_a_sample": _summary(numbers.lengths),
        "max_seq_len": numbers.max_seq_len or None,
        "padding": padding
        and {
            "unpacked": round(padding.unpacked, 4),
            "packed": round(padding.packed, 4),
            "samples_a_pack": round(padding.samples_a_pack, 2),
        },
    }


def _summary(values: Ints) -> dict[str, float] | None:
    if not len(values):
        return None
    middle, high = np.percentile(values, [50, 95])
    return {"median": float(middle), "p95": float(high), "max": int(values.max()), "sum": int(values.sum())}
