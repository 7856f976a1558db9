"""Draws follow the distribution that temperature and top-p leave."""

from __future__ import annotations

import math

import numpy as np
import pytest

from paddle_ground.errors import ConfigError
from paddle_ground.infer.sampling import GREEDY, Sampling, choose

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))


def shares(sampling: Sampling, allowed: list[int] | None = None) -> np.ndarray:
    generator = np.random.default_rng(0)
    ids = None if allowed is None else np.array(allowed)
    drawn = [choose(LOGITS, ids, sampling, generator)[0] for _ in range(4000)]
    return np.bincount(drawn, minlength=4) / len(drawn)


def test_the_likeliest_is_taken_with_its_probability() -> None:
    token, logprob = choose(LOGITS, None, GREEDY, np.random.default_rng(0))
    assert (token, logprob) == (0, pytest.approx(math.log(0.5), abs=1e-6))
    # Among tokens 1 and 3 alone, 0.3 is 6 parts of 7.
    token, logprob = choose(LOGITS, np.array([1, 3]), GREEDY, np.random.default_rng(0))
    assert (token, logprob) == (1, pytest.approx(math.log(6 / 7), abs=1e-6))


def test_shares_of_draws() -> None:
    np.testing.assert_allclose(shares(Sampling(1.0)), [0.5, 0.3, 0.15, 0.05], atol=0.03)
    # The first two hold 0.8, so the third still belongs to the likeliest 0.9.
    np.testing.assert_allclose(shares(Sampling(1.0, 0.9)), np.array([0.5, 0.3, 0.15, 0]) / 0.95, atol=0.03)
    # A temperature of 1/2 squares the shares.
    squares = np.array([0.25, 0.09, 0.0225, 0.0025])
    np.testing.assert_allclose(shares(Sampling(0.5)), squares / squares.sum(), atol=0.03)
    np.testing.assert_allclose(shares(Sampling(1.0), [2, 3]), [0, 0, 0.75, 0.25], atol=0.03)


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.1}])
def test_ranges(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Sampling(**wrong)
