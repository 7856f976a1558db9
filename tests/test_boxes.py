"""Box arithmetic against numbers worked out by hand, and laws that hold for every box."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.boxes import (
    box_areas,
    clip_boxes,
    iou_matrix,
    smallest_at,
    valid_mask,
    xywh_to_xyxy,
    xyxy_to_xywh,
)
from paddle_ground.errors import BoxError

SIDES = st.integers(1, 8000)


@st.composite
def boxes_in(draw: st.DrawFn, size_wh: tuple[int, int] = (640, 480)) -> list[float]:
    """Draw one box with an area inside an image."""
    width, height = size_wh
    xs = sorted(draw(st.lists(st.floats(0, width), min_size=2, max_size=2)))
    ys = sorted(draw(st.lists(st.floats(0, height), min_size=2, max_size=2)))
    return [xs[0], ys[0], xs[1], ys[1]]


# a, b, intersection / union, worked out on paper
HAND_COMPUTED = [
    ([0, 0, 10, 10], [0, 0, 10, 10], 100 / 100),  # the same box
    ([0, 0, 10, 10], [5, 5, 15, 15], 25 / 175),  # a corner shared
    ([0, 0, 10, 10], [0, 0, 5, 10], 50 / 100),  # half of it
    ([0, 0, 4, 4], [1, 1, 3, 3], 4 / 16),  # one inside the other
    ([0, 0, 10, 10], [10, 0, 20, 10], 0.0),  # an edge touches
    ([0, 0, 10, 10], [20, 20, 30, 30], 0.0),  # apart
    ([0, 0, 10, 10], [5, 5, 5, 9], 0.0),  # no area
    ([2.5, 0, 7.5, 2], [5, 1, 10, 3], 2.5 / 17.5),  # fractions of pixels
    ([-4, -4, 4, 4], [0, 0, 8, 8], 16 / 112),  # across the origin
]


@pytest.mark.parametrize(("a", "b", "expected"), HAND_COMPUTED)
def test_iou_agrees_with_paper(a, b, expected):
    assert iou_matrix([a], [b])[0, 0] == pytest.approx(expected, abs=1e-15)


def test_iou_matrix_has_a_row_for_each_a_and_a_column_for_each_b():
    a = [[0, 0, 10, 10], [5, 5, 15, 15]]
    b = [[0, 0, 10, 10], [0, 0, 5, 10], [50, 50, 60, 60]]
    np.testing.assert_allclose(iou_matrix(a, b), [[1, 0.5, 0], [25 / 175, 0, 0]], atol=1e-15)
    assert iou_matrix([], b).shape == (0, 3)
    assert iou_matrix(a, []).shape == (2, 0)


def test_iou_agrees_with_pycocotools():
    mask = pytest.importorskip("pycocotools.mask")
    generator = np.random.default_rng(7)
    corners = generator.uniform(0, 500, (60, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    a, b = boxes[:25], boxes[25:]
    theirs = mask.iou(xyxy_to_xywh(a), xyxy_to_xywh(b), [0] * len(b))
    np.testing.assert_allclose(iou_matrix(a, b), theirs, atol=1e-12)
    assert (theirs > 0).sum() > 100  # else the comparison says nothing


@given(boxes_in(), boxes_in())
def test_iou_is_symmetric_and_bounded(a, b):
    value = iou_matrix([a], [b])[0, 0]
    assert 0 <= value <= 1 + 1e-12
    assert value == iou_matrix([b], [a])[0, 0]


def test_areas_by_hand():
    assert box_areas([[0, 0, 3, 4], [1.5, 2, 2, 6], [3, 3, 3, 9], [5, 5, 4, 9]]).tolist() == [12, 2, 0, 0]


def test_layouts_by_hand():
    assert xywh_to_xyxy([[10, 20, 30, 40]]).tolist() == [[10, 20, 40, 60]]
    assert xyxy_to_xywh([[10, 20, 40, 60]]).tolist() == [[10, 20, 30, 40]]
    assert xywh_to_xyxy([]).shape == (0, 4)


@given(st.lists(boxes_in(), max_size=5))
def test_layouts_turn_back(boxes):
    np.testing.assert_allclose(xywh_to_xyxy(xyxy_to_xywh(boxes)), np.reshape(boxes, (-1, 4)), atol=1e-9)


@pytest.mark.parametrize(
    ("convert", "row", "complaint"),
    [
        (xywh_to_xyxy, [0, 0, -1, 5], "box 1 has a negative width or height"),
        (xywh_to_xyxy, [0, math.nan, 1, 5], "box 1 is not finite"),
        (xyxy_to_xywh, [9, 0, 3, 5], "box 1 has swapped corners"),
        (xyxy_to_xywh, [0, 0, math.inf, 5], "box 1 is not finite"),
    ],
)
def test_converters_name_the_first_bad_row(convert, row, complaint):
    with pytest.raises(BoxError, match=complaint):
        convert([[0, 0, 1, 1], row])


@pytest.mark.parametrize("shape", [[1, 2, 3, 4], [[1, 2, 3]], [["a", 1, 2, 3]], [[1, 2, 3, 4], [1]]])
def test_what_is_no_box_is_refused(shape):
    with pytest.raises(BoxError, match=r"rows of 4 numbers|shape \(N, 4\)"):
        box_areas(shape)


def test_clipping_by_hand():
    clipped = clip_boxes([[-5, 2, 700, 490], [1, 2, 3, 4], [700, 500, 800, 600]], (640, 480))
    assert clipped.tolist() == [[0, 2, 640, 480], [1, 2, 3, 4], [640, 480, 640, 480]]


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4), SIDES, SIDES)
def test_clipped_boxes_lie_in_the_image_and_stay_so(box, width, height):
    once = clip_boxes([box], (width, height))
    assert (once >= 0).all()
    assert (once <= [width, height, width, height]).all()
    assert (clip_boxes(once, (width, height)) == once).all()


def test_valid_mask_row_by_row():
    rows = [
        [0, 0, 1, 1],  # fine
        [0, 0, 0, 1],  # no width
        [2, 2, 1, 3],  # swapped
        [0, 0, math.nan, 1],
        [0, -math.inf, 1, math.inf],
        [0, 0, 5, 5],  # fine
    ]
    assert valid_mask(rows).tolist() == [True, False, False, False, False, True]
    assert valid_mask(rows, min_side=2).tolist() == [False, False, False, False, False, True]
    assert valid_mask([]).shape == (0,)


@given(st.lists(boxes_in(), max_size=6), st.tuples(st.floats(0, 640), st.floats(0, 480)))
def test_the_smallest_box_at_a_point(boxes, point):
    x, y = point
    hit = [
        ((box[2] - box[0]) * (box[3] - box[1]), index)
        for index, box in enumerate(boxes)
        if box[0] <= x <= box[2] and box[1] <= y <= box[3]
    ]
    assert smallest_at(boxes, point) == (min(hit)[1] if hit else None)
