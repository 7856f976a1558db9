"""What grows while it is read, and numbers and links that lead nowhere: one clear line or a counted skip."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.readers import formats
from paddle_ground.data.readers.yolo import FORMAT as YOLO
from paddle_ground.errors import DataError

IMAGE = {"id": 1, "file_name": "a.jpg", "width": 200, "height": 100}
BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 50, 50]}
HUGE = 10**400


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (200, 100), (10, 40, 90)).save(path)


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """A right YOLO data set of one image."""
    root = tmp_path / "set"
    write_image(root / "images" / "good.jpg")
    (root / "labels").mkdir()
    (root / "labels" / "good.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (root / "data.yaml").write_text("names: [cow]\n")
    return root


def lists(depth: int = 11) -> str:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, depth)]
    return "\n".join(rows) + "\n"


def merged(depth: int = 11) -> str:
    rows = ["a0: &a0 {x: 1, y: 2}"]
    rows += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, depth)]
    return "\n".join(rows) + "\n"


CODE = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.errors import PaddleGroundError
for told in ("yolo", "auto"):
    try:
        prepare(PrepareOptions(Path(sys.argv[1]), Path(sys.argv[2]), source_format=told, workers=1))
    except PaddleGroundError as error:
        print(error)
"""


@pytest.mark.parametrize(
    "text",
    [
        lists() + "names: *a10\n",
        lists() + "names: {0: *a10}\n",
        lists() + "path: *a10\nnames: [cow]\n",
        merged() + "names: [cow]\n",
    ],
    ids=["names", "numbered", "path", "merged"],
)
def test_yaml_whose_aliases_grow_without_end_is_not_followed(yolo: Path, tmp_path: Path, text: str) -> None:
    (yolo / "data.yaml").write_text(text)
    command = [sys.executable, "-c", CODE, str(tmp_path / "out"), str(yolo)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2
    assert all(
        "data.yaml:2: an alias (*a0) of a list or an object" in line for line in done.stdout.splitlines()
    )


def test_an_alias_of_a_text_is_what_it_says(yolo: Path, tmp_path: Path) -> None:
    (yolo / "data.yaml").write_text("train: &all images\nval: *all\nnames: [cow]\n")
    assert prepare(PrepareOptions(tmp_path / "out", yolo, workers=1)).splits[0].counts["boxes"] == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [("names: [cow\ntrain: x\n", 2), ("path: .\nnames:\n\t- cow\n", 3), ('nc: 1\nnames: ["cow\n', 3)],
)
@pytest.mark.parametrize("with_list", [False, True])
def test_a_broken_yaml_is_said_with_its_line(
    yolo: Path, tmp_path: Path, text: str, line: int, with_list: bool
) -> None:
    (yolo / "data.yaml").write_text(text)
    if with_list:  # Then the names would be known, but not the splits.
        (yolo / "classes.txt").write_text("cow\n")
    for told, path in (("auto", yolo), ("yolo", yolo), ("yolo", yolo / "data.yaml")):
        with pytest.raises(DataError, match=rf"^data\.yaml:{line}: not valid YAML \(.*\); repair it$"):
            prepare(PrepareOptions(tmp_path / "out", path, source_format=told, workers=1))


def test_a_broken_yaml_of_something_else_is_left_alone(yolo: Path, tmp_path: Path) -> None:
    (yolo / "compose.yaml").write_text("services: [a\n")
    assert prepare(PrepareOptions(tmp_path / "out", yolo, workers=1)).splits[0].counts["boxes"] == 1


def test_two_yolo_data_sets_with_other_classes_are_not_made_one(yolo: Path, tmp_path: Path) -> None:
    shutil.copytree(yolo, tmp_path / "both" / "a")
    shutil.copytree(yolo, tmp_path / "both" / "b")
    (tmp_path / "both" / "b" / "data.yaml").write_text("names: [dog]\n")
    message = r"a/data\.yaml and b/data\.yaml name different classes; give one of their folders"
    with pytest.raises(DataError, match=message):
        prepare(PrepareOptions(tmp_path / "out", tmp_path / "both", workers=1))
    (tmp_path / "both" / "b" / "data.yaml").write_text("names: [cow]\n")
    assert prepare(PrepareOptions(tmp_path / "out", tmp_path / "both", workers=1)).splits[0].counts["kept"]


def test_a_link_to_nowhere_among_the_images_is_a_counted_skip(yolo: Path, tmp_path: Path) -> None:
    (yolo / "images" / "x.jpg").symlink_to(tmp_path / "nowhere.jpg")
    options = PrepareOptions(
        tmp_path / "out", yolo, val_ratio=0, source_format="yolo", bad_images="skip", workers=1
    )
    counts = prepare(options).splits[0].counts
    assert (counts["kept"], counts["skipped_bad_image"]) == (1, 1)


@pytest.mark.parametrize("kind", ["nowhere", "pipe", "folder"])
def test_a_label_that_is_no_file_is_not_taken_for_no_objects(yolo: Path, tmp_path: Path, kind: str) -> None:
    write_image(yolo / "images" / "x.jpg")
    label = yolo / "labels" / "x.txt"
    {
        "nowhere": lambda: label.symlink_to(tmp_path / "nowhere.txt"),
        "pipe": lambda: os.mkfifo(label),
        "folder": label.mkdir,
    }[kind]()
    assert YOLO.recognise(yolo) is not None, "by the other one; and a pipe is not waited for"
    with pytest.raises(DataError, match=r"labels/x\.txt: no file"):
        prepare(PrepareOptions(tmp_path / "out", yolo, source_format="yolo", workers=1))


