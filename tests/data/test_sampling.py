"""Draws: as many as asked for, none twice, the source's own val kept apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.data.sampling import LEFT_OUT, TRAIN, VAL, draw_splits
from paddle_ground.errors import ConfigError


def draw(rows=100, val_rows=0, total=None, val_ratio=0.1, seed=1, eligible=None):
    eligible = np.ones(rows, bool) if eligible is None else eligible
    return draw_splits(eligible, np.arange(rows) >= rows - val_rows, total, val_ratio, seed)


@pytest.mark.parametrize(
    ("options", "train", "val"),
    [
        ({}, 90, 10),
        ({"val_ratio": 0}, 100, 0),
        ({"total": 20}, 18, 2),
        ({"total": 5}, 4, 1),  # half a row of val is one
        ({"total": 4}, 4, 0),
        ({"total": 500}, 90, 10),
        ({"val_rows": 30}, 70, 30),  # the source's own val is taken whole
        ({"val_rows": 30, "total": 20}, 18, 2),
        ({"val_rows": 30, "total": 50, "val_ratio": 0.5}, 25, 25),
        ({"val_rows": 5, "total": 50, "val_ratio": 0.5}, 45, 5),  # it has no more
        ({"val_rows": 30, "total": 100, "val_ratio": 0}, 70, 0),
    ],
)
def test_numbers(options, train, val):
    splits = draw(**options)
    assert ((splits == TRAIN).sum(), (splits == VAL).sum()) == (train, val)


@given(st.integers(1, 200), st.integers(0, 50), st.integers(1, 300), st.floats(0, 0.99), st.integers(0, 99))
def test_a_draw_is_repeatable_and_keeps_to_what_it_may_take(rows, val_rows, total, val_ratio, seed):
    eligible = np.random.default_rng(seed).random(rows) < 0.7
    splits = draw(rows, min(val_rows, rows), total, val_ratio, seed, eligible)
    assert (splits == draw(rows, min(val_rows, rows), total, val_ratio, seed, eligible)).all()
    assert not splits[~eligible].any()
    assert (splits != LEFT_OUT).sum() <= total
    if val_rows:
        is_val = np.arange(rows) >= rows - min(val_rows, rows)
        assert (splits[is_val] != TRAIN).all()
        assert (splits[~is_val] != VAL).all()


def test_seeds_differ():
    assert (draw(total=20, seed=1) != draw(total=20, seed=2)).any()


@pytest.mark.parametrize(
    "options", [{"total": 0}, {"val_ratio": 1}, {"val_ratio": -0.1}, {"val_ratio": np.nan}]
)
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=r"total_samples|val_ratio"):
        draw(**options)
