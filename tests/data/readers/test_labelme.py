"""LabelMe: real files against numbers read off them by eye, and what such files may have wrong."""

from __future__ import annotations

import base64
import io
import json

import pytest
from PIL import Image

from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.readers import formats
from paddle_ground.errors import DataError
from paddle_ground.records import read_truth

LABELME = next(one for one in formats() if one.name == "labelme")


def shape(points, kind="rectangle", label="cow", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}} | more


def labels(*shapes, **changes):
    value = {"version": "5.0", "flags": {}, "shapes": list(shapes), "imagePath": "a.jpg", "imageData": None}
    return {**value, "imageHeight": 100, "imageWidth": 200, **changes}


@pytest.fixture
def one_file(tmp_path, write_image):
    """Function that writes one label file beside its image, and gives the folder."""

    def write(value, name="a.json", image="a.jpg"):
        root = tmp_path / "set"
        write_image(root / image)
        text = value if isinstance(value, str | bytes) else json.dumps(value)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return root

    return write


# --- real files ------------------------------------------------------------------------------------------


def test_every_kind_of_shape(shared_data, open_as, rows_of):
    source = open_as("labelme", shared_data / "labelme_examples" / "primitives")
    (row,) = rows_of(source)
    names = [source.class_names[number] for number in row.category_ids]
    found = dict(zip(names, row.boxes_xyxy_px.tolist(), strict=True))
    assert names == ["rectangle", "circle", "rectangle", "polygon", "octagon"]
    assert row.boxes_xyxy_px[0].tolist() == [32, 35, 132, 135]
    # The middle is (195, 84), its rim goes through (225, 125): 30 and 41 away, 50.8035 in all.
    assert found["circle"] == pytest.approx([144.19646, 33.19646, 245.80354, 134.80354], abs=1e-4)
    assert found["polygon"] == [45, 318, 198, 406]
    # The mask is an image of 100 x 100 pixels, its points are the first and the last of them.
    assert found["octagon"] == pytest.approx([417.39759, 305, 517.39759, 405], abs=1e-4)
    assert source.notes == (
        "shapes: 1 left out, line has no area (the first: primitives.json: shapes[4])",
        "shapes: 1 left out, linestrip has no area (the first: primitives.json: shapes[6])",
        "shapes: 1 left out, point has no area (the first: primitives.json: shapes[5])",
    )


def test_rectangles(shared_data, open_as, rows_of):
    folder = shared_data / "labelme_examples" / "bbox_detection" / "data_annotated"
    rows = {row.where: row for row in rows_of(open_as("labelme", folder))}
    assert rows["2011_000003.json"].boxes_xyxy_px.tolist() == [
        [191.0, 107.36900369003689, 313.0, 329.36900369003695],
        [365.0, 83.0, 500.0, 333.0],
    ]
    assert rows["2011_000006.json"].boxes_xyxy_px[3].tolist() == [395, 81, 447, 117]
    assert [rows[name].size_wh for name in sorted(rows)] == [(500, 338), (500, 375), (500, 375)]
    assert rows["2011_000025.json"].read_image() == (folder / "2011_000025.jpg").read_bytes()


def test_an_image_inside_counts_before_one_beside(shared_data, open_as, rows_of):
    (row,) = rows_of(open_as("labelme", shared_data / "labelme_examples" / "tutorial"))
    assert Image.open(io.BytesIO(row.read_image())).size == row.size_wh == (1210, 907)
    assert row.boxes_xyxy_px[0].round(3).tolist() == [7.942, 80.762, 1181.942, 733.762]


def test_what_labelme_ignores_is_left_out(shared_data, open_as):
    source = open_as("labelme", shared_data / "labelme_examples" / "instance_segmentation")
    assert "__ignore__" not in source.class_names
    assert "person" in source.class_names
    assert any("labelled __ignore__ (the first: data_annotated/2011_000003.json" in n for n in source.notes)


def test_images_without_shapes_are_kept(shared_data, tmp_path):
    folder = shared_data / "labelme_examples" / "classification"
    counts = prepare(PrepareOptions(tmp_path / "out", folder, val_ratio=0)).splits[0].counts
    assert (counts["kept"], counts["empty"], counts["boxes"]) == (2, 2, 0)


REAL = {
    "labelme_examples/primitives": True,
    "labelme_examples/video_annotation": True,
    "labelme_examples/bbox_detection/data_annotated/2011_000003.json": True,
    "labelme_examples/bbox_detection/data_dataset_voc": False,
    "labelme_examples/instance_segmentation/data_dataset_coco": False,
    "datumaro_assets": False,
    "datumaro_assets/labelme_dataset": False,
    "voc_icevision": False,
    "roboflow_exports": False,
    "coco40": False,
    "coco_parquet": False,
    "labelstudio_yolo": False,
    "llamafactory_mllm": False,
    "obb_dota_mmrotate": False,
    "odd_images": False,
    "qwen_vl_finetune": False,
    "refcoco": False,
}


