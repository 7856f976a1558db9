"""Prepared data in other formats, read again: any format in, any out, and no box moved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.readers import ReaderOptions
from paddle_ground.data.readers.coco_json import FORMAT as COCO_JSON
from paddle_ground.data.source import SourceRow
from paddle_ground.data.writers import WRITER_NAMES, convert
from paddle_ground.errors import ConfigError, DataError, RecordError
from paddle_ground.records import read_samples, read_truth, truth_path

Boxes = dict[str, list[tuple[str, tuple[float, ...]]]]


def write_coco(folder: Path, boxes: list[tuple[int, tuple[float, float, float, float]]]) -> Path:
    """Two images, the first with all boxes (class, x, y, width, height), the second with none."""
    (folder / "images").mkdir(parents=True)
    images = []
    for number, size in enumerate(((301, 203), (64, 48)), 1):
        noise = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(noise).save(folder / "images" / f"bild {number}.png")
        images.append({"id": number, "file_name": f"bild {number}.png", "width": size[0], "height": size[1]})
    annotations = [
        {"id": i, "image_id": 1, "category_id": category, "bbox": list(box), "area": box[2] * box[3]}
        for i, (category, box) in enumerate(boxes, 1)
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "hot dog"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def boxes_by_content(samples: Path) -> Boxes:
    """Give the true boxes of each image by the image's bytes."""
    truth = read_truth(truth_path(samples))
    names = {category.id: category.name for category in truth.categories}
    found: Boxes = {}
    for image in truth.images:
        own = [box for box in truth.annotations if box.image_id == image.id and not box.is_crowd]
        content = (samples.parent / image.file_name).read_bytes().hex()
        found[content] = sorted((names[box.category_id], box.box_xyxy_px) for box in own)
    return found


def eighths(low: int, high: int) -> st.SearchStrategy[float]:
    """Numbers that no format needs many digits for, so that sorted boxes pair up after a trip."""
    return st.integers(low * 8, high * 8).map(lambda number: number / 8)


# Inside 301 x 203.
BOX = st.tuples(eighths(0, 200), eighths(0, 150), eighths(3, 100), eighths(3, 52))


