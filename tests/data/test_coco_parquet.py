"""The parquet reader: what is in a shard comes out, and what is wrong with one is named."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paddle_ground.data import parquet_groups
from paddle_ground.data.classes import COCO_CLASSES
from paddle_ground.data.coco_parquet import CocoParquet
from paddle_ground.data.source import outline
from paddle_ground.errors import DataError

# In a 64 x 48 image this can be corners only.
PLAIN_BOX = (20.0, 12.0, 60.0, 40.0)


def read_all(source):
    return [row for chunk in source.chunks for row in source.read(chunk, np.arange(chunk.rows))]


def test_rows_come_out_as_they_were_put_in(one_shard, make_row, image_bytes):
    boxes = [[1.5, 2.25, 30, 40], [30, 20, 60, 47]]
    source = CocoParquet(one_shard(make_row(9, boxes, [3, 79]), make_row(25, [])))
    first, second = read_all(source)
    assert (first.image_id, second.image_id) == (9, 25)
    assert bytes(first.read_image()) == image_bytes(9)
    assert first.size_wh == (64, 48)
    assert first.boxes_xyxy_px.tolist() == boxes
    assert first.category_ids.tolist() == [3, 79]
    assert first.areas_px.tolist() == [28.5 * 37.75, 30 * 27]
    assert first.where == "train-00000-of-00001.parquet:0"
    assert len(second.boxes_xyxy_px) == 0
    assert source.class_names == COCO_CLASSES
    assert source.name == "source"


def test_only_the_rows_asked_for_are_read(source_dir):
    source = CocoParquet(source_dir)
    assert [(chunk.split, chunk.rows) for chunk in source.chunks] == [
        *[("train", 4), ("train", 4), ("train", 2)] * 2,
        ("train", 4),
        ("train", 2),
        ("val", 4),
        ("val", 1),
    ]
    rows = list(source.read(source.chunks[4], np.array([1, 3])))
    assert [row.image_id for row in rows] == [105, 107]
    assert [row.where for row in rows] == [f"data/train-00001-of-00003.parquet:{row}" for row in (5, 7)]


def test_large_row_groups_are_read_in_batches(one_shard, monkeypatch, make_row):
    monkeypatch.setattr("paddle_ground.data.coco_parquet._BATCH_ROWS", 3)
    source = CocoParquet(one_shard(*[make_row(i) for i in range(20)], group_rows=20))
    rows = np.array([0, 2, 3, 11, 12, 13, 19])
    assert [row.image_id for row in source.read(source.chunks[0], rows)] == rows.tolist()


@pytest.mark.parametrize("room", [0, 5, 1000])
def test_annotations_that_are_kept_are_those_that_are_read(monkeypatch, source_dir, room):
    opened = []
    real = parquet_groups.open_shard
    monkeypatch.setattr(parquet_groups, "_KEPT_BOXES", room)
    monkeypatch.setattr(parquet_groups, "open_shard", lambda shard: [opened.append(shard), real(shard)][1])
    source = CocoParquet(source_dir)
    twice = [[source.survey(chunk).boxes.tolist() for chunk in source.chunks] for _ in range(2)]
    assert twice[0] == twice[1]
    monkeypatch.setattr(parquet_groups, "_KEPT_BOXES", 0)
    for row, other in zip(read_all(source), read_all(CocoParquet(source_dir)), strict=True):
        assert (row.image_id, row.size_wh, row.where) == (other.image_id, other.size_wh, other.where)
        assert row.boxes_xyxy_px.tolist() == other.boxes_xyxy_px.tolist()
        assert (row.category_ids.tolist(), row.areas_px.tolist()) == ([0], other.areas_px.tolist())
        assert bytes(row.read_image()) == bytes(other.read_image())
    # 31 boxes in groups of four, two and one: all are kept, four and one, or none.
    groups = len(source.chunks)
    del opened[:]
    for chunk in source.chunks:
        source.survey(chunk)
    assert groups - len(opened) == {0: 0, 5: 2, 1000: groups}[room]


def test_facts_count_boxes_and_those_that_can_be_answered(one_shard, make_row):
    nan, crowd = float("nan"), 900_100_000_003
    source = CocoParquet(
        one_shard(
            make_row(1),
            make_row(2, []),
            make_row(3, [PLAIN_BOX, PLAIN_BOX, [9, 9, 9, 9], [1, nan, 5, 5]]),
        )
    )
    facts = source.survey(source.chunks[0])
    assert facts.image_ids.tolist() == [1, 2, 3]
    assert facts.boxes.tolist() == [1, 0, 4]
    assert facts.usable_boxes.tolist() == [1, 0, 2]
    objects = make_row(3, [PLAIN_BOX] * 2)["objects"] | {"bbox_id": [30, crowd]}
    crowded = CocoParquet(one_shard(make_row(3, objects=objects)))
    assert crowded.survey(crowded.chunks[0]).usable_boxes.tolist() == [1]


def test_real_shards_hold_cocos_own_boxes(shared_data):
    document = json.loads((shared_data / "coco40" / "instances.json").read_text())
    index = {c["id"]: i for i, c in enumerate(sorted(document["categories"], key=lambda c: c["id"]))}
    expected = {image["id"]: [] for image in document["images"]}
    for a in document["annotations"]:
        x, y, width, height = a["bbox"]
        numbers = (x, y, x + width, y + height, a["area"])
        expected[a["image_id"]].append((index[a["category_id"]], bool(a["iscrowd"]), *numbers))
    source = CocoParquet(shared_data / "coco_parquet")
    rows = read_all(source)
    assert sorted(row.image_id for row in rows) == sorted(expected)
    for row in rows:
        found = np.column_stack([row.category_ids, row.is_crowd, row.boxes_xyxy_px, row.areas_px])
        own = np.array(expected[row.image_id]).reshape(-1, 7)
        np.testing.assert_allclose(found[np.lexsort(found.T)], own[np.lexsort(own.T)], atol=1e-9)
        path = shared_data / "coco40" / "images" / f"{row.image_id:012d}.jpg"
        assert bytes(row.read_image()) == path.read_bytes()
    assert sum(len(boxes) for boxes in expected.values()) == 349
    assert "boxes: xyxy" in source.notes[0]


@pytest.mark.parametrize("layout", [None, "xywh"])
def test_xywh_is_found_out_and_turned(one_shard, layout, make_row):
    source = CocoParquet(
        one_shard(make_row(1, [[40, 30, 20, 10]]), make_row(2, [[30, 20, 20, 15]])), layout=layout
    )
    assert read_all(source)[0].boxes_xyxy_px.tolist() == [[40, 30, 60, 40]]
    assert ("boxes: xywh" in " ".join(source.notes)) == (layout is None)


def test_what_does_not_tell_must_be_said(one_shard, make_row):
    root = one_shard(make_row(1, [[1, 1, 9, 9]]))
    with pytest.raises(DataError, match=r"can't tell the box layout .* pass --bbox-format xyxy or xywh"):
        CocoParquet(root)
    assert read_all(CocoParquet(root, layout="xyxy"))[0].boxes_xyxy_px.tolist() == [[1, 1, 9, 9]]
    assert read_all(CocoParquet(root, layout="xywh"))[0].boxes_xyxy_px.tolist() == [[1, 1, 10, 10]]


def test_a_layout_against_the_evidence_is_taken_aloud(one_shard, make_row):
    source = CocoParquet(one_shard(make_row(1), make_row(2)), layout="xywh")
    assert "taken as xywh as told, but 2 contradict it" in source.notes[0]


def test_fractions_are_refused(one_shard, make_row):
    with pytest.raises(DataError, match=r"all 1 boxes lie within 0\.\.1, but boxes must be in pixels"):
        CocoParquet(one_shard(make_row(1, [[0.1, 0.2, 0.5, 0.5]])))


def test_no_boxes_at_all_are_fine(one_shard, make_row):
    assert len(read_all(CocoParquet(one_shard(make_row(1, []))))[0].boxes_xyxy_px) == 0


@pytest.mark.parametrize("category", [80, -1])
def test_an_unknown_category_is_named_with_its_row(one_shard, category, make_row):
    source = CocoParquet(
        one_shard(*[make_row(i) for i in range(5)], make_row(5, [PLAIN_BOX] * 2, [0, category]))
    )
    source.survey(source.chunks[0])
    message = rf"parquet:5: category {category} of box 1 is not among the 80 classes; .* --classes"
    with pytest.raises(DataError, match=message):
        source.survey(source.chunks[1])


def test_declared_classes_are_taken_and_given_ones_before_them(one_shard, make_row, schema):
    features = {"objects": {"feature": {"category": {"names": ["猫", "dog"], "_type": "ClassLabel"}}}}
    noted = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    root = one_shard(make_row(1), schema=noted)
    source = CocoParquet(root)
    assert source.class_names == ("猫", "dog")
    assert "classes: the 2 names that the shards declare" in source.notes
    assert CocoParquet(root, class_names=("a", "b", "c")).class_names == ("a", "b", "c")


@pytest.mark.parametrize("note", ["{", "[]", '{"info": null}', '{"info": {"features": {"objects": [7]}}}'])
def test_other_notes_declare_nothing(one_shard, note, make_row, schema):
    noted = schema.with_metadata({"huggingface": note})
    assert CocoParquet(one_shard(make_row(1), schema=noted)).class_names == COCO_CLASSES


def test_images_may_lie_beside_the_shards(tmp_path, one_shard, make_row):
    root = one_shard(make_row(1, image={"bytes": None, "path": "images/1.png"}))
    (row,) = read_all(CocoParquet(root))
    with pytest.raises(DataError, match=r"parquet:0: no file 'images/1\.png' in"):
        row.read_image()
    (root / "images").mkdir()
    (root / "images" / "1.png").write_bytes(b"bytes of an image")
    assert row.read_image() == b"bytes of an image"


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "images/../../secret.png", ".."])
def test_image_paths_do_not_lead_out(tmp_path, one_shard, path, make_row):
    (tmp_path / "secret.png").write_bytes(b"secret")
    (row,) = read_all(CocoParquet(one_shard(make_row(1, image={"bytes": None, "path": path}))))
    with pytest.raises(DataError, match="leads out of the data set"):
        row.read_image()


def test_links_do_not_lead_out_but_may_lead_within(tmp_path, one_shard, make_row):
    (tmp_path / "secret.png").write_bytes(b"secret")
    root = one_shard(make_row(1, image={"bytes": None, "path": "1.png"}))
    (row,) = read_all(CocoParquet(root))
    (root / "1.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match=r"parquet:0: '1\.png' is a link out of"):
        row.read_image()
    (root / "1.png").unlink()
    (root / "kept.png").write_bytes(b"bytes of an image")
    (root / "1.png").symlink_to(root / "kept.png")
    assert row.read_image() == b"bytes of an image"


def test_a_row_without_image_is_named(one_shard, make_row):
    (row,) = read_all(CocoParquet(one_shard(make_row(1, image={"bytes": None, "path": None}))))
    with pytest.raises(DataError, match=r"parquet:0: the image is missing \(no bytes, no path\)"):
        row.read_image()


def test_plain_binary_images_and_missing_sizes_and_ids_will_do(tmp_path, make_row, image_bytes, schema):
    table = pa.Table.from_pylist([make_row(1), make_row(2)], schema=schema)
    data = pa.array([image_bytes(1), image_bytes(2)], pa.large_binary())
    table = table.drop_columns(["image_id", "width", "height", "image"]).append_column("image", data)
    (tmp_path / "source").mkdir()
    pq.write_table(table, tmp_path / "source" / "train-0.parquet")
    rows = read_all(CocoParquet(tmp_path / "source", layout="xyxy"))
    assert [bytes(row.read_image()) for row in rows] == [image_bytes(1), image_bytes(2)]
    assert [(row.image_id, row.size_wh) for row in rows] == [(0, None), (1, None)]


def test_missing_columns_are_named(tmp_path, one_shard, make_row):
    root = one_shard(make_row(1))
    path = next(root.glob("*.parquet"))
    pq.write_table(pq.read_table(path).drop_columns(["objects"]), path)
    with pytest.raises(DataError, match=r"parquet: no column `objects` among image_id, image, width, height"):
        CocoParquet(root)


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"]
)
def test_a_file_that_is_no_parquet_is_named(tmp_path, content):
    (tmp_path / "train-0.parquet").write_bytes(content)
    with pytest.raises(
        DataError, match=r"^train-0\.parquet: not a readable parquet shard \(.*\); fetch it again$"
    ):
        CocoParquet(tmp_path)


def test_a_mutated_shard_is_read_or_refused_in_one_line(tmp_path, source_dir):
    whole = next((source_dir / "data").glob("val-*")).read_bytes()
    draw = random.Random(11)
    messages = []
    for case in range(60):
        data = bytearray(whole[: draw.randrange(8, len(whole))] if case % 3 == 0 else whole)
        for _ in range(draw.randrange(1, 6)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        root = tmp_path / "mutated"
        root.mkdir()
        (root / "train-0.parquet").write_bytes(data)
        try:
            source = CocoParquet(root, layout="xyxy")
            for chunk in source.chunks:
                source.survey(chunk)
            for row in read_all(source):
                row.read_image()
        except DataError as error:
            messages.append(str(error))
        shutil.rmtree(root)
    assert len(messages) > 20
    assert not [message for message in messages if "\n" in message]


def test_the_fingerprint_is_that_of_the_content(tmp_path, source_dir, make_row, write_shard):
    before = CocoParquet(source_dir).fingerprint
    shutil.copytree(source_dir, tmp_path / "elsewhere")
    assert CocoParquet(tmp_path / "elsewhere").fingerprint == before
    write_shard(
        tmp_path / "elsewhere" / "data" / "val-00000-of-00001.parquet", [make_row(1001 + i) for i in range(5)]
    )
    assert CocoParquet(tmp_path / "elsewhere").fingerprint != before


def test_rows_without_images_are_the_rows(shared_data):
    source = CocoParquet(shared_data / "coco_parquet")
    for chunk in source.chunks:
        whole = list(source.read(chunk, np.arange(chunk.rows)))
        outlined = list(outline(source, chunk))
        assert len(outlined) == chunk.rows
        for row, other in zip(outlined, whole, strict=True):
            assert (row.image_id, row.size_wh, row.where) == (other.image_id, other.size_wh, other.where)
            np.testing.assert_array_equal(row.boxes_xyxy_px, other.boxes_xyxy_px)
            np.testing.assert_array_equal(row.category_ids, other.category_ids)
            np.testing.assert_array_equal(row.is_crowd, other.is_crowd)


def test_plain_shards_are_read_without_pandas_and_arrows_compute(one_shard, make_row):
    # They take longer to import than thousands of rows to read, and 100 MB.
    code = (
        "import sys, numpy as np\n"
        "from paddle_ground.data.coco_parquet import CocoParquet\n"
        "source = CocoParquet(sys.argv[1])\n"
        "source.survey(source.chunks[0])\n"
        "rows = list(source.read(source.chunks[0], np.arange(2)))\n"
        "print(len(rows), 'pandas' in sys.modules, 'pyarrow.compute' in sys.modules)\n"
    )
    shard = one_shard(make_row(1), make_row(2))
    done = subprocess.run([sys.executable, "-c", code, shard], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False", "False"]
