"""COCO instances JSON: real files against pycocotools, and what other exporters make of the format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.readers import ReaderOptions
from paddle_ground.data.readers.coco_json import FORMAT
from paddle_ground.data.readers.coco_masks import box_around
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


def write_coco(folder: Path, **changes: Any) -> Path:
    """Two images, three boxes, ids with gaps; `changes` replace top-level lists."""
    (folder / "images").mkdir(parents=True)
    for name in ("a.jpg", "b c ü.JPG"):
        Image.new("RGB", (40, 30)).save(folder / "images" / name, "JPEG")
    document = {
        "images": [
            {"id": 7, "file_name": "a.jpg", "width": 40, "height": 30},
            {"id": 3, "file_name": "b c ü.JPG", "width": 40, "height": 30},
        ],
        "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}, {"id": 1, "name": "person"}],
        "annotations": [
            {"id": 1, "image_id": 3, "category_id": 1, "bbox": [1, 2, 10, 20], "area": 150.5, "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 18, "bbox": [0, 0, 40, 30], "iscrowd": 1},
            {"id": 3, "image_id": 3, "category_id": 18, "segmentation": [[5, 6, 9, 6, 9, 16.5]]},
        ],
    } | changes
    path = folder / "labels.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_real_coco_equals_pycocotools(shared_data: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    path = shared_data / "coco40" / "instances.json"
    theirs = coco.COCO(str(path))
    source = FORMAT.open(shared_data / "coco40", ReaderOptions())
    assert FORMAT.recognise(shared_data / "coco40") is not None
    assert source.class_names == tuple(one["name"] for one in theirs.loadCats(sorted(theirs.getCatIds())))
    rows = rows_of(source)
    assert len(rows) == 40
    names = {one["id"]: one["name"] for one in theirs.loadCats(theirs.getCatIds())}
    for row in rows:
        annotations = theirs.loadAnns(theirs.getAnnIds(imgIds=[row.image_id]))
        expected = np.array([one["bbox"] for one in annotations]).reshape(-1, 4)
        expected[:, 2:] += expected[:, :2]
        np.testing.assert_allclose(row.boxes_xyxy_px, expected, rtol=0, atol=1e-9)
        assert [source.class_names[i] for i in row.category_ids] == [
            names[one["category_id"]] for one in annotations
        ]
        assert row.is_crowd.tolist() == [bool(one["iscrowd"]) for one in annotations]
        np.testing.assert_allclose(row.areas_px, [one["area"] for one in annotations])
        assert bytes(row.read_image()) == (shared_data / "coco40" / "images" / str(row.name)).read_bytes()


def test_masks_of_real_coco_have_the_boxes_of_pycocotools(shared_data: Path) -> None:
    mask = pytest.importorskip("pycocotools.mask")
    document = json.loads((shared_data / "coco40" / "instances.json").read_text(encoding="utf-8"))
    runs = [one["segmentation"] for one in document["annotations"] if isinstance(one["segmentation"], dict)]
    assert runs
    for one in runs:
        packed = mask.frPyObjects(one, *one["size"])
        x, y, width, height = mask.toBbox(packed).tolist()
        text = {"size": packed["size"], "counts": packed["counts"].decode()}
        assert box_around(one, "here") == (x, y, x + width, y + height)
        assert box_around(text, "here") == (x, y, x + width, y + height)


@given(st.data())
def test_any_mask_has_the_box_of_its_ones(data: st.DataObject) -> None:
    mask = pytest.importorskip("pycocotools.mask")
    height, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    bits = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    array = np.array(bits, np.uint8).reshape(height, width)
    packed = mask.encode(np.asfortranarray(array))
    found = box_around({"size": packed["size"], "counts": packed["counts"].decode()}, "here")
    ys, xs = np.nonzero(array)
    expected = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else None
    assert found == expected


def test_gaps_crowds_and_segmentations(tmp_path: Path) -> None:
    source = FORMAT.open(write_coco(tmp_path), ReaderOptions())
    assert source.class_names == ("person", "dog")
    first, second = rows_of(source)
    assert (first.image_id, first.is_crowd.tolist(), first.name) == (7, [True], "a.jpg")
    assert second.boxes_xyxy_px.tolist() == [[1, 2, 11, 22], [5, 6, 9, 16.5]]
    assert second.category_ids.tolist() == [0, 1]
    assert second.areas_px[0] == 150.5
    facts = source.survey(source.chunks[0])
    assert (facts.boxes.tolist(), facts.usable_boxes.tolist()) == ([1, 2], [0, 2])


def test_corners_are_recognised_and_said(tmp_path: Path) -> None:
    boxes = [[30, 20, 40, 30], [25, 15, 39, 29], [20, 20, 38, 28]]
    annotations = [
        {"id": i, "image_id": 7, "category_id": 1, "bbox": box, "iscrowd": 0} for i, box in enumerate(boxes)
    ]
    source = FORMAT.open(write_coco(tmp_path, annotations=annotations), ReaderOptions())
    assert any("xyxy, although COCO's are xywh" in note for note in source.notes)
    assert rows_of(source)[0].boxes_xyxy_px.tolist() == boxes
    told = FORMAT.open(tmp_path / "labels.json", ReaderOptions(layout="xywh"))
    assert rows_of(told)[0].boxes_xyxy_px[0].tolist() == [30, 20, 70, 50]


def test_roboflows_folders_have_their_splits_and_no_root_class(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "roboflow_exports" / "sharks-tiny-coco"
    report = prepare(PrepareOptions(tmp_path / "out", source=source, val_ratio=0.0))
    assert any("'sharks' left out" in note for note in report.notes)
    for split, folder in (("train", "train"), ("val", "valid")):
        document = json.loads((source / folder / "_annotations.coco.json").read_text(encoding="utf-8"))
        truth = read_truth(truth_path(tmp_path / "out" / f"{split}.jsonl"))
        assert len(truth.images) == len(document["images"])
        assert len(truth.annotations) == len(document["annotations"])
        assert "sharks" not in {category.name for category in truth.categories}


ONE = {"id": 5, "image_id": 7, "category_id": 1, "bbox": [2, 3, 20, 10]}
BROKEN_RUNS = {"id": 5, "image_id": 7, "category_id": 1, "segmentation": {"size": [2, 2], "counts": [9]}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"annotations": [ONE | {"category_id": 9}]},
            r"labels.json: annotation 5: category_id 9 is not among",
        ),
        ({"annotations": [ONE | {"bbox": [0, 0, 1]}]}, r"annotation 5: the box is .*expected four numbers"),
        ({"annotations": [ONE | {"image_id": None}]}, r"annotation 5: `image_id` is null"),
        ({"annotations": [BROKEN_RUNS]}, r"annotation 5: run lengths that do not fit 2 x 2"),
        ({"images": [{"id": 7, "file_name": "a.jpg"}] * 2}, r"image id 7 is used twice"),
        ({"categories": [{"id": i, "name": "dog"} for i in (1, 2)]}, r"class 'dog' stands on line 1 too"),
        (
            {"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]},
            r"two of the 2 categories have one id",
        ),
        ({"images": []}, r"no images in labels.json"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_coco(
        tmp_path, **({"annotations": []} | changes if "annotations" not in changes else changes)
    )
    with pytest.raises(DataError, match=message):
        FORMAT.open(path, ReaderOptions())


@pytest.mark.parametrize("name", ["../outside.jpg", "/etc/hostname", "missing.jpg"])
def test_images_stay_inside(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.jpg").write_bytes(b"secret")
    path = write_coco(tmp_path / "data", images=[{"id": 7, "file_name": name}], annotations=[])
    (row,) = rows_of(FORMAT.open(path, ReaderOptions()))
    with pytest.raises(DataError, match=r"labels.json: image 7"):
        row.read_image()


def test_class_0_stays_unless_others_stand_under_it(tmp_path: Path) -> None:
    real = [{"id": 0, "name": "person", "supercategory": "human"}, {"id": 1, "name": "dog"}]
    source = FORMAT.open(write_coco(tmp_path / "real", categories=real, annotations=[ONE]), ReaderOptions())
    assert source.class_names == ("person", "dog")
    root = [{"id": 0, "name": "pets"}, {"id": 1, "name": "dog", "supercategory": "pets"}]
    source = FORMAT.open(write_coco(tmp_path / "root", categories=root, annotations=[ONE]), ReaderOptions())
    assert source.class_names == ("dog",)


def test_a_polygon_of_no_numbers_is_left_to_be_counted(tmp_path: Path) -> None:
    broken = {"id": 5, "image_id": 7, "category_id": 1, "segmentation": [[1, 2, float("nan"), 4, 5, 6]]}
    source = FORMAT.open(write_coco(tmp_path, annotations=[broken]), ReaderOptions())
    facts = source.survey(source.chunks[0])
    assert (facts.boxes.tolist(), facts.usable_boxes.tolist()) == ([1, 0], [0, 0])


def test_annotations_without_image_or_shape_are_counted(tmp_path: Path) -> None:
    annotations = [
        {"id": 1, "image_id": 99, "category_id": 1, "bbox": [0, 0, 1, 1]},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": []},
    ]
    source = FORMAT.open(write_coco(tmp_path, annotations=annotations), ReaderOptions())
    assert [note for note in source.notes if "left out" in note] == [
        "boxes: 1 left out, annotations of images that are not listed",
        "boxes: 1 left out, annotations with neither box nor segmentation",
    ]


def test_an_image_that_is_listed_for_each_of_its_boxes_is_one(tmp_path: Path) -> None:
    image = {"file_name": "a.jpg", "width": 40, "height": 30}
    other = {"id": 9, "file_name": "b c ü.JPG", "width": 40, "height": 30}
    boxes = [
        (1, [1, 2, 10, 20]),
        (2, [15, 2, 10, 20]),
        (3, [1, 2, 10, 20]),
        (9, [1, 2, 10, 20]),
        (9, [1, 2, 10, 20]),
    ]
    annotations = [
        {"id": number, "image_id": number, "category_id": 18, "bbox": box} for number, box in boxes
    ]
    images = [*({**image, "id": number} for number in (1, 2, 3)), other]
    source = FORMAT.open(write_coco(tmp_path, images=images, annotations=annotations), ReaderOptions())
    first, second = rows_of(source)
    assert first.boxes_xyxy_px.tolist() == [[1, 2, 11, 22], [15, 2, 25, 22]]
    assert (first.image_id, second.image_id, len(second.boxes_xyxy_px)) == (1, 9, 2)
    said = (
        "images: 2 of labels.json are listed again under another id; the boxes of each file are put together"
    )
    assert said in source.notes


@pytest.mark.parametrize("folder", ["val2017", "images"])
def test_lvis_names_its_images_by_their_addresses(tmp_path: Path, folder: str) -> None:
    url = "http://images.cocodataset.org/val2017/000000397133.jpg"
    images = [{"id": 397133, "coco_url": url, "width": 40, "height": 30, "neg_category_ids": []}]
    write_coco(tmp_path, images=images, annotations=[])
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / "images" / "a.jpg").rename(tmp_path / folder / "000000397133.jpg")
    (row,) = rows_of(FORMAT.open(tmp_path, ReaderOptions()))
    assert row.read_image() == (tmp_path / folder / "000000397133.jpg").read_bytes()


OURS = {
    "coco40", "roboflow_exports/sharks-tiny-coco", "roboflow_exports/sharks-tiny-coco/train",
    "datumaro_assets/coco_dataset/coco", "datumaro_assets/coco_dataset/coco_instances",
    "labelme_examples/instance_segmentation/data_dataset_coco",
}  # fmt: skip
OTHERS = {
    "refcoco", "labelme_examples/primitives", "qwen_vl_finetune/demo", "coco_parquet",
    "roboflow_exports/chess",
    "llamafactory_mllm", "voc_icevision/voc", "labelstudio_yolo/test_import_yolo_data",
    "datumaro_assets/coco_dataset/coco_captions", "datumaro_assets/datumaro_dataset",
}  # fmt: skip


@pytest.mark.parametrize("folder", sorted(OURS | OTHERS))
def test_it_knows_its_own(shared_data: Path, folder: str) -> None:
    if not (shared_data / folder).is_dir():
        pytest.skip(f"{folder} is not there")
    assert (FORMAT.recognise(shared_data / folder) is not None) == (folder in OURS)


def test_annotations_of_one_id_are_kept_and_said(tmp_path: Path) -> None:
    box = {"image_id": 3, "category_id": 1, "bbox": [1, 2, 10, 20]}
    path = write_coco(tmp_path, annotations=[{**box, "id": 1}, {**box, "id": 1, "category_id": 18}, box])
    source = FORMAT.open(path, ReaderOptions())
    said = "boxes: 1 of labels.json have the id of another annotation (the first: 1); they are kept"
    assert said in source.notes
    assert sum(len(row.boxes_xyxy_px) for row in rows_of(source)) == 3
    right = FORMAT.open(write_coco(tmp_path / "right"), ReaderOptions())
    assert not [note for note in right.notes if "have the id" in note]
