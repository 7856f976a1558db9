"""Batches of like length: everything once, little padding, no order that could be learned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.data.lessons.order import batches_of_like_length


@given(st.lists(st.integers(1, 500), max_size=300), st.integers(1, 8))
def test_each_place_comes_once(lengths: list[int], batch: int) -> None:
    order = batches_of_like_length(lengths, batch, np.random.default_rng(0))
    assert sorted(order) == list(range(len(lengths)))


def test_padding_falls_and_batches_stay_mixed() -> None:
    generator = np.random.default_rng(3)
    lengths = generator.integers(50, 250, 6400)
    order = batches_of_like_length(lengths.tolist(), 32, generator)

    def padded(places: np.ndarray) -> float:
        batches = lengths[places].reshape(-1, 32)
        return float(batches.max(axis=1).sum() * 32 / batches.sum())

    assert padded(np.arange(6400)) > 1.5
    assert padded(np.array(order)) < 1.06
    means = lengths[np.array(order)].reshape(-1, 32).mean(axis=1)
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2, "short and long batches come at random"


def test_the_last_batch_may_be_short() -> None:
    assert batches_of_like_length([3, 1, 2], 2, np.random.default_rng(0)) == [1, 2, 0]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_generator_decides(seed: int) -> None:
    lengths = list(range(100))
    orders = [batches_of_like_length(lengths, 4, np.random.default_rng(seed)) for _ in range(2)]
    assert orders[0] == orders[1] != batches_of_like_length(lengths, 4, np.random.default_rng(seed + 5))
