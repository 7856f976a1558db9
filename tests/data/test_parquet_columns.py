"""Arrow columns in all the ways in which hubs nest them, as tables: one row a quirk."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from paddle_ground.data.parquet_columns import UNKNOWN, read_annotations
from paddle_ground.errors import DataError

NAMES = ("cat", "dog", "猫")
BOXES = [[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]], [], [[9.0, 10.0, 11.0, 12.0]]]
CATEGORIES = [[0, 2], [], [1]]


def batch(objects, **columns) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"objects": objects, **columns})


def struct_of_lists(**lists) -> pa.Array:
    names = list(lists)
    return pa.StructArray.from_arrays(
        [pa.array(values) if isinstance(values, list) else values for values in lists.values()], names
    )


def list_of_structs() -> pa.Array:
    return pa.array(
        [
            [{"bbox": box, "category": category} for box, category in zip(boxes, categories, strict=True)]
            for boxes, categories in zip(BOXES, CATEGORIES, strict=True)
        ]
    )


FIXED = pa.array(BOXES, pa.list_(pa.list_(pa.float64(), 4)))


@pytest.mark.parametrize(
    "objects",
    [
        struct_of_lists(bbox=FIXED, category=CATEGORIES),  # detection-datasets/coco
        struct_of_lists(bbox=BOXES, category=CATEGORIES),  # plain lists
        struct_of_lists(bbox=pa.array(BOXES, pa.large_list(pa.list_(pa.float32()))), category=CATEGORIES),
        struct_of_lists(bbox=[[[int(v) for v in box] for box in row] for row in BOXES], category=CATEGORIES),
        struct_of_lists(boxes=FIXED, labels=pa.array(CATEGORIES, pa.list_(pa.int32()))),  # other names
        struct_of_lists(bbox=FIXED, category=[["cat", "猫"], [], ["dog"]]),  # categories as words
        struct_of_lists(segmentation=[[1.0], [], []], bbox=FIXED, category=CATEGORIES),  # more than we need
        list_of_structs(),  # what newer versions of the datasets library write
        # A slice, whose offsets do not begin at 0.
        pa.concat_arrays([list_of_structs().slice(2), list_of_structs()]).slice(1),
        pa.concat_arrays([struct_of_lists(bbox=FIXED, category=CATEGORIES)] * 2).slice(3),
    ],
)
def test_every_nesting_gives_the_same(objects):
    found = read_annotations(batch(objects, width=[10, 20, 30], height=[5, 6, 7]), NAMES)
    assert found.offsets.tolist() == [0, 2, 2, 3]
    assert found.boxes.tolist() == [box for row in BOXES for box in row]
    assert found.category_ids.tolist() == [0, 2, 1]
    assert found.sizes_wh.tolist() == [[10, 5], [20, 6], [30, 7]]
    assert np.isnan(found.areas_px).all()
    assert not found.is_crowd.any()
    assert found.image_ids is None


def test_a_row_without_objects_has_none():
    found = read_annotations(
        batch(pa.array([None, {"bbox": BOXES[0], "category": [0, 1]}, {"bbox": None, "category": None}])),
        NAMES,
    )
    assert found.offsets.tolist() == [0, 0, 2, 2]
    assert np.isnan(found.sizes_wh).all()


def test_boxes_that_are_none_become_nan():
    rows = [[[1.0, 2.0, 3.0], [5.0, 6.0, 7.0, 8.0], None, [1.0, None, 3.0, 4.0], []]]
    found = read_annotations(batch(struct_of_lists(bbox=rows, category=[[0] * 5])), NAMES)
    assert np.isnan(found.boxes).any(axis=1).tolist() == [True, False, True, True, True]
    assert found.boxes[1].tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize("categories", [[[0, 3, -1, None]], [["cat", "cow", "", None]]])
def test_unknown_categories_are_marked(categories):
    boxes = [[[0.0, 0.0, 1.0, 1.0]] * 4]
    found = read_annotations(batch(struct_of_lists(bbox=boxes, category=categories)), NAMES)
    assert found.category_ids.tolist() == [0, UNKNOWN, UNKNOWN, UNKNOWN]
    assert found.category_words[1].as_py() == categories[0][1]


@pytest.mark.parametrize("name", ["iscrowd", "is_crowd"])
@pytest.mark.parametrize("flags", [[[0, 1]], [[False, True]]])
def test_crowd_flags_are_honoured(name, flags):
    objects = struct_of_lists(bbox=[[[0.0, 0.0, 1.0, 1.0]] * 2], category=[[0, 0]], **{name: flags})
    assert read_annotations(batch(objects), NAMES).is_crowd.tolist() == [False, True]


def test_cocos_own_crowd_ids_are_known():
    # 900,000,000,000 + 100,000,000 * category + image id, as in instances_train2017.json
    ids = [[900100000149, 1038967, 902800000149, 900100000150, 900000000149, 900100000149 + 91 * 10**8]]
    objects = struct_of_lists(bbox=[[[0.0, 0.0, 1.0, 1.0]] * 6], category=[[0] * 6], bbox_id=ids)
    found = read_annotations(batch(objects, image_id=[149]), NAMES)
    assert found.is_crowd.tolist() == [True, False, True, False, False, False]


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (pa.array([1, 2]), "column `objects` is int64"),
        (pa.array([{"bbox": 1}]), "column `objects` has no `bbox`, only no list of a known name"),
        (
            struct_of_lists(box=BOXES, category=CATEGORIES),
            "column `objects` has no `bbox`, only category",
        ),
        (struct_of_lists(bbox=BOXES), "has no `category`"),
        (
            struct_of_lists(bbox=BOXES, category=[[0], [], [1]]),
            "`objects.category` is not as long as `objects.bbox`",
        ),
        (
            struct_of_lists(bbox=[[1.0, 2.0, 3.0, 4.0]], category=[[0, 0, 0, 0]]),
            "`objects.bbox` holds double",
        ),
        (struct_of_lists(bbox=[[["a", "b", "c", "d"]]], category=[[0]]), "expected numbers, found string"),
        (
            struct_of_lists(bbox=[[[0.0, 0.0, 1.0, 1.0]]], category=[[0.5]]),
            "expected whole numbers, found double",
        ),
    ],
)
def test_what_can_not_be_understood_is_named(objects, message):
    with pytest.raises(DataError, match=message):
        read_annotations(batch(objects), NAMES)


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="no column `objects` among width"):
        read_annotations(pa.RecordBatch.from_pydict({"width": [1]}), NAMES)
