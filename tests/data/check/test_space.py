"""The space of boxes, told by their numbers alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.data.check.space import judge_numbers
from paddle_ground.spaces import RELATIVE_1000


def scene(seed: int, count: int, size_wh: tuple[int, int]) -> np.ndarray:
    """Make pixel boxes all over an image."""
    rng = np.random.default_rng(seed)
    sides = np.array(size_wh)
    low = rng.uniform(0, 0.8, (count, 2)) * sides
    high = low + rng.uniform(0.05, 1, (count, 2)) * (sides - low)
    return np.concatenate([low, high], axis=1)


def sizes(size_wh: tuple[int, int], count: int) -> np.ndarray:
    return np.tile(np.array(size_wh, dtype=np.int32), (count, 1))


SIZES = st.tuples(st.integers(100, 3000), st.integers(100, 3000))


@given(st.integers(0, 10**6), SIZES)
def test_thousandths_are_right(seed: int, size_wh: tuple[int, int]) -> None:
    boxes = RELATIVE_1000.encode(scene(seed, 200, size_wh), size_wh).astype(float)
    assert judge_numbers(boxes, sizes(size_wh, 200), 1000) == ""


@given(st.integers(0, 10**6), st.tuples(st.integers(100, 850), st.integers(100, 850)))
def test_pixels_of_small_images_never_pass_their_border(seed: int, size_wh: tuple[int, int]) -> None:
    boxes = np.floor(scene(seed, 300, size_wh))
    assert "pixels, not thousandths" in judge_numbers(boxes, sizes(size_wh, 300), 1000)


@given(st.integers(0, 10**6), st.tuples(st.integers(1500, 4000), st.integers(1500, 4000)))
def test_pixels_of_large_images_go_beyond_a_thousand(seed: int, size_wh: tuple[int, int]) -> None:
    boxes = np.floor(scene(seed, 200, size_wh))
    verdict = judge_numbers(boxes, sizes(size_wh, 200), 1000)
    assert "numbers above 1000" in verdict
    assert "pixels" in verdict


def test_fractions() -> None:
    boxes = scene(1, 50, (1, 1))
    assert "fractions of the image; multiply by 1000" in judge_numbers(boxes, sizes((640, 480), 50), 1000)


def test_corner_and_size() -> None:
    boxes = np.floor(scene(2, 200, (1000, 1000)))
    boxes[:, 2:] -= boxes[:, :2]
    assert "x, y, width, height" in judge_numbers(boxes, sizes((640, 480), 200), 1000)


@pytest.mark.parametrize("count", [0, 5])
def test_few_boxes_say_nothing(count: int) -> None:
    assert judge_numbers(scene(3, count, (640, 480)), sizes((640, 480), count), 1000) == ""
