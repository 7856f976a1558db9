"""One sample as the checks see it, and what a check is.

Takes what `run` gathers, gives it a name. Knows no check.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from paddle_ground.answers import AnswerRegion
from paddle_ground.data.check.images import ImageFacts
from paddle_ground.data.check.problems import Problem
from paddle_ground.data.check.targets import Target
from paddle_ground.records import Sample


@dataclass(frozen=True, slots=True)
class SampleView:
    """A valid line.

    Attributes:
        path: The samples file.
        line: From 1 on.
        sample: The record.
        targets: Its assistant turns, read.
        images: What is known of each image file.
    """

    path: Path
    line: int
    sample: Sample
    targets: tuple[Target, ...]
    images: tuple[ImageFacts, ...]

    @property
    def regions(self) -> list[AnswerRegion]:
        """All regions of all answers."""
        return [region for target in self.targets for region in target.regions]

    @property
    def size_wh(self) -> tuple[int, int]:
        """Size of the first image; (0, 0) where there is none."""
        return self.images[0].size_wh if self.images else (0, 0)

    def problem(self, code: str, message: str) -> Problem:
        """Word a problem of this line."""
        return Problem(code, self.path, self.line, message)


class SampleCheck:
    """One theme: sees every valid sample once, in order, and then says what the whole file shows."""

    def look(self, view: SampleView) -> Iterable[Problem]:
        """Check one sample."""
        return ()

    def finish(self) -> Iterable[Problem]:
        """Check what was gathered."""
        return ()


def shown(text: str, limit: int = 60) -> str:
    """Quote a user's text for a message: one line, not too long."""
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")
