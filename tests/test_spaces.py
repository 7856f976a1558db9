"""Coordinate spaces: numbers worked out by hand, and laws that hold for every box and every image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.errors import BoxError
from paddle_ground.families import PREPARED, QWEN2_5_VL, Family
from paddle_ground.spaces import RELATIVE_1000, CoordinateSpace, coordinate_space

SIDES = st.integers(1, 8000)
# Tiny, huge and extreme shapes are drawn as often as usual ones.
SIZES = st.one_of(
    st.tuples(SIDES, SIDES),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 30), st.integers(5000, 30_000)),
    st.tuples(st.integers(5000, 30_000), st.integers(1, 30)),
)


def space_of(family: Family) -> CoordinateSpace:
    """Give the space in which a family speaks."""
    return coordinate_space(family.coordinate_space, family.resize())


@st.composite
def boxes_in(draw: st.DrawFn, size_wh: tuple[int, int] = (640, 480)) -> list[float]:
    """Draw one box inside an image."""
    width, height = size_wh
    xs = sorted(draw(st.lists(st.floats(0, width), min_size=2, max_size=2)))
    ys = sorted(draw(st.lists(st.floats(0, height), min_size=2, max_size=2)))
    return [xs[0], ys[0], xs[1], ys[1]]


@st.composite
def images_with_boxes(draw: st.DrawFn) -> tuple[tuple[int, int], list[float]]:
    """Draw an image's size and a box inside it."""
    size_wh = draw(SIZES)
    return size_wh, draw(boxes_in(size_wh))


def test_relative_1000_by_hand():
    # 0.5 / 1000 of 640 px is 0.32 px: the half is rounded up, what is below it down.
    boxes = [[0, 0, 640, 480], [320, 120, 480, 360], [0.32, 0.24, 0.319, 0.239]]
    assert RELATIVE_1000.encode(boxes, (640, 480)).tolist() == [
        [0, 0, 1000, 1000],
        [500, 250, 750, 750],
        [1, 1, 0, 0],
    ]
    assert RELATIVE_1000.decode([[500, 250, 750, 750]], (640, 480)).tolist() == [[320, 120, 480, 360]]


def test_encoding_clips_what_is_outside():
    assert RELATIVE_1000.encode([[-50, 10, 700, 500]], (640, 480)).tolist() == [[0, 21, 1000, 1000]]


@given(boxes_in(), st.just((640, 480)))
def test_decoding_comes_within_half_a_step(box, size_wh):
    back = RELATIVE_1000.decode(RELATIVE_1000.encode([box], size_wh), size_wh)
    steps = np.array([*size_wh, *size_wh]) / 1000
    assert (np.abs(back - [box]) <= steps / 2 + 1e-9).all()


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4), SIDES, SIDES)
def test_encoding_takes_back_what_was_decoded(numbers, width, height):
    size_wh = (width, height)
    assert RELATIVE_1000.encode(RELATIVE_1000.decode([numbers], size_wh), size_wh).tolist() == [numbers]


def test_boxes_without_width_are_widened_by_one_unit():
    flat = [[5, 7, 5, 9], [1000, 3, 1000, 4], [0, 1000, 4, 1000], [6, 6, 6, 6], [1, 2, 3, 4]]
    wide = [[5, 7, 6, 9], [999, 3, 1000, 4], [0, 999, 4, 1000], [6, 6, 7, 7], [1, 2, 3, 4]]
    assert RELATIVE_1000.widen(flat, (640, 480)).tolist() == wide
    assert RELATIVE_1000.widen([], (640, 480)).shape == (0, 4)


def test_encoding_refuses_nan_and_empty_images():
    with pytest.raises(BoxError, match="box 0 is not finite"):
        RELATIVE_1000.encode([[0, 0, math.nan, 1]], (640, 480))
    with pytest.raises(BoxError, match="640 x 0"):
        RELATIVE_1000.encode([[0, 0, 1, 1]], (640, 0))


def test_spaces_are_found_by_name():
    assert coordinate_space("relative_1000") is RELATIVE_1000
    with pytest.raises(BoxError, match=r"'relative_1'; known: .*relative_1000"):
        coordinate_space("relative_1")
    with pytest.raises(BoxError, match="say how images are resized"):
        coordinate_space("absolute_resized")
    assert coordinate_space("absolute_resized", QWEN2_5_VL.resize()) == space_of(QWEN2_5_VL)


def test_absolute_resized_by_hand():
    space = space_of(QWEN2_5_VL)
    # 1920 x 1080 is limited to 1024 x 576 (768 x 768 in area), then rounded to multiples of 28: 37 x 21.
    assert space.borders_wh((1920, 1080)) == (1036, 588)
    assert space.encode([[0, 0, 1920, 1080], [960, 540, 1000, 600]], (1920, 1080)).tolist() == [
        [0, 0, 1036, 588],
        [518, 294, 540, 327],
    ]
    assert space.decode([[518, 294, 1036, 588]], (1920, 1080)).tolist() == [[960, 540, 1920, 1080]]
    # 20 x 10 is enlarged to 45 x 22, its height to 28, and both by the processor to 84 x 56.
    assert space.borders_wh((20, 10)) == (84, 56)
    assert space.widen([[84, 3, 84, 4], [5, 56, 6, 56]], (20, 10)).tolist() == [
        [83, 3, 84, 4],
        [5, 55, 6, 56],
    ]


@pytest.mark.parametrize("family", PREPARED.values(), ids=lambda f: f.model_type)
@given(image=images_with_boxes())
def test_every_family_comes_back_within_half_a_step(family, image):
    size_wh, box = image
    space = space_of(family)
    numbers = space.encode([box], size_wh)
    borders = np.array(space.borders_wh(size_wh) * 2)
    assert (numbers >= 0).all()
    assert (numbers <= borders).all()
    steps = np.array(size_wh * 2) / borders
    assert (np.abs(space.decode(numbers, size_wh) - [box]) <= steps / 2 + 1e-6).all()
    wide = space.widen(numbers, size_wh)
    assert (wide[:, :2] < wide[:, 2:]).all()
    assert (wide >= 0).all()
    assert (wide <= borders).all()
    assert space.encode(space.decode(wide, size_wh), size_wh).tolist() == wide.tolist()
