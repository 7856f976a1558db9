"""One answer in the making: the tokens so far, what comes next, and when it ends.

Takes a prompt, the ids that end an answer and, if there is one, a grammar's constraint; is fed logits
and says which tokens the model must read next. Knows no tensor and no batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from paddle_ground.infer.preprocess import Prompt
from paddle_ground.infer.sampling import Sampling, choose

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Finished:
    """An answer that is done: its tokens, the logarithm of each one's probability, and why it ended."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    reason: str


class Constraint(Protocol):
    """What may be written next, and when to end; one an answer: see `grammar` and `loops` beside this.

    Attributes:
        restricts: Whether it says what may follow; if not, `allowed` is never asked.
    """

    restricts: bool

    def allowed(self) -> Ints:
        """Give the ids that may follow; at least one."""

    def take(self, token: int) -> None:
        """Follow a token that was written."""

    @property
    def stopped(self) -> bool:
        """Whether the answer shall end here although the model did not end it."""

    def finish(self, token_ids: list[int], logprobs: list[float], reason: str) -> Finished:
        """Put an answer that ended in order."""

    def settled(self, token_ids: list[int], logprobs: list[float]) -> Finished:
        """Give the beginning of an answer under way that `finish` will leave as it is; its reason is ""."""


@dataclass(slots=True)
class Row:
    """One answer in the making.

    Attributes:
        prompt: What is asked.
        ends: Ids that end an answer.
        limit: Tokens at which it is cut off.
        sampling: How tokens are chosen.
        constraint: What may be written; none for anything.
        jump: Whether tokens that the constraint forces are written at once, without the model's choice.
        next_position: Of the first token that the model has not read; set by the prefill.
        pending: Tokens that the model has not read yet.
        seconds: This answer's share of the time so far.
    """

    prompt: Prompt
    ends: frozenset[int]
    limit: int
    sampling: Sampling
    constraint: Constraint | None = None
    jump: bool = True
    next_position: int = 0
    pending: list[int] = field(default_factory=list)
    seconds: float = 0.0
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    reason: str = ""
    generator: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        """Start this row's own generator."""
        self.generator = self.sampling.generator()

    @property
    def takes_likeliest(self) -> bool:
        """Whether the next token is simply the likeliest one."""
        return not self._is_restricted and self.sampling.temperature == 0

    @property
    def _is_restricted(self) -> bool:
        return self.constraint is not None and self.constraint.restricts

    def feed(self, logits: NDArray[np.float32]) -> None:
        """Choose the next token from logits over the vocabulary, and write what follows by force."""
        allowed = self.constraint.allowed() if self.constraint and self._is_restricted else None
        self.write(*choose(logits, allowed, self.sampling, self.generator))

    def write(self, token: int, logprob: float) -> None:
        """Write a token, and those that can only follow it."""
        self.pending = []
        self._append(token, logprob)
        while self.jump and self.constraint and self._is_restricted and not self.reason:
            allowed = self.constraint.allowed()
            if len(allowed) > 1:
                return
            self._append(int(allowed[0]), 0.0)

    def finished(self) -> Finished:
        """Give the answer; only where `reason` says that it ended."""
        if self.constraint:
            return self.constraint.finish(self.token_ids, self.logprobs, self.reason)
        return Finished(tuple(self.token_ids), tuple(self.logprobs), self.reason)

    def settled(self) -> Finished:
        """Give what is certain to stand at the beginning of the answer, whatever comes."""
        if self.constraint:
            return self.constraint.settled(self.token_ids, self.logprobs)
        return Finished(tuple(self.token_ids), tuple(self.logprobs), "")

    def _append(self, token: int, logprob: float) -> None:
        self.token_ids.append(token)
        self.logprobs.append(logprob)
        self.pending.append(token)
        if self.constraint:
            self.constraint.take(token)
        if token in self.ends:
            self.reason = "stop"
        elif self.constraint and self.constraint.stopped:
            self.reason = "loop"
        elif len(self.token_ids) >= self.limit:
            self.reason = "length"
