"""YOLO txt: real exports against the same boxes in COCO JSON, and the ways of the usual tools."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.readers import ReaderOptions
from paddle_ground.data.readers.yolo import FORMAT
from paddle_ground.data.readers.yolo_labels import read_labels
from paddle_ground.data.source import Source, SourceRow
from paddle_ground.errors import DataError
from paddle_ground.records import read_truth, truth_path


def rows_of(source: Source) -> list[SourceRow]:
    rows = []
    for chunk in source.chunks:
        for row in source.read(chunk, np.arange(chunk.rows)):
            assert isinstance(row, SourceRow)
            rows.append(row)
    return rows


def write_image(path: Path, size_wh: tuple[int, int] = (200, 100)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.as_posix())).integers(
        0, 256, (size_wh[1], size_wh[0], 3), np.uint8
    )
    Image.fromarray(noise).save(path)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def ultralytics(tmp_path: Path) -> Path:
    """Mirrored folders with a data.yaml: two train images, one of them without labels, and one for val."""
    root = tmp_path / "set"
    for name in ("train/a b.png", "train/ü.png", "val/c.PNG"):
        write_image(root / "images" / name)
    write_text(root / "labels" / "train" / "a b.txt", "1 0.5 0.5 0.2 0.4\n0 0.25 0.5 0.1 0.2 0.93\n\n")
    write_text(
        root / "labels" / "val" / "c.txt", "0 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6\n1 0.5 0.1 0.9 0.5 0.7 0.9\n"
    )
    write_text(
        root / "data.yaml", "path: ../set\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n"
    )
    return root


def test_mirrored_folders_with_a_yaml(ultralytics: Path) -> None:
    assert FORMAT.recognise(ultralytics) is not None
    source = FORMAT.open(ultralytics, ReaderOptions())
    assert source.class_names == ("cat", "dog")
    assert [(chunk.split, chunk.rows) for chunk in source.chunks] == [("train", 2), ("val", 1)]
    first, second, third = rows_of(source)
    np.testing.assert_allclose(first.boxes_xyxy_px, [[80, 30, 120, 70], [40, 40, 60, 60]])
    assert first.category_ids.tolist() == [1, 0]
    assert len(second.boxes_xyxy_px) == 0
    np.testing.assert_allclose(third.boxes_xyxy_px, [[20, 20, 60, 60], [100, 10, 180, 90]])
    assert bytes(third.read_image()) == (ultralytics / "images" / "val" / "c.PNG").read_bytes()
    facts = source.survey(source.chunks[0])
    assert facts.boxes.tolist() == [2, 0]
    opened_by_yaml = FORMAT.open(ultralytics / "data.yaml", ReaderOptions())
    assert [row.name for row in rows_of(opened_by_yaml)] == [row.name for row in (first, second, third)]


def test_roboflows_yolo_says_what_its_coco_says(shared_data: Path, tmp_path: Path) -> None:
    """The same pictures in two exports; polygons there, boxes here."""
    exports = shared_data / "roboflow_exports"
    boxes: dict[str, dict[str, list[list[float]]]] = {}
    for name in ("sharks-tiny-yolov9", "sharks-tiny-coco"):
        found = boxes.setdefault(name, {})
        prepare(PrepareOptions(tmp_path / name, source=exports / name, val_ratio=0.0))
        truth = read_truth(truth_path(tmp_path / name / "train.jsonl"))
        for image in truth.images:
            content = (tmp_path / name / image.file_name).read_bytes()
            own = [box for box in truth.annotations if box.image_id == image.id]
            found[str(hash(content))] = sorted(list(box.box_xyxy_px) for box in own)
    ours, theirs = boxes.values()
    assert len(ours) == len(theirs) == 7
    assert sorted(map(len, ours.values())) == sorted(map(len, theirs.values()))
    for content in ours.keys() & theirs.keys():
        np.testing.assert_allclose(ours[content], theirs[content], atol=1.0)


def test_label_studio_and_darknet(shared_data: Path) -> None:
    studio = shared_data / "labelstudio_yolo" / "test_import_yolo_data_unif_dims"
    source = FORMAT.open(studio, ReaderOptions())
    assert source.class_names == tuple((studio / "classes.txt").read_text(encoding="utf-8").split("\n")[:4])
    for row in rows_of(source):
        lines = (studio / row.where).read_text(encoding="utf-8").split("\n")
        expected = [list(map(float, line.split()[1:])) for line in lines if line.strip()]
        assert row.size_wh is not None
        width, height = row.size_wh
        middles = (row.boxes_xyxy_px[:, :2] + row.boxes_xyxy_px[:, 2:]) / 2 / (width, height)
        np.testing.assert_allclose(middles, np.array(expected)[:, :2])
    darknet = FORMAT.open(shared_data / "datumaro_assets" / "yolo_dataset" / "strict", ReaderOptions())
    assert len(darknet.class_names) == 10
    assert len(rows_of(darknet)[0].boxes_xyxy_px) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 320 240 50 60", "320 is no part of an image's side"),
        ("0 0.5 0.5", "3 numbers; expected 5"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "8 numbers"),
        ("cat 0.5 0.5 0.1 0.1", "holds what is no number"),
        ("-1 0.5 0.5 0.1 0.1", "class -1; expected a whole number"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5"),
        ("nan 0.5 0.5 0.1 0.1", "class nan"),
        ("0 inf 0.5 0.1 0.1", "inf is no part"),
    ],
)
def test_a_broken_line_is_named(line: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"labels/a.txt:2: .*{re.escape(message)}"):
        read_labels(f"0 0.5 0.5 0.1 0.1\n{line}\n".encode(), "labels/a.txt")


def test_nan_is_left_to_be_counted(ultralytics: Path, tmp_path: Path) -> None:
    write_text(ultralytics / "labels" / "train" / "ü.txt", "0 nan 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n")
    report = prepare(PrepareOptions(tmp_path / "out", source=ultralytics, val_ratio=0.0))
    assert report.splits[0].counts["skipped_nan_box"] == 1


def test_names_are_needed_and_counted(ultralytics: Path) -> None:
    write_text(ultralytics / "labels" / "train" / "ü.txt", "2 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError, match=r"data.yaml: 2 class names, but a label says class 2"):
        FORMAT.open(ultralytics, ReaderOptions())
    (ultralytics / "data.yaml").unlink()
    with pytest.raises(DataError, match=r"nobody names the classes 0\.\.2"):
        FORMAT.open(ultralytics, ReaderOptions())
    assert FORMAT.open(ultralytics, ReaderOptions(classes=("a", "b", "c"))).class_names == ("a", "b", "c")


def test_a_yaml_of_another_machine_is_understood_and_leads_nowhere(ultralytics: Path) -> None:
    write_text(
        ultralytics / "data.yaml",
        "train: /home/somebody/set/images/train\nval: ../../../../etc\n"
        "test: ../set/images/val\nnames: [cat, dog]\n",
    )
    source = FORMAT.open(ultralytics, ReaderOptions(split_map={"test": "val"}))
    assert [(chunk.split, chunk.rows) for chunk in source.chunks] == [("train", 2), ("val", 1)]


@pytest.mark.parametrize("way", ["yaml", "darknet"])
def test_lists_of_images_tell_the_splits(tmp_path: Path, way: str) -> None:
    root = tmp_path / "set"
    for name in "abcd":
        write_image(root / "pictures" / f"{name}.png")
        write_text(root / "pictures" / f"{name}.txt", "0 0.5 0.5 0.2 0.2\n")
    write_text(root / "train.txt", "./pictures/a.png\n/home/somebody/set/pictures/b.png\n")
    write_text(root / "val.txt", "pictures/c.png\n../../etc/passwd\n")
    if way == "yaml":
        write_text(root / "data.yaml", "train: train.txt\nval: val.txt\nnames: [cat]\n")
    else:
        write_text(root / "obj.data", "classes = 1\ntrain = train.txt\nvalid = val.txt\nnames = obj.names\n")
        write_text(root / "obj.names", "cat\n")
    source = FORMAT.open(root, ReaderOptions())
    splits = {
        row.name: chunk.split for chunk in source.chunks for row in source.read(chunk, np.arange(chunk.rows))
    }
    assert splits == {"pictures/a.png": "train", "pictures/b.png": "train", "pictures/c.png": "val"}
    assert "splits: 1 images of no split left out" in source.notes


def test_a_pose_label_is_its_box(ultralytics: Path) -> None:
    # Ultralytics' tiger-pose has [12, 2], its dog-pose [24, 3] with a visibility of 0 to 2.
    for shape, points in (([12, 2], " 0.45 0.55" * 12), ([24, 3], " 0.1 0.9 2" * 24)):
        write_text(
            ultralytics / "data.yaml",
            f"train: images/train\nval: images/val\nnames: [cat, dog]\nkpt_shape: {shape}\n",
        )
        write_text(ultralytics / "labels" / "val" / "c.txt", f"1 0.5 0.5 0.2 0.4{points}\n")
        assert FORMAT.recognise(ultralytics) is not None
        source = FORMAT.open(ultralytics, ReaderOptions())
        np.testing.assert_allclose(rows_of(source)[2].boxes_xyxy_px, [[80, 30, 120, 70]])
        assert "key points: left out, as boxes alone are asked for" in source.notes


def test_images_that_two_splits_name_are_the_first_one_s(ultralytics: Path, tmp_path: Path) -> None:
    # As in Ultralytics' coco128.yaml; test often is val once more.
    write_text(
        ultralytics / "data.yaml",
        "train: images/train\nval: images/train\ntest: images/train\nnames: [cat, dog]\n",
    )
    source = FORMAT.open(ultralytics, ReaderOptions())
    assert [(chunk.split, chunk.rows) for chunk in source.chunks] == [("train", 2)]
    assert source.notes[:2] == (
        "splits: images/train is named for train and for val; taken as train",
        "splits: images/train is named for train and for test; taken as train",
    )
    report = prepare(PrepareOptions(tmp_path / "out", source=ultralytics, val_ratio=0.5))
    assert [(split.split, split.counts["kept"]) for split in report.splits] == [("train", 1), ("val", 1)]


def test_a_path_too_long_for_the_system_names_nothing(ultralytics: Path) -> None:
    write_text(ultralytics / "data.yaml", f"train: {'a' * 400}\nval: images\nnames: [cat, dog]\n")
    assert [(chunk.split, chunk.rows) for chunk in FORMAT.open(ultralytics, ReaderOptions()).chunks] == [
        ("val", 3)
    ]


@pytest.mark.parametrize("name", ["classes.txt", "data.yaml"])
def test_names_are_not_read_out_of_links(ultralytics: Path, tmp_path: Path, name: str) -> None:
    write_text(tmp_path / "secret", "names: [root]\n")
    (ultralytics / "data.yaml").unlink()
    (ultralytics / name).symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="link out of"):
        FORMAT.open(ultralytics, ReaderOptions())


def test_links_out_are_refused(ultralytics: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "outside.png")
    (ultralytics / "images" / "train" / "link.png").symlink_to(tmp_path / "outside.png")
    rows = {str(row.name): row for row in rows_of(FORMAT.open(ultralytics, ReaderOptions()))}
    with pytest.raises(DataError, match="link out of"):
        rows["images/train/link.png"].read_image()


def test_a_broken_image_is_told_when_it_is_asked_for(ultralytics: Path, tmp_path: Path) -> None:
    (ultralytics / "images" / "train" / "a b.png").write_bytes(b"no picture")
    source = FORMAT.open(ultralytics, ReaderOptions())
    assert len(rows_of(source)) == 3
    with pytest.raises(DataError, match=r"a b\.txt"):
        prepare(PrepareOptions(tmp_path / "stop", source=ultralytics))
    report = prepare(PrepareOptions(tmp_path / "skip", source=ultralytics, bad_images="skip", val_ratio=0.0))
    assert sum(split.counts.get("skipped_bad_image", 0) for split in report.splits) == 1


OTHERS = ("coco40", "coco_parquet", "refcoco", "voc_icevision/voc", "labelme_examples", "llamafactory_mllm",
          "roboflow_exports/sharks-tiny-coco", "obb_dota_mmrotate")  # fmt: skip


@pytest.mark.parametrize("folder", OTHERS)
def test_other_formats_are_none_of_it(shared_data: Path, folder: str) -> None:
    assert FORMAT.recognise(shared_data / folder) is None


def test_the_fingerprint_follows_labels(ultralytics: Path) -> None:
    before = FORMAT.open(ultralytics, ReaderOptions()).fingerprint
    assert FORMAT.open(ultralytics, ReaderOptions()).fingerprint == before
    write_text(ultralytics / "labels" / "train" / "a b.txt", json.dumps(0) + " 0.5 0.5 0.2 0.4\n")
    assert FORMAT.open(ultralytics, ReaderOptions()).fingerprint != before
