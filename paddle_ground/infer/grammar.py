"""Let a model write well-formed answers only: a state machine over the tokens of each answer format.

Takes a vocabulary, an answer format and, if wanted, the names that labels may be; gives for each answer a
constraint that tells which tokens may follow. Coordinates are whole numbers from 0 to the space's
maximum (of absolute pixels: to the image's width and height) with x1 < x2 and y1 < y2. What the format forces
(marks, brackets, keys) is one path of tokens, the very tokens that the tokenizer makes of a rendered answer
(tests compare), so that a tuned model stays on the ground that it knows. Knows no model: see
`paddle_ground.infer.rows` for who asks.

An answer is a script of slots, `label x1 y1 x2 y2` in box tokens and `x1 y1 x2 y2 label` in JSON, with fixed
tokens between them. After a region's last slot the model chooses between another region and the end.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from paddle_ground.answers import SCRIPT_LABEL as LABEL
from paddle_ground.answers import AnswerFormat, CoordMax, answer_script
from paddle_ground.errors import ModelError
from paddle_ground.infer.labels import FreeLabels, KnownLabels, Labels
from paddle_ground.infer.loops import MAX_REPEATS
from paddle_ground.infer.rows import Finished
from paddle_ground.infer.vocabulary import Vocabulary

Ints = NDArray[np.int64]

_LARGEST = 99_999  # where a coordinate space has no maximum of its own

_END = -1  # the slot after the last one


@dataclass(slots=True)
class _Node:
    """A place on a path of fixed tokens; `slot` is set where the path ends."""

    children: dict[int, _Node] = field(default_factory=dict)
    slot: int | None = None


class Grammar:
    """What answers may be, for one model and format.

    Args:
        vocabulary: Of the model.
        fmt: The answer format.
        end_token: The id that ends an answer.
        coord_max: Largest coordinate of answers that are begun without one of their own.
        labels: The names that labels may be; none leaves them free.

    Raises:
        ModelError: The tokenizer doesn't write digits one by one, as Qwen's do.
        ConfigError: A name is blank.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        fmt: AnswerFormat,
        end_token: int,
        coord_max: CoordMax = 1000,
        labels: Sequence[str] | None = None,
    ) -> None:
        script = answer_script(fmt)
        encode = vocabulary.encode
        digits = [encode(str(digit)) for digit in range(10)]
        if any(len(ids) != 1 for ids in digits):
            raise ModelError("the tokenizer does not write digits one by one; use `--free` with this model")
        self.slots = script.slots
        self.digits = {ids[0]: str(digit) for digit, ids in enumerate(digits)}
        self.coord_max = coord_max
        self.close = [*encode(script.close), end_token]
        self.start_node = _tree([(encode(script.first), 0), ([*encode(script.empty), end_token], _END)])
        self.after = [_tree([(encode(join), at + 1)]) for at, join in enumerate(script.joins)]
        self.after.append(_tree([(encode(script.more), 0), (self.close, _END)]))
        self.labels: Labels
        if labels is None:
            self.labels = FreeLabels(vocabulary)
        else:
            written = [json.dumps(n, ensure_ascii=False)[1:-1] for n in labels]
            self.labels = KnownLabels(written if fmt is AnswerFormat.JSON else labels, vocabulary)

    def start(self, max_repeats: int = MAX_REPEATS, coord_max: CoordMax | None = None) -> AnswerConstraint:
        """Begin an answer.

        Args:
            max_repeats: It ends when a region is said once more than so many times.
            coord_max: Largest coordinate in this answer, or x's and y's; none for the grammar's own.
        """
        return AnswerConstraint(self, max_repeats, self.coord_max if coord_max is None else coord_max)