@pytest.mark.parametrize("to", WRITER_NAMES)
@settings(max_examples=12)
@given(boxes=st.lists(st.tuples(st.integers(1, 2), BOX), max_size=4, unique_by=lambda one: one[1][:2]))
def test_a_round_trip_keeps_boxes_names_and_bytes(
    to: str, boxes: list[tuple[int, tuple[float, ...]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("trip")
    options = {"val_ratio": 0.0, "workers": 1}
    prepare(PrepareOptions(root / "first", source=write_coco(root / "source", boxes), **options))
    convert(root / "first", root / to, to)
    prepare(PrepareOptions(root / "again", source=root / to, **options))
    before = boxes_by_content(root / "first" / "train.jsonl")
    after = boxes_by_content(root / "again" / "train.jsonl")
    assert before.keys() == after.keys()
    # LLaMA-Factory's text holds thousandths of 301 x 203 pixels, ms-swift's numbers three decimals.
    tolerance = {"coco": 1e-9, "yolo": 1e-6, "swift": 6e-4, "llamafactory": 0.16, "paddle": 1e-9}[to]
    for content, expected in before.items():
        found = after[content]
        if to in ("coco", "yolo"):  # Of boxes that fall together in thousandths an answer has only one.
            assert sorted(name for name, _ in found) == sorted(name for name, _ in expected)
        assert {name for name, _ in found} == {name for name, _ in expected}
        # Not pair by pair: the last digit may change the order.
        assert all(is_among(one, expected, tolerance) for one in found)
        assert all(is_among(one, found, max(tolerance, 0.31)) for one in expected)


def is_among(
    one: tuple[str, tuple[float, ...]], others: list[tuple[str, tuple[float, ...]]], tolerance: float
) -> bool:
    return any(name == one[0] and np.allclose(box, one[1], rtol=0, atol=tolerance) for name, box in others)


@pytest.fixture(scope="module")
def prepared(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "coco"
    prepare(PrepareOptions(out, source=shared_data / "coco40"))
    return out


def test_pycocotools_reads_what_coco_json_says(prepared: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    convert(prepared, tmp_path / "coco", "coco")
    theirs = coco.COCO(str(tmp_path / "coco" / "annotations" / "instances_train.json"))
    truth = read_truth(truth_path(prepared / "train.jsonl"))
    assert len(theirs.getImgIds()) == len(truth.images)
    for box in truth.annotations:
        (found,) = theirs.loadAnns([box.id])
        left, top, right, bottom = box.box_xyxy_px
        assert found["bbox"] == pytest.approx([left, top, right - left, bottom - top])
        assert (found["area"], found["iscrowd"]) == (box.area, int(box.is_crowd))


def test_yolo_has_its_folders_and_counts_crowds(prepared: Path, tmp_path: Path) -> None:
    report = convert(prepared, tmp_path / "yolo", "yolo")
    config = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text(encoding="utf-8"))
    assert (config["train"], config["val"], len(config["names"])) == ("images/train", "images/val", 80)
    truth = read_truth(truth_path(prepared / "train.jsonl"))
    crowds = sum(box.is_crowd for box in truth.annotations)
    assert report.counts["train crowd boxes left out"] == crowds == 5
    lines = [
        line
        for file in (tmp_path / "yolo" / "labels" / "train").iterdir()
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    assert len(lines) == len(truth.annotations) - crowds
    assert len(list((tmp_path / "yolo" / "labels" / "train").iterdir())) == len(truth.images)


def test_several_questions_become_one_image(shared_data: Path, tmp_path: Path) -> None:
    options = PrepareOptions(tmp_path / "asked", source=shared_data / "coco40", task="classes", ask="each")
    prepare(options)
    convert(tmp_path / "asked", tmp_path / "coco", "coco")
    split = "train"
    asked = read_truth(truth_path(tmp_path / "asked" / f"{split}.jsonl"))
    assert len(asked.images) > len({image.file_name for image in asked.images})
    once = read_truth(tmp_path / "coco" / "annotations" / f"instances_{split}.json")
    assert len(once.images) == len({image.file_name for image in asked.images})
    by_id = {image.id: image.file_name for image in asked.images}
    expected = {(by_id[box.image_id], box.category_id, box.box_xyxy_px) for box in asked.annotations}
    names = {image.id: image.file_name for image in once.images}
    found = [(names[box.image_id], box.category_id, box.box_xyxy_px) for box in once.annotations]
    assert sorted(found) == sorted(expected)


def test_llamafactory_gets_whole_answers_and_its_register(prepared: Path, tmp_path: Path) -> None:
    convert(prepared, tmp_path / "lf", "llamafactory")
    register = json.loads((tmp_path / "lf" / "dataset_info.json").read_text(encoding="utf-8"))
    assert set(register) == {"paddle_ground_train", "paddle_ground_val"}
    rows = json.loads((tmp_path / "lf" / "train.json").read_text(encoding="utf-8"))
    samples = list(read_samples(prepared / "train.jsonl"))
    assert len(rows) == len(samples)
    for row, sample in zip(rows, samples, strict=True):
        question, answer = row["conversations"]
        assert question == {"from": "human", "value": sample.messages[0].content}
        for ref, box in zip(sample.refs, sample.boxes, strict=True):
            x1, y1, x2, y2 = box
            marked = (
                f"<|object_ref_start|>{ref}<|object_ref_end|><|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
            )
            assert marked in answer["value"]


def test_llamafactory_finds_every_column_and_the_system_turn(prepared: Path, tmp_path: Path) -> None:
    line = json.loads((prepared / "train.jsonl").read_text(encoding="utf-8").split("\n")[0])
    line["messages"].insert(0, {"role": "system", "content": "Be exact."})
    own = tmp_path / "own"
    (own / "images").mkdir(parents=True)
    (own / line["images"][0]).write_bytes((prepared / line["images"][0]).read_bytes())
    (own / "train.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    convert(own, tmp_path / "lf", "llamafactory")
    (row,) = json.loads((tmp_path / "lf" / "train.json").read_text(encoding="utf-8"))
    assert row["conversations"][0] == {"from": "system", "value": "Be exact."}
    register = json.loads((tmp_path / "lf" / "dataset_info.json").read_text(encoding="utf-8"))
    # Its converter reads every column that is named from every row.
    assert set(register["paddle_ground_train"]["columns"].values()) <= set(row)


@pytest.mark.parametrize("to", WRITER_NAMES)
@pytest.mark.parametrize("name", ["../secret.jpg", "{root}/secret.jpg"])
def test_paths_that_lead_out_are_refused(to: str, name: str, prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    evil = tmp_path / "evil"
    evil.mkdir()
    named = name.format(root=tmp_path)
    for path in prepared.glob("train.*"):
        text = path.read_text(encoding="utf-8")
        first = json.loads((prepared / "train.jsonl").read_text(encoding="utf-8").split("\n")[0])["images"][0]
        (evil / path.name).write_text(text.replace(first, named), encoding="utf-8")
    with pytest.raises((DataError, RecordError), match="secret"):
        convert(evil, tmp_path / "out", to)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil", "secret.jpg"]


def test_images_are_links_or_copies_of_the_same_bytes(prepared: Path, tmp_path: Path) -> None:
    for name, link in (("linked", True), ("copied", False)):
        convert(prepared, tmp_path / name, "swift", link=link)
        for image in (prepared / "images").iterdir():
            other = tmp_path / name / "images" / image.name
            assert other.read_bytes() == image.read_bytes()
            assert not other.is_symlink()
            if not link:
                assert other.stat().st_ino != image.stat().st_ino


def test_nothing_half_written_and_nothing_of_others_lost(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match="expected a new or empty folder"):
        convert(prepared, tmp_path / "mine", "coco")
    with pytest.raises(ConfigError, match="known: swift, llamafactory, coco, yolo, paddle"):
        convert(prepared, tmp_path / "out", "tfrecord")
    with pytest.raises(DataError, match=r"neither train\.jsonl nor val\.jsonl"):
        convert(tmp_path / "mine", tmp_path / "out", "coco")
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("train.jsonl", "train.meta.json", "train.truth.json"):
        (broken / name).write_bytes((prepared / name).read_bytes())
    with pytest.raises(DataError, match="is missing"):
        convert(broken, tmp_path / "out", "yolo")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "mine"]


def test_a_source_that_came_out_opens_as_its_format(prepared: Path, tmp_path: Path) -> None:
    convert(prepared, tmp_path / "coco", "coco")
    source = COCO_JSON.open(tmp_path / "coco", ReaderOptions())
    (row, *_) = source.read(source.chunks[0], np.arange(1))
    assert isinstance(row, SourceRow)
    assert bytes(row.read_image())[:2] == b"\xff\xd8"