@pytest.mark.parametrize(("folder", "expected"), REAL.items())
def test_real_folders_are_taken_for_what_they_are(shared_data, folder, expected):
    assert (shared_data / folder).exists()
    assert (LABELME.recognise(shared_data / folder) is not None) == expected


def test_prepare_writes_the_boxes_of_a_real_folder(shared_data, tmp_path):
    out = tmp_path / "out"
    folder = shared_data / "labelme_examples" / "bbox_detection" / "data_annotated"
    prepare(PrepareOptions(out, folder, val_ratio=0))
    truth = read_truth(out / "train.truth.json")
    assert sum(box.box_xyxy_px == (395, 81, 447, 117) for box in truth.annotations) == 1
    boxes = [box for line in (out / "train.jsonl").open() for box in json.loads(line)["objects"]["bbox"]]
    assert len(boxes) == 9
    assert [790, 216, 894, 312] in boxes, "395 of 500 is 790 of 1000, 81 of 375 is 216"


# --- made ones -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (shape([[60, 70], [10, 20]]), [10, 20, 60, 70]),
        (shape([[1, 2], [9, 2], [9, 8], [1, 8]]), [1, 2, 9, 8]),
        (shape([[50, 50], [53, 54]], "circle"), [45, 45, 55, 55]),
        (shape([[5, 1], [9, 5], [5, 9], [1, 5]], "rotation"), [1, 1, 9, 9]),
        ({"label": "cow", "points": [[1, 2], [9, 2], [5, 8]]}, [1, 2, 9, 8]),
    ],
)
def test_shapes_become_the_boxes_around_them(one_file, open_as, rows_of, made, expected):
    (row,) = rows_of(open_as("labelme", one_file(labels(made))))
    assert row.boxes_xyxy_px.tolist() == [expected]


def test_shapes_without_an_area_are_counted(one_file, open_as, rows_of):
    none = [shape([[1, 2]]), shape([], "polygon"), shape([[1, 2]], "circle"), shape([[1, 2]], "a\nb")]
    source = open_as("labelme", one_file(labels(*none, shape([[1, 2], [3, 4]]))))
    assert [len(row.boxes_xyxy_px) for row in rows_of(source)] == [1]
    assert source.notes == (
        "shapes: 1 left out, circle has no area (the first: a.json: shapes[2])",
        "shapes: 1 left out, of an unknown shape_type (the first: a.json: shapes[3])",
        "shapes: 1 left out, polygon has no area (the first: a.json: shapes[1])",
        "shapes: 1 left out, rectangle has no area (the first: a.json: shapes[0])",
    )


def test_difficult_shapes_are_passed_over_by_scoring(one_file, open_as, rows_of):
    two = [shape([[1, 2], [3, 4]], difficult=difficult) for difficult in (True, False)]
    (row,) = rows_of(open_as("labelme", one_file(labels(*two))))
    assert row.is_crowd.tolist() == [True, False]


@pytest.mark.parametrize(
    "named", ["..\\images\\x.jpg", "../images/x.jpg", "images\\x.jpg", "x.jpg", "-x.jpg", "C:\\me\\a.jpg"]
)
def test_images_are_found_by_what_people_write(tmp_path, write_image, open_as, rows_of, named):
    inner = tmp_path / "labels"
    inner.mkdir()
    (inner / "a.json").write_text(json.dumps(labels(shape([[1, 2], [3, 4]]), imagePath=named)))
    image = {"-": "images/-x.jpg", "C": "images/a.jpg"}.get(named[0], "images/x.jpg")
    data = write_image(tmp_path / image).read_bytes()
    (row,) = rows_of(open_as("labelme", tmp_path))
    assert row.read_image() == data


@pytest.mark.parametrize(
    "named", ["../../secret.jpg", "/etc/hostname", "C:\\b.jpg", "a\0b", "..", "x" * 10_000]
)
def test_no_image_outside_is_read(tmp_path, write_image, one_file, open_as, rows_of, named):
    write_image(tmp_path / "secret.jpg")
    root = one_file(labels(shape([[1, 2], [3, 4]]), imagePath=named), image="other.jpg")
    (row,) = rows_of(open_as("labelme", root))
    with pytest.raises(DataError, match=r"^a\.json: "):
        row.read_image()