class AnswerConstraint:
    """One answer on its way through a grammar; see `paddle_ground.infer.rows.Constraint`."""

    restricts = True

    def __init__(self, grammar: Grammar, max_repeats: int, coord_max: CoordMax) -> None:
        self._grammar = grammar
        most = coord_max if isinstance(coord_max, tuple) else (coord_max, coord_max)
        self._most = {axis: int(min(number, _LARGEST)) for axis, number in zip("xy", most, strict=True)}
        self._max_repeats = max_repeats
        self._node: _Node | None = grammar.start_node
        self._slot = 0
        self._written: list[int] = []  # tokens of the slot under way
        self._values: dict[str, tuple[int, ...] | int] = {}
        self._count = 0
        self._ends = [0]
        self._repeats: list[tuple[int, int]] = []
        self._seen: dict[tuple[object, ...], int] = {}
        self.stopped = False

    def allowed(self) -> Ints:
        """Give the ids that may follow; exactly one where the format forces it."""
        if self._node is not None:
            return np.fromiter(self._node.children, np.int64)
        going_on, may_end = self._follow()
        if not may_end:
            return going_on
        return np.concatenate([going_on, np.fromiter(self._next.children, np.int64)])

    def take(self, token: int) -> None:
        """Follow a token that was written; one of `allowed()`."""
        if self._node is None:
            if token not in self._next.children:
                self._written.append(token)
                self._count += 1
                return
            self._node = self._next
            self._end_slot()
        self._count += 1
        self._node = self._node.children[token]
        if self._node.slot is not None:
            self._slot, self._written, self._node = self._node.slot, [], None

    def finish(self, token_ids: list[int], logprobs: list[float], reason: str) -> Finished:
        """Close an answer that did not end by itself after its last whole region, and drop repetitions.

        Without a whole region nothing is closed: "nothing there" is not what the model said.
        """
        pairs = list(zip(token_ids, logprobs, strict=True))
        if reason != "stop" and len(self._ends) > 1:
            pairs = pairs[: self._ends[-1]] + [(token, 0.0) for token in self._grammar.close]
        return self._without_repeats(pairs, reason)

    def settled(self, token_ids: list[int], logprobs: list[float]) -> Finished:
        """Give the whole regions, each once: what comes after the last one may still be taken back."""
        end = self._ends[-1]
        return self._without_repeats(list(zip(token_ids[:end], logprobs[:end], strict=True)), "")

    def _without_repeats(self, pairs: list[tuple[int, float]], reason: str) -> Finished:
        for start, end in reversed(self._repeats):
            del pairs[start:end]
        return Finished(tuple(token for token, _ in pairs), tuple(logprob for _, logprob in pairs), reason)

    @property
    def _next(self) -> _Node:
        """The fixed tokens after the slot under way."""
        return self._grammar.after[self._slot]

    def _follow(self) -> tuple[Ints, bool]:
        name = self._grammar.slots[self._slot]
        if name == LABEL:
            return self._grammar.labels.follow(self._written)
        low = {"x2": "x1", "y2": "y1"}.get(name)
        least = 0 if low is None else int(self._values[low]) + 1  # type: ignore[arg-type]
        most = self._most[name[0]] - (1 if low is None else 0)
        text = "".join(self._grammar.digits[token] for token in self._written)
        digits, may_end = number_follow(text, least, most)
        return np.array(
            [t for t, digit in self._grammar.digits.items() if digit in digits], np.int64
        ), may_end

    def _end_slot(self) -> None:
        name = self._grammar.slots[self._slot]
        if name == LABEL:
            self._values[name] = tuple(self._written)
        else:
            self._values[name] = int("".join(self._grammar.digits[token] for token in self._written))
        if self._slot == len(self._grammar.slots) - 1:
            self._end_region()

    def _end_region(self) -> None:
        region = tuple(self._values[name] for name in sorted(self._grammar.slots))
        times = self._seen[region] = self._seen.get(region, 0) + 1
        if times > 1:
            self._repeats.append((self._ends[-1], self._count))
        self._ends.append(self._count)
        self.stopped = times > self._max_repeats


@functools.lru_cache(maxsize=65536)
def number_follow(text: str, least: int, most: int) -> tuple[str, bool]:
    """Give the digits that may follow the beginning of a number, and whether it may end here.

    Args:
        text: The digits so far.
        least: Smallest value allowed.
        most: Largest value allowed, at least `least`.
    """
    if not text:
        return "".join(d for d in "0123456789" if _reachable(d, least, most)), False
    if text == "0":
        return "", True
    more = "".join(d for d in "0123456789" if _reachable(text + d, least, most))
    return more, least <= int(text) <= most


def _reachable(text: str, least: int, most: int) -> bool:
    """Whether a number within the limits begins with these digits."""
    low = high = int(text)
    while low <= most:
        if high >= least:
            return True
        if low == 0:
            return False
        low, high = low * 10, high * 10 + 9
    return False


def _tree(paths: Sequence[tuple[Sequence[int], int]]) -> _Node:
    root = _Node()
    for tokens, slot in paths:
        node = root
        for token in tokens:
            node = node.children.setdefault(token, _Node())
        node.slot = slot
    return root
