"""Choose the next token from a model's logits: the likeliest, or one drawn with temperature and top-p.

Takes logits as numbers; gives a token and its log-probability. Knows no model and no text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paddle_ground.errors import ConfigError

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn.

    Attributes:
        temperature: What logits are divided by; 0 takes the likeliest token, whatever the rest says.
        top_p: Only the likeliest tokens that together hold this share are drawn from (nucleus
            sampling, arXiv 1904.09751); 1 for all.
        seed: Each row draws from a generator of its own that starts here, so that its answer does not
            depend on who else is in the batch. None: another answer every time.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.temperature < float("inf"):
            raise ConfigError(f"temperature is {self.temperature}; it must be 0 or above")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; it must be above 0 and at most 1")

    def generator(self) -> np.random.Generator:
        """Give the generator of one row."""
        return np.random.default_rng(self.seed)


GREEDY = Sampling()


def choose(
    logits: Floats, allowed: NDArray[np.int64] | None, sampling: Sampling, generator: np.random.Generator
) -> tuple[int, float]:
    """Choose one token.

    Args:
        logits: (vocabulary,).
        allowed: Ids that may follow; None for all. At least one.
        sampling: How.
        generator: Of this row; not used where the likeliest is taken.

    Returns:
        The token, and the logarithm of its probability among the allowed ones at temperature 1.
    """
    scores = (logits if allowed is None else logits[allowed]).astype(np.float64)
    scores = scores - scores.max()
    log_total = float(np.log(np.exp(scores).sum()))
    if sampling.temperature == 0:
        at = int(scores.argmax())
    else:
        at = _draw(scores / sampling.temperature, sampling.top_p, generator)
    token = at if allowed is None else int(allowed[at])
    return token, float(scores[at]) - log_total


def _draw(scores: NDArray[np.float64], top_p: float, generator: np.random.Generator) -> int:
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    before = np.cumsum(shares[order]) - shares[order]
    nucleus = order[before < top_p]
    held = shares[nucleus]
    return int(generator.choice(nucleus, p=held / held.sum()))
