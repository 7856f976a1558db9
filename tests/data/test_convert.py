"""One row to one record: numbers worked out by hand, and every reason to leave a box out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.answers import AnswerFormat, parse
from paddle_ground.boxes import iou_matrix
from paddle_ground.data.checked import RowOptions
from paddle_ground.data.convert import convert_row
from paddle_ground.data.source import SourceRow
from paddle_ground.records import TruthImage, sample_from_line, sample_to_line
from paddle_ground.spaces import RELATIVE_1000

NAN = math.nan


def row(boxes, categories=None, areas=None, crowd=None):
    count = len(boxes)
    return SourceRow(
        image_id=7,
        read_image=bytes,
        size_wh=(200, 100),
        boxes_xyxy_px=np.array(boxes, float).reshape(-1, 4),
        category_ids=np.array(categories or [0] * count, np.int64),
        areas_px=np.array(areas or [NAN] * count, float),
        is_crowd=np.array(crowd or [False] * count, bool),
        where="train.parquet:7",
    )


def convert(source, answer_format="tokens", box_order="position"):
    options = RowOptions(RELATIVE_1000, AnswerFormat(answer_format), "find", ("cat", "dog", "猫"), box_order)
    return convert_row(source, TruthImage(7, "images/7.png", (200, 100)), 31, options)


def test_a_record_by_hand():
    converted = convert(row([[100, 50, 150, 75], [0, 0, 20.1, 10]], [1, 2], areas=[900, NAN]))
    sample = converted.sample
    assert sample.prompt == "find"
    assert sample.messages[0].content == "<image>find"
    assert sample.images == ("images/7.png",)
    assert sample.refs == ("猫", "dog")  # top to bottom
    assert sample.boxes == ((0, 0, 101, 100), (500, 500, 750, 750))  # 100.5 is rounded up
    assert [(b.id, b.image_id, b.category_id, b.box_xyxy_px, b.area) for b in converted.truth] == [
        (31, 7, 1, (100.0, 50.0, 150.0, 75.0), 900.0),
        (32, 7, 2, (0.0, 0.0, 20.1, 10.0), 201.0),
    ]
    assert (converted.skipped, converted.clipped_boxes, converted.merged_boxes) == ((), 0, 0)


def test_json_says_the_same():
    content = convert(row([[100, 50, 150, 75]], [2]), answer_format="json").sample.target
    assert content == '```json\n[\n\t{"bbox_2d": [500, 500, 750, 750], "label": "猫"}\n]\n```'


@pytest.mark.parametrize("answer_format", ["tokens", "json"])
def test_an_image_without_boxes_gets_an_answer_that_says_so(answer_format):
    converted = convert(row([]), answer_format)
    assert converted.sample.target
    assert not converted.has_answer
    parsed = parse(converted.sample.target)
    assert (parsed.status, parsed.regions) == ("ok", ())


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        # y first, then x, then the far corner, then the class
        ("position", ["dog", "cat", "猫", "cat"]),
        ("source", ["cat", "dog", "猫", "cat"]),
    ],
)
def test_boxes_stand_in_order(order, expected):
    boxes = [[10, 50, 40, 60], [90, 10, 120, 20], [10, 50, 40, 60], [20, 50, 40, 60]]
    assert convert(row(boxes, [0, 1, 2, 0]), box_order=order).sample.refs == tuple(expected)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ([10, 10, NAN, 20], "nan_box"),
        ([10, 10, math.inf, 20], "nan_box"),
        ([10, 10, 10, 20], "empty_box"),  # no width
        ([30, 10, 10, 20], "empty_box"),  # inside out
        ([210, 10, 250, 20], "outside_box"),
        ([-30, -10, 0, 0], "outside_box"),
    ],
)
def test_boxes_that_are_none_are_left_out_with_their_place(box, reason):
    converted = convert(row([[1, 1, 50, 50], box, [60, 60, 90, 90]]))
    assert len(converted.sample.boxes) == 2
    assert [truth.id for truth in converted.truth] == [31, 33]
    ((found, where),) = converted.skipped
    assert found == reason
    assert where.startswith("train.parquet:7 box 1: [")


def test_boxes_over_the_border_are_cut_and_counted():
    converted = convert(row([[-10, 20, 230, 40], [1, 1, 5, 5]]))
    assert converted.truth[0].box_xyxy_px == (0.0, 20.0, 200.0, 40.0)
    assert converted.sample.boxes[1] == (0, 200, 1000, 400)
    assert converted.clipped_boxes == 1


def test_crowds_are_in_the_truth_only():
    converted = convert(row([[0, 0, 100, 100], [10, 10, 20, 20]], crowd=[True, False]))
    assert converted.sample.boxes == ((50, 100, 100, 200),)
    assert [truth.is_crowd for truth in converted.truth] == [True, False]
    assert not convert(row([[0, 0, 100, 100]], crowd=[True])).has_answer


def test_boxes_that_fall_together_are_said_once():
    same = [[10, 10, 20, 20], [10.01, 10, 20, 20], [10, 10, 20, 20]]
    converted = convert(row(same, [0, 0, 1]))
    assert converted.sample.refs == ("cat", "dog")
    assert len(converted.truth) == 3
    assert converted.merged_boxes == 1


def test_a_speck_keeps_an_area():
    converted = convert(row([[100.0, 50.0, 100.01, 50.01]]))
    assert converted.sample.boxes == ((500, 500, 501, 501),)
    assert converted.truth[0].box_xyxy_px == (100.0, 50.0, 100.01, 50.01)


@given(
    st.lists(st.tuples(*[st.floats(-50, 250) | st.just(NAN)] * 4), max_size=8),
    st.sampled_from(["tokens", "json"]),
)
def test_whatever_the_boxes_the_record_is_right_and_near_its_truth(boxes, answer_format):
    converted = convert(row([list(box) for box in boxes]), answer_format)
    assert sample_from_line(sample_to_line(converted.sample), "x:1") == converted.sample
    assert len(converted.truth) + len(converted.skipped) == len(boxes)
    for truth in converted.truth:
        x_min, y_min, x_max, y_max = truth.box_xyxy_px
        assert 0 <= x_min < x_max <= 200
        assert 0 <= y_min < y_max <= 100
    for box in converted.sample.boxes:
        pixels = RELATIVE_1000.decode([box], (200, 100))
        # One unit is 0.2 x 0.1 px; a box that was widened may be off by one of them.
        distances = [np.abs(pixels - np.array(truth.box_xyxy_px)).max() for truth in converted.truth]
        assert min(distances) <= 0.2 + 1e-9
    if len(converted.sample.boxes) == 1 and len(converted.truth) == 1 and converted.truth[0].area > 400:
        assert iou_matrix(pixels, [converted.truth[0].box_xyxy_px])[0, 0] > 0.9
