"""Which checks there are: one line a theme.

Takes options and what stands beside the samples, gives the checks in the order in which they look.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paddle_ground.answers import answer_format
from paddle_ground.data.check.answering import AnswerCheck
from paddle_ground.data.check.beside import Beside, TruthCheck
from paddle_ground.data.check.geometry import GeometryCheck
from paddle_ground.data.check.labels import LabelCheck
from paddle_ground.data.check.lengths import LengthCheck
from paddle_ground.data.check.numbers import Tally
from paddle_ground.data.check.options import CheckOptions
from paddle_ground.data.check.space import space_of
from paddle_ground.data.check.turns import RepeatCheck, TurnCheck
from paddle_ground.data.check.view import SampleCheck
from paddle_ground.errors import AnswerError


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of one file; some also keep numbers that a report shows."""

    tally: Tally
    labels: LabelCheck
    lengths: LengthCheck | None
    others: tuple[SampleCheck, ...]

    @property
    def all(self) -> tuple[SampleCheck, ...]:
        """Every one."""
        lengths = () if self.lengths is None else (self.lengths,)
        return (*self.others, self.labels, *lengths, self.tally)


def make_checks(path: Path, options: CheckOptions, beside: Beside) -> Checks:
    """Make all checks for a file.

    Raises:
        ModelError: The model's folder can't be used.
    """
    meta = beside.meta
    space = space_of(meta)
    try:
        fmt = answer_format(meta.answer_format) if meta else None
    except AnswerError:
        fmt = None
    return Checks(
        tally=Tally(space),
        labels=LabelCheck(meta.class_names if meta else ()),
        lengths=LengthCheck(options.model_dir, options) if options.model_dir else None,
        others=(
            TurnCheck(),
            RepeatCheck(),
            AnswerCheck(fmt, meta.prompt if meta else "", options.max_boxes),
            GeometryCheck(path, space, beside.truths),
            TruthCheck(beside.truths, meta.counts.get("unscored", 0) if meta else 0),
        ),
    )
