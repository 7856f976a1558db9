"""End an answer that goes in circles although nothing restricts it.

Takes the tokens of one answer as they are written; says when a region was said too often. A grammar has
a guard of its own, see `paddle_ground.infer.grammar`. Knows no tensor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from paddle_ground.answers import AnswerRegion, CoordMax, parse
from paddle_ground.infer.rows import Finished
from paddle_ground.infer.vocabulary import Vocabulary

MAX_REPEATS = 3
"""A region that is said once more than so many times ends the answer."""

LOOP_STOPPED = "loop_stopped"
"""The repair that a prediction names when its answer was ended."""

_CLOSING = (b">", b"}", b"]")  # what a region may end with in either answer format
_LONGEST = 4096  # bytes without a region, from which on only the last ones are kept: reading stays linear


class RepeatGuard:
    """Counts the regions of one answer; see `paddle_ground.infer.rows.Constraint`.

    Args:
        vocabulary: Of the model.
        max_repeats: How often one region may be said.
        coord_max: Largest coordinate, or x's and y's.
    """

    restricts = False

    def __init__(
        self, vocabulary: Vocabulary, max_repeats: int = MAX_REPEATS, coord_max: CoordMax = 1000
    ) -> None:
        self._vocabulary = vocabulary
        self._max_repeats = max_repeats
        self._coord_max = coord_max
        self._tail = b""  # what was written after the last region
        self._seen: dict[AnswerRegion, int] = {}
        self.stopped = False

    def allowed(self) -> NDArray[np.int64]:
        """Never asked: anything may follow."""
        raise NotImplementedError

    def take(self, token: int) -> None:
        """Follow a token that was written."""
        written = self._vocabulary.bytes_of(token)
        self._tail = (self._tail + written)[-_LONGEST:]
        if not any(closing in written for closing in _CLOSING):
            return
        # A token may hold the end of one region and what stands before the next: `},` and a line end.
        end = 1 + max(self._tail.rfind(closing) for closing in _CLOSING)
        whole, rest = self._tail[:end], self._tail[end:]
        # Inside braces a bracket ends the numbers only; the label is still to come.
        if b"{" in whole and b"}" not in whole:
            return
        regions = parse(whole.decode(errors="replace"), None, self._coord_max).regions
        self._tail = rest if regions else self._tail
        for region in regions:
            self._seen[region] = self._seen.get(region, 0) + 1
            self.stopped = self.stopped or self._seen[region] > self._max_repeats

    def finish(self, token_ids: list[int], logprobs: list[float], reason: str) -> Finished:
        """Leave the answer as it was written."""
        return Finished(tuple(token_ids), tuple(logprobs), reason)

    def settled(self, token_ids: list[int], logprobs: list[float]) -> Finished:
        """Give all of it."""
        return Finished(tuple(token_ids), tuple(logprobs), "")
