"""Which boxes an answer names, in which order, under which names: by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.data.order import BOX_ORDERS, order_boxes
from paddle_ground.data.relabel import ClassChoice
from paddle_ground.errors import ConfigError, DataError

CAT, DOG, CUP, CAR = range(4)
# x1 y1 x2 y2 in an image of 100 x 80: a wide low cup, a small cat at the top, a large dog, a cat.
OBJECTS = [
    (CUP, (10, 60, 90, 64)),
    (CAT, (40, 0, 50, 8)),
    (DOG, (20, 20, 80, 60)),
    (CAT, (0, 20, 30, 50)),
]


def refs(found):
    return [sample.refs for sample in found.samples]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("position", "cat cat dog cup"),  # tops 0, 20, 20, 60; of the two at 20 the cat is further left
        ("size", "dog cat cup cat"),  # 2400, 900, 320, 80 pixels squared
        ("class", "cat cat dog cup"),
        ("source", "cup cat dog cat"),
    ],
)
def test_boxes_stand_in_the_order_that_is_asked_for(result, make_row, order, expected):
    assert refs(result([make_row(1, OBJECTS)], box_order=order)) == [tuple(expected.split())]


def test_a_random_order_is_seeded_and_differs_from_image_to_image(result, make_row):
    rows = [make_row(i, OBJECTS) for i in range(12)]
    first = [sample.boxes for sample in result(rows, box_order="random").samples]
    assert len(set(first)) > 5
    assert len({tuple(sorted(boxes)) for boxes in first}) == 1
    assert [s.boxes for s in result(rows, box_order="random", workers=4).samples] == first
    assert [s.boxes for s in result(rows, box_order="random", seed=1).samples] != first


@given(
    st.lists(st.tuples(*[st.integers(0, 1000)] * 4), max_size=9),
    st.sampled_from(BOX_ORDERS),
    st.lists(st.integers(0, 3), min_size=9, max_size=9),
)
def test_an_order_loses_nothing(boxes, order, categories):
    numbers = np.array(boxes, np.int64).reshape(-1, 4)
    ids = np.array(categories[: len(boxes)], np.int64)
    places = order_boxes(order, numbers, numbers.astype(float), ids, "seed")
    assert sorted(places.tolist()) == list(range(len(boxes)))


@pytest.mark.parametrize(
    ("by", "order", "expected"),
    [
        ("largest", "position", "cat dog"),
        ("order", "position", "cat cat"),
        ("order", "size", "dog cat"),
        ("largest", "source", "dog cat"),
    ],
)
def test_an_answer_names_so_many_boxes_and_the_truth_all(result, make_row, by, order, expected):
    found = result([make_row(1, OBJECTS)], max_boxes=2, max_boxes_by=by, box_order=order)
    assert refs(found) == [tuple(expected.split())]
    assert len(found.truth.annotations) == 4
    assert (found.counts["boxes"], found.counts["unsaid_boxes"]) == (4, 2)
    assert found.meta.settings["max_boxes"] == "2"
    assert found.meta.settings.get("max_boxes_by", "largest") == by


def test_small_boxes_are_not_asked_for_and_count_for_nothing(result, make_row):
    rows = [make_row(1, OBJECTS), make_row(2, [(CUP, (10, 60, 90, 64))])]
    found = result(rows, min_box_side=10)
    assert refs(found) == [("cat", "dog"), ()]  # the cup is 4 pixels high, the first cat 8
    assert [box.is_crowd for box in found.truth.annotations] == [True, True, False, False, True]
    assert (found.counts["small_boxes"], found.counts["crowd_boxes"], found.counts["empty"]) == (3, 3, 1)
    assert refs(result(rows, min_box_side=8)) == [("cat", "cat", "dog"), ()]  # 8 pixels are enough
    assert refs(result(rows, min_box_side=10, keep_empty=False)) == [("cat", "dog")]


def test_classes_are_filtered_and_joined(result, make_row):
    choice = ClassChoice(drop=("car",), rename={"dog": "pet", "cat": "pet"})
    found = result([make_row(1, [*OBJECTS, (CAR, (0, 0, 9, 9))])], class_choice=choice)
    assert found.meta.class_names == ("pet", "cup")
    assert sorted(found.samples[0].refs) == ["cup", "pet", "pet", "pet"]
    assert [category.name for category in found.truth.categories] == ["pet", "cup"]
    assert [box.category_id for box in found.truth.annotations] == [1, 0, 0, 0]
    assert found.meta.settings["rename"] == '["cat=pet", "dog=pet"]'
    assert found.meta.settings["drop_classes"] == '["car"]'


def test_an_image_of_other_classes_is_an_image_without(result, make_row):
    rows = [make_row(1, [(CAT, (0, 0, 9, 9))]), make_row(2, [(CAR, (0, 0, 9, 9))])]
    choice = ClassChoice(keep=("car",))
    found = result(rows, class_choice=choice)
    assert (refs(found), found.counts["empty"]) == ([(), ("car",)], 1)
    assert refs(result(rows, class_choice=choice, keep_empty=False, total_samples=1)) == [("car",)]


def test_a_phrase_goes_with_its_boxes(result, make_row):
    phrases = [("both", [0, 1]), ("the dog", [2]), ("nothing", [])]
    found = result([make_row(1, OBJECTS, phrases)], class_choice=ClassChoice(drop=("cup",)))
    # "both" would be answered in part; the dog is now the second box of the row.
    assert refs(found) == [("the dog",), ()]
    assert found.samples[0].boxes == ((200, 250, 800, 750),)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (ClassChoice(keep=("kat",)), "--keep-classes: no class is called 'kat'; did you mean 'cat'"),
        (ClassChoice(rename={"bird": "cat"}), "--rename: no class is called 'bird'"),
        (ClassChoice(drop=("cat",), rename={"cat": "dog"}), "'cat' is to be kept or renamed too"),
        (ClassChoice(drop=("cat", "dog", "cup", "car")), "leaves no class"),
    ],
)
def test_class_choices_that_can_not_be_are_refused(run, make_row, choice, message):
    with pytest.raises(ConfigError, match=message):
        run([make_row(1, OBJECTS)], class_choice=choice)


def test_a_new_name_must_fit_into_an_answer(run, make_row):
    with pytest.raises(DataError, match="can't be used"):
        run([make_row(1, OBJECTS)], class_choice=ClassChoice(rename={"cat": "<bbox>"}))
