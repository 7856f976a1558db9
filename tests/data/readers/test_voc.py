"""Pascal VOC: real files against numbers read off them by eye, and what such files may have wrong."""

from __future__ import annotations

import json

import pytest

from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.readers import formats
from paddle_ground.errors import DataError
from paddle_ground.records import read_truth

VOC = next(one for one in formats() if one.name == "voc")


def an_object(name="cow", box=(10, 20, 60, 70), more=""):
    sides = "".join(
        f"<{side}>{v}</{side}>" for side, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name><bndbox>{sides}</bndbox>{more}</object>"


def xml(*objects, filename="a.jpg", size=(200, 100), database="Unknown"):
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
    source = f"<source><database>{database}</database></source>"
    return f"<annotation><filename>{filename}</filename>{source}{sides}{''.join(objects)}</annotation>"


@pytest.fixture
def one_file(tmp_path, write_image):
    """Function that writes one annotation beside its image, and gives the folder."""

    def write(text, name="a.xml", image="a.jpg"):
        root = tmp_path / "set"
        write_image(root / image)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return root

    return write


def boxes_of(rows):
    return {row.where.split("/")[-1]: row.boxes_xyxy_px.tolist() for row in rows}


# --- real files ------------------------------------------------------------------------------------------


def test_voc_s_own_files_count_pixels_from_one(shared_data, open_as, rows_of):
    source = open_as("voc", shared_data / "voc_icevision" / "voc")
    rows = rows_of(source)
    assert boxes_of(rows) == {
        "2007_000063.xml": [[122, 114, 379, 275], [74, 0, 428, 375]],
        "2011_003353.xml": [[129, 44.70000076293945, 375, 470]],
    }
    assert source.class_names == ("chair", "dog", "person")
    assert [row.category_ids.tolist() for row in rows] == [[1, 0], [2]]
    assert [row.size_wh for row in rows] == [(500, 375), (375, 500)]
    images = shared_data / "voc_icevision" / "voc" / "JPEGImages"
    assert rows[0].read_image() == (images / "2007_000063.jpg").read_bytes()


def test_what_other_tools_write_is_taken_as_it_stands(shared_data, open_as, rows_of):
    rows = rows_of(open_as("voc", shared_data / "voc_icevision" / "fridge"))
    found = boxes_of(rows)
    assert len(found) == 6
    assert found["10.xml"] == [[86, 102, 216, 439], [150, 377, 445, 490]]
    assert found["11.xml"] == [[56, 148, 209, 514], [328, 180, 449, 502]]
    assert all(row.size_wh == (499, 666) and row.read_image()[:2] == b"\xff\xd8" for row in rows)


def test_labelme_s_export_has_floats_and_empty_marks(shared_data, open_as, rows_of):
    rows = rows_of(open_as("voc", shared_data / "labelme_examples" / "bbox_detection" / "data_dataset_voc"))
    found = boxes_of(rows)["2011_000025.xml"]
    assert found[:2] == [[84, 20.384615384615387, 435, 373.38461538461536], [1, 99, 107, 282]]
    assert not any(row.is_crowd.any() for row in rows)


def test_parts_of_objects_are_no_objects(shared_data, open_as, rows_of):
    source = open_as("voc", shared_data / "datumaro_assets" / "voc_dataset" / "voc_dataset1")
    (row,) = rows_of(source)
    assert row.boxes_xyxy_px.tolist() == [[1, 2, 3, 4], [4, 5, 6, 7]]
    assert source.class_names == ("cat", "person")


def test_files_without_a_size_or_an_object_count(shared_data, open_as, rows_of):
    rows = rows_of(open_as("voc", shared_data / "datumaro_assets" / "voc_dataset" / "voc_dataset2"))
    found = boxes_of(rows)
    assert [row.size_wh for row in rows] == [None] * 5
    assert (found["@.xml"], found["a.xml"], found["c.xml"]) == ([], [[1, 2, 4, 6]], [[3, 1, 11, 6]])


def test_roboflow_s_folders_are_splits(shared_data, open_as, rows_of):
    source = open_as("voc", shared_data / "datumaro_assets" / "roboflow_dataset" / "voc")
    assert [(chunk.split, chunk.rows) for chunk in source.chunks] == [("train", 2), ("val", 1)]
    found = boxes_of(rows_of(source))
    assert (found["train_001.xml"], found["val_001.xml"]) == ([[2, 1, 5, 2]], [[0, 0, 1, 2], [0, 0, 9, 1]])


def test_a_name_without_its_ending_finds_its_image(shared_data, open_as, rows_of):
    folder = shared_data / "roboflow_exports" / "chess"
    rows = {row.where: row for row in rows_of(open_as("voc", folder))}
    assert len(rows) == 11
    first = rows["1be.xml"]
    assert first.name == "1be"
    assert first.boxes_xyxy_px[:2].tolist() == [[554, 101, 625, 213], [514, 249, 558, 313]]
    assert bytes(first.read_image()) == next(folder.glob("1be.j*")).read_bytes()


NOT_VOC = (
    *("coco40", "coco_parquet", "labelstudio_yolo", "llamafactory_mllm", "obb_dota_mmrotate", "odd_images"),
    *("qwen_vl_finetune", "refcoco", "roboflow_exports/sharks-tiny-coco", "voc_icevision/via"),
    *("datumaro_assets/labelme_dataset", "datumaro_assets/cvat_dataset", "datumaro_assets/kitti_dataset"),
    *("datumaro_assets/coco_dataset", "datumaro_assets/yolo_dataset", "datumaro_assets/imagenet_dataset"),
    *("labelme_examples/primitives", "labelme_examples/bbox_detection/data_annotated"),
)


@pytest.mark.parametrize("folder", NOT_VOC)
def test_other_folders_are_not_taken_for_voc(shared_data, folder):
    assert (shared_data / folder).exists()
    assert VOC.recognise(shared_data / folder) is None


def test_real_folders_are_recognised(shared_data):
    for folder in ("voc_icevision/voc", "voc_icevision/fridge", "roboflow_exports/chess"):
        assert "XML files" in VOC.recognise(shared_data / folder)
    one = shared_data / "voc_icevision" / "voc" / "Annotations" / "2007_000063.xml"
    assert VOC.recognise(one) is not None


def test_prepare_writes_the_boxes_of_a_real_folder(shared_data, tmp_path):
    out = tmp_path / "out"
    prepare(PrepareOptions(out, shared_data / "voc_icevision" / "voc", val_ratio=0))
    truth = read_truth(out / "train.truth.json")
    names = {category.id: category.name for category in truth.categories}
    found = sorted((names[box.category_id], box.box_xyxy_px) for box in truth.annotations)
    assert found[:2] == [("chair", (74, 0, 428, 375)), ("dog", (122, 114, 379, 275))]
    rows = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    boxes = [box for row in rows for box in row["objects"]["bbox"]]
    assert [148, 0, 856, 1000] in boxes, "74 of 500 is 148 of 1000, 428 is 856"


# --- made ones -------------------------------------------------------------------------------------------


def test_difficult_objects_are_passed_over_by_scoring(one_file, open_as, rows_of, tmp_path):
    marks = ("1", "0", "", "True", "Unspecified")
    objects = [an_object(f"c{m}", more=f"<difficult>{m}</difficult>") for m in marks]
    root = one_file(xml(*objects, an_object("plain")))
    source = open_as("voc", root)
    (row,) = rows_of(source)
    assert row.is_crowd.tolist() == [True, False, False, True, False, False]
    assert source.survey(source.chunks[0]).usable_boxes.tolist() == [4]
    prepare(PrepareOptions(tmp_path / "out", root, val_ratio=0))
    truth = read_truth(tmp_path / "out" / "train.truth.json")
    assert sorted(box.is_crowd for box in truth.annotations) == [False] * 4 + [True] * 2


def test_an_object_without_a_box_is_counted(one_file, open_as, rows_of):
    source = open_as("voc", one_file(xml("<object>\n<name>cow</name></object>", an_object())))
    assert [len(row.boxes_xyxy_px) for row in rows_of(source)] == [1]
    assert source.notes == ("shapes: 1 left out, objects without a bndbox (the first: a.xml:1)",)


def test_files_of_other_kinds_are_counted(one_file, open_as):
    root = one_file(xml(an_object()))
    (root / "empty.xml").touch()
    (root / "pom.xml").write_text("<project/>")
    assert open_as("voc", root).notes == (
        "files: 2 *.xml left out, no Pascal VOC annotations (the first: 'empty.xml')",
    )


@pytest.mark.parametrize("size", [None, (0, 0), (-3, 100)])
def test_a_missing_size_is_measured_at_the_image(one_file, open_as, rows_of, tmp_path, size):
    root = one_file(xml(an_object(), size=size))
    assert rows_of(open_as("voc", root))[0].size_wh is None
    prepare(PrepareOptions(tmp_path / "out", root, val_ratio=0))
    assert read_truth(tmp_path / "out" / "train.truth.json").images[0].size_wh == (200, 100)


def test_a_wrong_size_is_said(one_file, tmp_path):
    with pytest.raises(DataError, match=r"a\.xml: the image is 200 x 100 pixels but the row says 100 x 200"):
        prepare(PrepareOptions(tmp_path / "out", one_file(xml(an_object(), size=(100, 200))), val_ratio=0))


def test_the_label_file_s_own_name_counts_before_what_it_says(one_file, open_as, rows_of, write_image):
    root = one_file(xml(an_object(), filename="b.jpg"))
    other = write_image(root / "b.jpg", (30, 30))
    (row,) = rows_of(open_as("voc", root))
    assert row.read_image() == (root / "a.jpg").read_bytes() != other.read_bytes()
    (root / "a.jpg").unlink()
    (row,) = rows_of(open_as("voc", root))
    assert row.read_image() == other.read_bytes()


@pytest.mark.parametrize(
    ("label", "image"),
    [
        ("Annotations/a.xml", "JPEGImages/a.jpg"),
        ("train/annotations/a.xml", "train/images/a.png"),
        ("annotations/train/a.xml", "images/train/a.jpg"),
        ("Annotations/in/ner/a.xml", "JPEGImages/in/ner/a.jpg"),
        ("xml/a.xml", "a.jpg"),
        ("labels/a b ü.xml", "imgs/a b ü.jpg"),
    ],
)
def test_images_are_found_where_people_put_them(tmp_path, write_image, open_as, rows_of, label, image):
    (tmp_path / label).parent.mkdir(parents=True)
    (tmp_path / label).write_text(xml(an_object(), filename=""))
    data = write_image(tmp_path / image).read_bytes()
    (row,) = rows_of(open_as("voc", tmp_path))
    assert row.read_image() == data


def test_lists_and_folders_give_the_splits(tmp_path, write_image, open_as):
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (tmp_path / "Annotations").mkdir()
    for name in ("t1", "t 2", "v1", "both", "x1", "v 1", "none"):
        write_image(tmp_path / "JPEGImages" / f"{name}.jpg")
        (tmp_path / "Annotations" / f"{name}.xml").write_text(xml(an_object()))
    (lists / "train.txt").write_text("t1\n\nt 2 \n")
    (lists / "val.txt").write_text('"sub/v1"  1\nboth -1\nv 1\n')
    (lists / "trainval.txt").write_text("t1\nt 2\nv1\nboth\n")
    (lists / "test.txt").write_text("x1\n")
    source = open_as("voc", tmp_path)
    assert {chunk.split: chunk.rows for chunk in source.chunks} == {"train": 3, "val": 3}
    assert source.notes == ("splits: 1 files of test left out (--split-map test=val takes them)",)
    source = open_as("voc", tmp_path, split_map={"test": "val"})
    assert {chunk.split: chunk.rows for chunk in source.chunks} == {"train": 3, "val": 4}
    with pytest.raises(DataError, match="split 'maybe' is not one of train, val, none; mend the split map"):
        open_as("voc", tmp_path, split_map={"test": "maybe"})


def test_roboflow_s_folders_without_lists(tmp_path, write_image, open_as):
    for split in ("train", "valid", "test"):
        write_image(tmp_path / split / "a.jpg")
        (tmp_path / split / "a.xml").write_text(xml(an_object()))
    assert {chunk.split: chunk.rows for chunk in open_as("voc", tmp_path).chunks} == {"train": 1, "val": 1}


LAUGHS = '<!DOCTYPE a [<!ENTITY l "lol">' + "".join(
    f'<!ENTITY l{i} "{f"&l{i - 1 if i else str()};" * 10}">' for i in range(10)
)
BROKEN = [
    (LAUGHS + "]>" + xml(an_object("&l9;")), r"a\.xml:1: the XML declares a document type"),
    ("<?xml version='1.0'?>\n<!DOCTYPE annotation>\n" + xml(), r"a\.xml:2: the XML declares a document type"),
    (
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + xml(an_object("&x;")),
        r"a\.xml:1: the XML declares a document type",
    ),
    (xml("\n", an_object()).replace("</object>", ""), r"a\.xml:2: broken XML \(mismatched tag\); repair"),
    (xml(an_object())[:-20], r"a\.xml:1: broken XML"),
    (xml(an_object("&nope;")), r"a\.xml:1: broken XML \(undefined entity\)"),
    (xml(an_object("k\xfch")).encode("latin-1"), r"a\.xml:1: broken XML \(not well-formed"),
    (b'<?xml version="1.0" encoding="gb2312"?>' + xml(an_object()).encode(), r"a\.xml: unreadable XML"),
    (b'<?xml version="1.0" encoding="klingon"?>' + xml(an_object()).encode(), r"a\.xml(:1)?: (unread|brok)"),
    (xml(an_object(box=("", 1, 2, 3))), r"a\.xml:1: xmin is ''; expected a number of pixels"),
    (xml(an_object(box=(1, "two", 2, 3))), r"a\.xml:1: ymin is 'two'; expected a number"),
    (xml("<object><bndbox/></object>"), r"a\.xml:1: an object without a name; add <name>"),
    (xml(size=("wide", 3)), r"a\.xml: the width is 'wide'"),
    (xml("<a>" * 100 + "</a>" * 100), r"a\.xml: XML 32 levels deep"),
    (xml(an_object("n" * 200_000)), r"a\.xml:1: a text of more than 100000 characters"),
    (xml(an_object("a\nb")), r"class 'a\\nb' holds a control character"),
    (xml(an_object("<![CDATA[<|box_end|>]]>")), "can't be used"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN, ids=range(len(BROKEN)))
def test_broken_files_are_refused_with_their_place(one_file, tmp_path, text, message):
    options = PrepareOptions(tmp_path / "out", one_file(text), val_ratio=0, source_format="voc")
    with pytest.raises(DataError, match=message) as caught:
        prepare(options)
    assert "\n" not in str(caught.value)


def test_latin_1_is_read_where_the_file_says_so(one_file, open_as):
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + xml(an_object("Kühe &amp; Kälber"))
    assert open_as("voc", one_file(text.encode("latin-1"))).class_names == ("Kühe & Kälber",)


def test_boxes_that_are_none_are_counted(one_file, tmp_path):
    boxes = [("nan", 1, 2, 3), (5, 5, 5, 9), (9, 9, 1, 1), ("inf", 0, 9, 9), (300, 300, 400, 400)]
    root = one_file(xml(*(an_object(box=box) for box in boxes), an_object()))
    counts = prepare(PrepareOptions(tmp_path / "out", root, val_ratio=0)).splits[0].counts
    assert counts["boxes"] == 1
    assert sum(number for name, number in counts.items() if name.startswith("skipped_")) == 5


def test_a_class_that_is_not_listed_is_named(one_file, open_as):
    with pytest.raises(DataError, match="class 'cow' is not among the 1 of --classes"):
        open_as("voc", one_file(xml(an_object())), classes=("dog",))


def test_the_fingerprint_follows_labels_images_and_splits(one_file, open_as, write_image):
    root = one_file(xml(an_object()))
    seen = {open_as("voc", root).fingerprint}
    assert {open_as("voc", root).fingerprint} == seen
    write_image(root / "a.jpg", (210, 100))
    seen.add(open_as("voc", root).fingerprint)
    (root / "a.xml").write_text(xml(an_object(box=(10, 20, 60, 71))))
    seen.add(open_as("voc", root).fingerprint)
    seen.add(open_as("voc", root, split_map={"train": "val"}).fingerprint)
    assert len(seen) == 4