ROW = {"messages": [{"role": "user", "content": "<image>?"}, {"role": "assistant", "content": "A cow."}]}
INSTANCES = {"images": [IMAGE], "annotations": [BOX], "categories": [{"id": 1, "name": "cow"}]}
FILES: dict[str, tuple[str, Any]] = {
    "swift": ("train.jsonl", ROW | {"images": ["a.jpg"]}),
    "llamafactory": ("rows.json", [ROW | {"images": ["a.jpg"]}]),
    "coco_json": ("instances.json", INSTANCES),
    "odvg": ("od.jsonl", {"filename": "a.jpg", "detection": {"instances": []}}),
}


@pytest.mark.parametrize("name", FILES)
def test_rows_behind_a_link_out_of_the_folder_are_not_followed(tmp_path: Path, name: str) -> None:
    file, value = FILES[name]
    outside, root = tmp_path / "outside" / file, tmp_path / "set"
    outside.parent.mkdir()
    outside.write_text(json.dumps(value))
    write_image(root / "a.jpg")
    (root / file).symlink_to(outside)
    for told in ("auto", name):
        with pytest.raises(DataError, match=rf"^{file}: '{file}' is a link out of set; put the file there$"):
            prepare(PrepareOptions(tmp_path / "out", root, source_format=told, workers=1))
    # Inside it, or as the one file that was named, it is what it is.
    (root / file).unlink()
    (root / "real").mkdir()
    outside.rename(root / "real" / "rows")
    (root / file).symlink_to(root / "real" / "rows")
    for number, path in enumerate((root, root / file)):
        out = tmp_path / f"out{number}"
        report = prepare(PrepareOptions(out, path, val_ratio=0, source_format=name, workers=1))
        assert report.splits[0].counts["kept"] == 1


def test_recognising_reads_no_label_outside(yolo: Path, tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (yolo / "labels" / "good.txt").unlink()
    (yolo / "labels" / "good.txt").symlink_to(tmp_path / "out.txt")
    assert YOLO.recognise(yolo) is None


@pytest.mark.parametrize(
    ("images", "boxes", "categories", "message"),
    [
        ([{**IMAGE, "id": 10**30}], [{**BOX, "image_id": 10**30}], None, "ids must fit 64 bits"),
        ([IMAGE], [{**BOX, "category_id": 10**30}], [{"id": 10**30, "name": "cow"}], "ids must fit 64 bits"),
        ([IMAGE], [{"segmentation": {"size": [HUGE, HUGE], "counts": [1, HUGE - 1]}}], None, "do not fit"),
        ([IMAGE], [BOX, {"segmentation": [[HUGE, 1, 2, 3, 4, 5]]}], None, None),
    ],
    ids=["image", "category", "run_lengths", "polygon"],
)
def test_numbers_beyond_all_range(
    tmp_path: Path, images: Any, boxes: Any, categories: Any, message: str | None
) -> None:
    root = tmp_path / "set"
    write_image(root / "a.jpg")
    no_box = {key: value for key, value in BOX.items() if key != "bbox"}
    boxes = [box if "bbox" in box else {**no_box, **box} for box in boxes]
    value = {"images": images, "annotations": boxes, "categories": categories or [{"id": 1, "name": "cow"}]}
    (root / "instances.json").write_text(json.dumps(value))
    options = PrepareOptions(tmp_path / "out", root, val_ratio=0, workers=1)
    if message is None:
        counts = prepare(options).splits[0].counts
        assert (counts["boxes"], counts["skipped_nan_box"]) == (1, 1)
        return
    with pytest.raises(DataError, match=message) as caught:
        prepare(options)
    assert len(str(caught.value)) < 300, "one line, not a page"


OURS = {"coco_json", "yolo", "voc", "labelme"}
REAL: dict[str, set[str]] = {
    "coco40": {"coco_json"},
    "datumaro_assets/coco_dataset/coco": {"coco_json"},
    "datumaro_assets/roboflow_dataset/coco": {"coco_json"},
    "datumaro_assets/roboflow_dataset/voc": {"voc"},
    "datumaro_assets/roboflow_dataset/yolo": {"yolo"},
    "datumaro_assets/voc_dataset/voc_dataset1": {"voc"},
    "datumaro_assets/yolo_dataset/strict": {"yolo"},
    "datumaro_assets/dota_dataset": set(),
    "datumaro_assets/kitti_dataset": set(),
    "datumaro_assets/vott_json_dataset": set(),
    "datumaro_assets/widerface_dataset": set(),
    "datumaro_assets/cvat_dataset": set(),
    "datumaro_assets/labelme_dataset": set(),  # The web tool's XML, not labelme's JSON.
    "labelme_examples/primitives": {"labelme"},
    "labelme_examples/bbox_detection/data_dataset_voc": {"voc"},
    "labelme_examples/instance_segmentation/data_dataset_coco": {"coco_json"},
    "labelstudio_yolo/test_import_yolo_data": {"yolo"},
    "roboflow_exports/sharks-tiny-coco": {"coco_json"},
    "roboflow_exports/sharks-tiny-yolov9": {"yolo"},
    "roboflow_exports/sharks-tiny-createml": set(),
    "roboflow_exports/paligemma": set(),
    "voc_icevision/fridge": {"voc"},
    "voc_icevision/via": set(),
    "coco_parquet": set(),
    "llamafactory_mllm": set(),
    "obb_dota_mmrotate": set(),
    "odd_images": set(),
    "qwen_vl_finetune": set(),
    "refcoco": set(),
}


@pytest.mark.parametrize(("folder", "expected"), REAL.items())
def test_real_folders_are_taken_for_what_they_are(shared_data: Path, folder: str, expected: set[str]) -> None:
    found = {one.name for one in formats() if one.name in OURS and one.recognise(shared_data / folder)}
    assert found == expected
