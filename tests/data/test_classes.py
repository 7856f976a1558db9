"""Class names: COCO's own list, and files that can or can't be used."""

from __future__ import annotations

import json

import pytest

from paddle_ground.data.classes import COCO_CLASSES, check_classes, read_classes
from paddle_ground.errors import DataError


def test_coco_has_its_names_in_the_order_of_its_ids(shared_data):
    document = json.loads((shared_data / "coco40" / "instances.json").read_text())
    by_id = sorted(document["categories"], key=lambda category: category["id"])
    assert tuple(category["name"] for category in by_id) == COCO_CLASSES


@pytest.mark.parametrize(
    "content", ["猫\ndog\nred circle\n", "猫\r\ndog\r\nred circle\r\n\r\n", "\ufeff猫\n dog\nred circle"]
)
def test_a_file_is_read_whatever_its_line_ends(tmp_path, content):
    path = tmp_path / "classes.txt"
    path.write_bytes(content.encode())
    assert read_classes(path) == ("猫", "dog", "red circle")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cat", ""], "x:2: blank class name"),
        (["cat", "dog", "cat"], "x:3: class 'cat' stands on line 1 too"),
        (["<|box_start|>"], "x:1: class '<|box_start|>' can't be used"),
        (["a<bbox>"], "x:1: class 'a<bbox>' can't be used"),
        (["a\tb"], "x:1: .* control character"),
    ],
)
def test_names_that_break_answers_are_refused(names, message):
    with pytest.raises(DataError, match=message.replace("|", r"\|")):
        check_classes(names, "x")


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"", b"\n\n"])
def test_a_file_that_holds_no_names_is_named(tmp_path, content):
    path = tmp_path / "classes.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"classes\.txt"):
        read_classes(path)
