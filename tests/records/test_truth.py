"""Truth as COCO JSON: pycocotools reads it, real COCO files are read, wrong ones are named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.errors import RecordError
from paddle_ground.records import (
    Category,
    Truth,
    TruthBox,
    TruthImage,
    number_box_line,
    number_image_line,
    read_truth,
    truth_box_to_line,
    truth_image_to_line,
    write_truth,
)

TRUTH = Truth(
    images=(TruthImage(9, "images/000000000009.jpg", (640, 480)), TruthImage(10, "images/b.png", (32, 16))),
    annotations=(
        TruthBox(1, 9, 45, (1.5, 187.25, 612.75, 473.5), 120057.25),
        TruthBox(2, 9, 0, (0.0, 0.0, 64.0, 8.0), 512.0, is_crowd=True),
    ),
    categories=(Category(0, "人"), Category(45, "bowl")),
)


def test_truth_survives_the_disk(tmp_path):
    write_truth(tmp_path / "a.truth.json", TRUTH)
    assert read_truth(tmp_path / "a.truth.json") == TRUTH


def test_empty_truth_survives_too(tmp_path):
    write_truth(tmp_path / "a.truth.json", Truth((), (), ()))
    assert read_truth(tmp_path / "a.truth.json") == Truth((), (), ())


def test_boxes_are_written_as_coco_writes_them(tmp_path):
    write_truth(tmp_path / "a.truth.json", TRUTH)
    document = json.loads((tmp_path / "a.truth.json").read_text(encoding="utf-8"))
    assert document == TRUTH.to_coco()
    assert document["annotations"][0]["bbox"] == [1.5, 187.25, 611.25, 286.25]
    assert [row["iscrowd"] for row in document["annotations"]] == [0, 1]
    assert document["images"][1] == {"id": 10, "file_name": "images/b.png", "width": 32, "height": 16}


def test_pycocotools_reads_what_we_write(tmp_path, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    write_truth(tmp_path / "a.truth.json", TRUTH)
    index = coco.COCO(str(tmp_path / "a.truth.json"))
    assert index.getCatIds() == [0, 45]
    assert index.getAnnIds(imgIds=[9], iscrowd=False) == [1]


def test_real_coco_is_read(shared_data):
    path = shared_data / "coco40" / "instances.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    truth = read_truth(path)
    assert len(truth.images) == 40
    assert len(truth.annotations) == len(document["annotations"]) > 100
    x, y, width, height = document["annotations"][0]["bbox"]
    assert truth.annotations[0].box_xyxy_px == (x, y, x + width, y + height)
    assert sum(box.is_crowd for box in truth.annotations) == sum(
        a["iscrowd"] for a in document["annotations"]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["annotations"][1].update(image_id=77), r"annotations\[1\]: image_id 77 is not among"),
        (lambda d: d["annotations"][1].update(category_id=77), r"annotations\[1\]: category_id 77 is no"),
        (lambda d: d["annotations"][1].update(id=1), "annotations: id 1 is used twice"),
        (lambda d: d["images"][1].update(id=9), "images: id 9 is used twice"),
        (lambda d: d["categories"][1].update(id=0), "categories: id 0 is used twice"),
        (lambda d: d["annotations"][0].update(bbox=[0, 0, -3, 4]), r"annotations\[0\]: bbox has a negative"),
        (lambda d: d["annotations"][0].update(bbox=[0, 0, None, 4]), r"`bbox` should be 4 finite numbers"),
        (lambda d: d["images"][0].update(width=0), r"images\[0\]: size 0 x 480"),
        (lambda d: d.pop("categories"), "`categories` is missing"),
    ],
)
def test_wrong_truth_is_named(tmp_path, change, message):
    document = TRUTH.to_coco()
    change(document)
    path = tmp_path / "a.truth.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(RecordError, match=message) as caught:
        read_truth(path)
    assert str(caught.value).startswith(str(path))


def test_prompt_and_phrase_are_written_where_they_are_set(tmp_path):
    images = (TruthImage(1, "a.png", (4, 3)), TruthImage(2, "a.png", (4, 3), 'find "it"', "it"))
    write_truth(tmp_path / "x.truth.json", Truth(images, (), ()))
    assert read_truth(tmp_path / "x.truth.json").images == images
    document = json.loads((tmp_path / "x.truth.json").read_text())
    assert document["images"][0].keys() == {"id", "file_name", "width", "height"}
    assert document["images"][1] | {"prompt": 'find "it"', "phrase": "it"} == document["images"][1]


def test_lines_are_numbered_anew():
    image = TruthImage(17, 'images/"category_id", {.png', (4, 3), "p", "q")
    box = TruthBox(5, 17, 2, (1.0, 1.0, 2.0, 3.0), 2.0, True)
    assert number_image_line(truth_image_to_line(image), 3) == truth_image_to_line(replace(image, id=3))
    assert number_box_line(truth_box_to_line(box), 9, 3) == truth_box_to_line(replace(box, id=9, image_id=3))


@given(
    st.tuples(*[st.one_of(st.floats(), st.integers(-10, 10**18))] * 4),
    st.one_of(st.floats(), st.integers(0, 9)),
    st.booleans(),
)
def test_a_box_is_written_as_json_writes_it(corners, area, is_crowd):
    x_min, y_min, x_max, y_max = corners
    numbers = [x_min, y_min, x_max - x_min, y_max - y_min]
    box = TruthBox(7, 8, 9, corners, area, is_crowd)
    document = {"id": 7, "image_id": 8, "category_id": 9, "bbox": numbers, "area": area}
    try:
        expected = json.dumps({**document, "iscrowd": int(is_crowd)}, allow_nan=False)
    except ValueError:
        with pytest.raises(RecordError, match="not finite"):
            truth_box_to_line(box)
        return
    assert truth_box_to_line(box) == expected
