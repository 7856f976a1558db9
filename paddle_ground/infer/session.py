"""Answers that come and go while others are under way, for who can't wait for a batch to fill.

Takes rows (`Engine.row`), of any settings side by side; brings all running ones a few tokens further at each
call, and reads new prompts in groups of like length. Knows no client and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from paddle_ground.infer.generation import Generation
from paddle_ground.infer.rows import Row

if TYPE_CHECKING:
    from paddle_ground.infer.engine import Engine

_GROUP_TOKENS = 4096
"""Prompts are read together up to so many tokens, padding included: running answers wait meanwhile."""

_LITTLE = 64
"""Padding that costs nearly nothing, in tokens a prompt."""


class Session:
    """Rows under way with an engine.

    Args:
        engine: Whose rows they are.
    """

    def __init__(self, engine: Engine) -> None:
        self._generation = Generation(engine.loaded)

    @property
    def running(self) -> Sequence[Row]:
        """The rows that have been read and have not ended."""
        return self._generation.running

    def admit(self, rows: Sequence[Row]) -> None:
        """Read the prompts of new rows together; where that fails, running rows are none the worse."""
        from paddle_ground.backend.contiguous import inference_kernels

        with inference_kernels():
            self._generation.admit(rows)

    def advance(self) -> None:
        """Bring every running row further: by one choice, and what follows it by force."""
        from paddle_ground.backend.contiguous import inference_kernels

        with inference_kernels():
            self._generation.advance()

    def drop(self, rows: Sequence[Row]) -> None:
        """Let rows go before they end."""
        from paddle_ground.backend.contiguous import inference_kernels

        with inference_kernels():
            self._generation.drop(rows)


def reading_groups(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Part rows into groups whose prompts are read together, so that none is padded to many times its length.

    Args:
        rows: In the order of their coming, which groups keep as far as lengths allow.

    Yields:
        Groups of at least one row, the shortest prompts first.
    """
    group: list[Row] = []
    for row in sorted(rows, key=_length):
        longest = _length(row)
        is_alike = not group or longest <= max(_length(group[0]) + _LITTLE, _length(group[0]) * 5 // 4)
        if group and (not is_alike or longest * (len(group) + 1) > _GROUP_TOKENS):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _length(row: Row) -> int:
    return len(row.prompt.token_ids)