def test_links_out_are_refused(tmp_path, write_image, one_file, open_as, rows_of):
    outside = write_image(tmp_path / "secret.jpg")
    root = one_file(labels(shape([[1, 2], [3, 4]])))
    (root / "a.jpg").unlink()
    (root / "a.jpg").symlink_to(outside)
    (row,) = rows_of(open_as("labelme", root))
    with pytest.raises(DataError, match=r"a\.json: 'a\.jpg' is a link out of set"):
        row.read_image()
    (tmp_path / "b.json").write_text(json.dumps(labels()))
    (root / "b.json").symlink_to(tmp_path / "b.json")
    with pytest.raises(DataError, match=r"b\.json: a link out of set"):
        open_as("labelme", root)


def test_an_embedded_image_needs_no_file(tmp_path, one_file, open_as, rows_of):
    root = one_file(labels())
    data = (root / "a.jpg").read_bytes()
    (root / "a.jpg").unlink()
    value = labels(shape([[1, 2], [3, 4]]), imageData=base64.b64encode(data).decode(), imagePath=None)
    (root / "a.json").write_text(json.dumps(value | {"imagePath": ""}))
    prepare(PrepareOptions(tmp_path / "out", root, val_ratio=0))
    (image,) = (tmp_path / "out" / "images").iterdir()
    assert image.read_bytes() == data


def test_a_long_file_is_known_by_its_beginning(one_file):
    data = base64.b64encode(bytes(1 << 20)).decode()
    assert LABELME.recognise(one_file({"imageData": data, "imagePath": "a.jpg", "shapes": []}))


def test_checkpoints_of_notebooks_are_no_labels(one_file, open_as):
    root = one_file(labels(shape([[1, 2], [3, 4]])))
    (root / ".ipynb_checkpoints").mkdir()
    (root / ".ipynb_checkpoints" / "a-checkpoint.json").write_text(json.dumps(labels()))
    (root / "annotations.json").write_text('{"images": []}')
    (root / "folder.json").mkdir()
    source = open_as("labelme", root)
    assert sum(chunk.rows for chunk in source.chunks) == 1
    assert source.notes == ("files: 1 *.json left out, no LabelMe shapes (the first: 'annotations.json')",)


BROKEN = [
    (json.dumps(labels(shape([[1, 2], [3, 4]])))[:-9], r"a\.json: not valid JSON"),
    (
        json.dumps(labels(shape([[1, 2], [3, 4]], label="x"))).replace('"x"', '"\xff"').encode("latin-1"),
        "UTF-8",
    ),
    (labels(shape([[1, 2, 3], [3, 4]])), r"a\.json: shapes\[0\]: the point \[1, 2, 3\]; expected \[x, y\]"),
    (labels(shape([["1", 2], [3, 4]])), r"a\.json: shapes\[0\]: the point"),
    (labels(shape(None)), r"a\.json: shapes\[0\]: `points` is null"),
    (labels(shape([[1, 2], [3, 4]], label=7)), r"a\.json: shapes\[0\]: `label` should be a string"),
    (labels(shape([[1, 2], [3, 4]], label=" ")), "blank class name"),
    (labels(shapes=[3]), r"a\.json: shapes\[0\]: expected a JSON object"),
    (labels(shapes={}), r"a\.json: `shapes` should be a list"),
    (labels(imagePath=3), r"a\.json: `imagePath` should be a string"),
    (labels(imageWidth="wide"), r"a\.json: `imageWidth` should be a whole number"),
    (labels(imageData="$$$"), r"a\.json: imageData is not base64"),
    ('{"imagePath": "", "shapes": ' + "[" * 100_000, r"a\.json: not valid JSON"),
    ('{"imagePath": "", "shapes": [' + "9" * 10_000 + "]}", r"a\.json: not valid JSON"),
]


@pytest.mark.parametrize(("value", "message"), BROKEN, ids=range(len(BROKEN)))
def test_broken_files_are_refused_with_their_place(one_file, tmp_path, value, message):
    options = PrepareOptions(tmp_path / "out", one_file(value), val_ratio=0, source_format="labelme")
    with pytest.raises(DataError, match=message) as caught:
        prepare(options)
    assert "\n" not in str(caught.value)


def test_boxes_that_are_none_are_counted(one_file, tmp_path):
    nan, huge = float("nan"), 10**400
    pairs = [
        [[nan, 1], [2, 3]],
        [[1, nan], [2, 3]],
        [[5, 5], [5, 9]],
        [[0, 0], [huge, 9]],
        [[-9, -9], [0, 0]],
    ]
    root = one_file(labels(*(shape(pair) for pair in pairs), shape([[1, 2], [30, 40]])))
    counts = prepare(PrepareOptions(tmp_path / "out", root, val_ratio=0)).splits[0].counts
    assert counts["boxes"] == 1
    assert sum(number for name, number in counts.items() if name.startswith("skipped_")) == 5
