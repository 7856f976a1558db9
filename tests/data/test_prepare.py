"""prepare, end to end: the output's contract, the same bytes every time, and what stops it."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from paddle_ground.data.expand import quick_key
from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.synth import SceneStyle, write_synth
from paddle_ground.errors import ConfigError, DataError, PaddleGroundError
from paddle_ground.files import sha256_file
from paddle_ground.records import meta_path, read_meta, read_samples, read_truth, resolve_image, truth_path
from paddle_ground.spaces import RELATIVE_1000

PLAIN_BOX = (20.0, 12.0, 60.0, 40.0)


def contents(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_contract(output_dir: Path, splits: tuple[str, ...] = ("train", "val")) -> dict[str, set[str]]:
    """Check all that must hold of a finished output, and give the image hashes of each split."""
    hashes: dict[str, set[str]] = {}
    named: set[str] = set()
    for split in splits:
        path = output_dir / f"{split}.jsonl"
        samples, truth, meta = (
            list(read_samples(path)),
            read_truth(truth_path(path)),
            read_meta(meta_path(path)),
        )
        assert meta.samples_sha256 == sha256_file(path)
        assert meta.counts["kept"] == len(samples) == len(truth.images)
        assert meta.counts["boxes"] == sum(not box.is_crowd for box in truth.annotations)
        assert [sample.images for sample in samples] == [(image.file_name,) for image in truth.images]
        assert tuple(category.name for category in truth.categories) == meta.class_names
        sizes = {image.id: image for image in truth.images}
        for sample, image in zip(samples, truth.images, strict=True):
            boxes = [b for b in truth.annotations if b.image_id == image.id and not b.is_crowd]
            exact = RELATIVE_1000.encode([b.box_xyxy_px for b in boxes], sizes[image.id].size_wh)
            labels = [meta.class_names[b.category_id] for b in boxes]
            expected = sorted(zip(labels, map(tuple, exact.tolist()), strict=True))
            assert sorted(zip(sample.refs, sample.boxes, strict=True)) == expected
        files = [resolve_image(path, image.file_name) for image in truth.images]
        named |= {file.name for file in files}
        hashes[split] = {sha256_file(file) for file in files}
    assert {entry.name for entry in (output_dir / "images").iterdir()} == named
    assert not list(output_dir.glob(".*"))
    return hashes


def test_the_outputs_keep_their_contract(source_dir, tmp_path):
    seen = []
    report = prepare(PrepareOptions(tmp_path / "out", source=source_dir), lambda *done: seen.append(done))
    hashes = check_contract(tmp_path / "out")
    assert not hashes["train"] & hashes["val"]
    assert [(result.split, result.counts["kept"]) for result in report.splits] == [("train", 26), ("val", 5)]
    assert report.samples_path("val") == tmp_path / "out" / "val.jsonl"
    assert not report.reused
    assert seen[-1] == (31, 31)
    meta = read_meta(tmp_path / "out" / "train.meta.json")
    assert (meta.source, meta.coordinate_space, meta.answer_format) == ("source", "relative_1000", "tokens")
    assert meta.prompt == "Task: Object Detection"
    assert not [value for value in meta.settings.values() if str(tmp_path) in value]


def test_real_coco_agrees_with_its_own_json(shared_data, tmp_path):
    prepare(PrepareOptions(tmp_path / "out", source=shared_data / "coco_parquet"))
    check_contract(tmp_path / "out")
    document = json.loads((shared_data / "coco40" / "instances.json").read_text())
    names = {category["id"]: category["name"] for category in document["categories"]}
    images = {image["id"]: image for image in document["images"]}
    # From COCO's xywh to thousandths, without any code of ours.
    expected: dict[str, list[tuple[object, ...]]] = {f"{image_id:012d}": [] for image_id in images}
    for a in document["annotations"]:
        if not a["iscrowd"]:
            x, y, w, h = a["bbox"]
            sides = (images[a["image_id"]]["width"], images[a["image_id"]]["height"])
            corners = (x / sides[0], y / sides[1], (x + w) / sides[0], (y + h) / sides[1])
            exact = np.array(corners) * 1000
            expected[f"{a['image_id']:012d}"].append((names[a["category_id"]], *exact))
    found = 0
    for split in ("train", "val"):
        for sample in read_samples(tmp_path / "out" / f"{split}.jsonl"):
            stem = Path(sample.images[0]).stem
            own = expected.pop(stem)
            assert sorted(sample.refs) == sorted(str(row[0]) for row in own)
            for ref, box in zip(sample.refs, sample.boxes, strict=True):
                distances = [
                    np.abs(np.array(box) - np.array(row[1:], float)).max() for row in own if row[0] == ref
                ]
                assert min(distances) <= 0.5 + 1e-9
                found += 1
            original = shared_data / "coco40" / "images" / f"{stem}.jpg"
            assert (tmp_path / "out" / sample.images[0]).read_bytes() == original.read_bytes()
    assert not expected
    assert found == 344
    crowds = [box for box in read_truth(tmp_path / "out" / "val.truth.json").annotations if box.is_crowd]
    assert len(crowds) == 4


def test_the_truth_is_exact(shared_data, tmp_path):
    prepare(PrepareOptions(tmp_path / "out", source=shared_data / "coco_parquet"))
    document = json.loads((shared_data / "coco40" / "instances.json").read_text())
    ours = [json.loads((tmp_path / "out" / f"{split}.truth.json").read_text()) for split in ("train", "val")]
    rows = [
        np.array(sorted([a["image_id"], a["iscrowd"], a["area"], *a["bbox"]] for a in annotations))
        for annotations in (ours[0]["annotations"] + ours[1]["annotations"], document["annotations"])
    ]
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-9)


@pytest.mark.parametrize("answer_format", ["tokens", "json"])
def test_synthetic_scenes_take_the_same_way(tmp_path, answer_format):
    synth = write_synth(tmp_path / "synth", 12, 4, style=SceneStyle(side_px=48))
    options = PrepareOptions(tmp_path / "out", source=synth.root, answer_format=answer_format)
    report = prepare(options)
    assert [result.counts["kept"] for result in report.splits] == [12, 4]
    sample = next(read_samples(tmp_path / "out" / "train.jsonl"))
    meta = read_meta(tmp_path / "out" / "train.meta.json")
    assert meta.class_names == synth.class_names
    assert meta.answer_format == answer_format
    assert ("'red circle'" in sample.prompt) == (answer_format == "json")
    assert (sample.target.count("<bbox>") > 0) == (answer_format == "tokens")
    assert ("bbox_2d" in sample.target) == (answer_format == "json")


def test_workers_and_places_change_no_byte(source_dir, tmp_path):
    options = {"total_samples": 20, "val_ratio": 0.2, "source": source_dir}
    expected = None
    for workers in (1, 2, 5):
        output_dir = tmp_path / f"out{workers}"
        prepare(PrepareOptions(output_dir, workers=workers, **options))
        expected = expected or contents(output_dir)
        assert contents(output_dir) == expected
    assert len(expected) == 20 + 6
    prepare(PrepareOptions(tmp_path / "other", seed=43, **options))
    assert contents(tmp_path / "other").keys() != expected.keys()


@pytest.mark.parametrize(
    ("changes", "train", "val"),
    [
        ({"total_samples": 10, "val_ratio": 0.2}, 8, 2),
        ({"split_map": {"val": "none"}, "val_ratio": 0.5}, 13, 13),  # no val: drawn from train
        ({"split_map": {"val": "train"}, "val_ratio": 0.0}, 31, None),
        ({"split_map": {"train": "val", "val": "train"}}, 5, 26),
        ({"val_ratio": 0.0, "total_samples": 7}, 7, None),
    ],
)
def test_splits_are_shared_out_as_asked(source_dir, tmp_path, changes, train, val):
    prepare(PrepareOptions(tmp_path / "out", source=source_dir, **changes))
    hashes = check_contract(tmp_path / "out", ("train", "val") if val else ("train",))
    assert len(hashes["train"]) == train
    assert len(hashes.get("val", ())) == (val or 0)
    assert (tmp_path / "out" / "val.jsonl").exists() == bool(val)
    assert not hashes["train"] & hashes.get("val", set())


def test_what_is_done_is_not_done_again(source_dir, tmp_path):
    options = PrepareOptions(tmp_path / "out", source=source_dir)
    first = prepare(options)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = prepare(dataclasses.replace(options, workers=3))
    assert again.reused
    assert [result.counts for result in again.splits] == [result.counts for result in first.splits]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


@pytest.mark.parametrize(
    "damage", ["images/000000000003.png", "train.jsonl", "val.truth.json", "train.meta.json"]
)
def test_what_was_damaged_is_made_again(source_dir, tmp_path, damage):
    options = PrepareOptions(tmp_path / "out", source=source_dir)
    prepare(options)
    before = contents(tmp_path / "out")
    (tmp_path / "out" / damage).unlink()
    if damage == "train.jsonl":
        (tmp_path / "out" / damage).write_text("changed\n")
    assert not prepare(options).reused
    assert contents(tmp_path / "out") == before


def test_another_job_replaces_the_result_as_a_whole(source_dir, tmp_path):
    prepare(PrepareOptions(tmp_path / "out", source=source_dir))
    changed = PrepareOptions(tmp_path / "out", source=source_dir, total_samples=4, val_ratio=0.0)
    prepare(changed)
    prepare(dataclasses.replace(changed, output_dir=tmp_path / "fresh"))
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_the_same_image_is_never_in_both_splits_nor_twice(tmp_path, make_row, image_bytes, write_shard):
    root = tmp_path / "source"
    shared = image_bytes(7)
    train = [make_row(1, data=shared), make_row(2), make_row(3), make_row(4, data=image_bytes(2))]
    write_shard(root / "train-0.parquet", train)
    write_shard(root / "val-0.parquet", [make_row(1000), make_row(1, data=shared)])
    report = prepare(PrepareOptions(tmp_path / "out", source=root))
    hashes = check_contract(tmp_path / "out")
    assert not hashes["train"] & hashes["val"]
    assert [result.counts["kept"] for result in report.splits] == [2, 2]  # val keeps its images
    assert report.splits[0].counts["skipped_duplicate_image"] == 2
    assert report.splits[0].examples["duplicate_image"][0].startswith("images/")


def test_equal_checksums_alone_are_no_reason_to_drop_an_image(tmp_path, one_shard, make_row, monkeypatch):
    monkeypatch.setattr("paddle_ground.data.expand.zlib", SimpleNamespace(crc32=lambda data: 0))
    prepare(
        PrepareOptions(tmp_path / "out", source=one_shard(*[make_row(i) for i in range(8)]), val_ratio=0.5)
    )
    hashes = check_contract(tmp_path / "out")
    assert len(hashes["train"] | hashes["val"]) == 8


def test_large_images_that_differ_in_one_byte_are_all_kept(tmp_path, one_shard, make_row):
    stream = io.BytesIO()
    Image.effect_noise((200, 200), 90).convert("RGB").save(stream, "BMP")
    whole = stream.getvalue()
    place = next(
        i for i in range(2000, 9000) if quick_key(whole[:i] + b"x" + whole[i + 1 :]) == quick_key(whole)
    )
    images = [whole[:place] + bytes([value]) + whole[place + 1 :] for value in (1, 2, 3, 4, 1, 5, 4)]
    rows = [make_row(number, data=data, size_wh=(200, 200)) for number, data in enumerate(images)]
    report = prepare(
        PrepareOptions(tmp_path / "out", source=one_shard(*rows), val_ratio=0.0, bbox_format="xyxy")
    )
    assert report.splits[0].counts["skipped_duplicate_image"] == 2
    kept = [(tmp_path / "out" / "images" / f"{number:012d}.bmp").read_bytes() for number in (0, 1, 2, 3, 5)]
    assert kept == [images[number] for number in (0, 1, 2, 3, 5)]


def test_images_with_one_id_get_names_of_their_own(tmp_path, one_shard, make_row, image_bytes):
    rows = [make_row(5, data=image_bytes(shade)) for shade in range(3)]
    prepare(PrepareOptions(tmp_path / "out", source=one_shard(*rows), val_ratio=0.0))
    names = {path.name for path in (tmp_path / "out" / "images").iterdir()}
    assert names == {"000000000005.png", "000000000005_1.png", "000000000005_2.png"}
    check_contract(tmp_path / "out", ("train",))


def test_files_are_named_by_their_real_format(tmp_path, one_shard, make_row, image_bytes):
    rows = [
        make_row(i, data=image_bytes(i, kind=kind)) for i, kind in enumerate(("JPEG", "PNG", "WEBP", "BMP"))
    ]
    prepare(PrepareOptions(tmp_path / "out", source=one_shard(*rows), val_ratio=0.0))
    suffixes = sorted(path.suffix for path in (tmp_path / "out" / "images").iterdir())
    assert suffixes == [".bmp", ".jpg", ".png", ".webp"]


@pytest.mark.parametrize(("keep_empty", "kept", "empty"), [(True, 4, 3), (False, 1, 0)])
def test_images_without_boxes_are_kept_or_dropped(tmp_path, one_shard, make_row, keep_empty, kept, empty):
    crowd = make_row(3)["objects"] | {"bbox_id": [900_100_000_003]}
    rows = [make_row(0), make_row(1, []), make_row(2, [[9, 9, 9, 9]]), make_row(3, objects=crowd)]
    source = one_shard(*rows)
    report = prepare(PrepareOptions(tmp_path / "out", source=source, keep_empty=keep_empty, val_ratio=0.0))
    counts = report.splits[0].counts
    assert (counts["kept"], counts["empty"]) == (kept, empty)


def test_bad_boxes_are_counted_with_their_place(tmp_path, one_shard, make_row):
    nan = float("nan")
    boxes = [PLAIN_BOX, [1, 1, 1, 9], [nan, 1, 5, 5], [70, 1, 90, 9], [50, 1, 90, 9]]
    source = one_shard(make_row(0), make_row(1, boxes))
    report = prepare(PrepareOptions(tmp_path / "out", source=source, val_ratio=0.0))
    (result,) = report.splits
    expected = {"kept": 2, "boxes": 3, "clipped_boxes": 1}
    expected |= {"skipped_empty_box": 1, "skipped_nan_box": 1, "skipped_outside_box": 1}
    assert {name: number for name, number in result.counts.items() if number} == expected
    assert result.examples["nan_box"] == ("train-00000-of-00001.parquet:1 box 2: [nan, 1.0, 5.0, 5.0]",)
    assert read_meta(tmp_path / "out" / "train.meta.json").counts == result.counts


# How each row is wrong, and the one line that must say so.
BAD_ROWS = [
    ({"image": {"bytes": None, "path": None}}, r"parquet:1: the image is missing"),
    (
        {"image": {"bytes": b"not an image", "path": None}},
        r"parquet:1: these 12 bytes are no image .* --bad-images",
    ),
    ({"image": {"bytes": None, "path": "../../etc/passwd"}}, r"parquet:1: path .* leads out"),
    ({"width": 48, "height": 64}, r"parquet:1: the image is 64 x 48 pixels but the row says 48 x 64.* EXIF"),
    ({"width": 64, "height": 64}, r"but the row says 64 x 64, so its boxes may be wrong; mend the row"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD_ROWS)
def test_a_bad_image_stops_the_run_or_is_skipped(tmp_path, one_shard, make_row, wrong, message):
    source = one_shard(make_row(0), make_row(1, **wrong), *[make_row(i) for i in range(2, 9)])
    options = PrepareOptions(tmp_path / "out", source=source, bbox_format="xyxy", val_ratio=0.0)
    with pytest.raises(DataError, match=message) as caught:
        prepare(options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists() or not contents(tmp_path / "out")
    report = prepare(dataclasses.replace(options, bad_images="skip"))
    assert report.splits[0].counts["kept"] == 8
    assert report.splits[0].counts["skipped_bad_image"] == 1
    check_contract(tmp_path / "out", ("train",))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda shard: shard.write_bytes(shard.read_bytes()[:-100]),
            r"val-.*parquet: not a readable parquet shard",
        ),
        (lambda shard: shard.write_bytes(b""), r"val-.*parquet: not a readable parquet shard"),
        (
            lambda shard: shard.write_bytes(_flip(shard.read_bytes())),
            r"val-.*parquet: not a readable parquet shard",
        ),
    ],
)
def test_a_corrupt_shard_leaves_nothing(source_dir, tmp_path, break_it, message):
    break_it(next((source_dir / "data").glob("val-*")))
    with pytest.raises(DataError, match=message):
        prepare(PrepareOptions(tmp_path / "out", source=source_dir))
    assert not (tmp_path / "out").exists() or not contents(tmp_path / "out")


def _flip(data: bytes) -> bytes:
    # Within the first pages: the footer still reads, the content does not.
    return data[:8] + bytes(255 - byte for byte in data[8:400]) + data[400:]


def test_an_unknown_category_is_found_before_anything_is_written(tmp_path, one_shard, make_row):
    source = one_shard(make_row(0), make_row(1, [PLAIN_BOX], [80]))
    with pytest.raises(DataError, match=r"parquet:1: category 80 of box 0 is not among the 80 classes"):
        prepare(PrepareOptions(tmp_path / "out", source=source))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total_samples": 0}, "total_samples is 0"),
        ({"val_ratio": 1.0}, "val_ratio is 1"),
        ({"seed": -1}, "seed is -1"),
        ({"workers": -1}, "workers is -1"),
        ({"bbox_format": "yxyx"}, "bbox_format is 'yxyx'; it must be auto, xyxy or xywh"),
        ({"box_order": "shuffled"}, "box_order is 'shuffled'; it must be position, size, class,"),
        ({"bad_images": "keep"}, "bad_images is 'keep'"),
        ({"answer_format": "yaml"}, "unknown answer format 'yaml'"),
        ({"coordinate_space": "pixels"}, "unknown coordinate space 'pixels'"),
        ({"prompt": " "}, "the prompt is blank"),
        ({"prompt": "caf\udce9"}, r"the prompt is not UTF-8 text \(character 4\)"),
        ({"prompt": "<image>find"}, "the prompt holds <image>"),
        ({"source": Path("nowhere")}, "nowhere: no such folder"),
        ({"classes": Path("nowhere.txt")}, "nowhere.txt: cannot read the class names"),
    ],
)
def test_options_that_can_not_work_are_refused(source_dir, tmp_path, changes, message):
    options = PrepareOptions(tmp_path / "out", source=source_dir)
    with pytest.raises(PaddleGroundError, match=message):
        prepare(dataclasses.replace(options, **changes))
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_named(source_dir, tmp_path):
    (tmp_path / "file").write_text("")
    for output_dir in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(DataError, match=r"file(/out)?: cannot write here .*; choose a folder"):
            prepare(PrepareOptions(output_dir, source=source_dir))


def test_somebody_elses_files_are_left_alone(source_dir, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "holiday.jpg").write_bytes(b"dear")
    with pytest.raises(DataError, match="images: prepare did not make this but would replace it"):
        prepare(PrepareOptions(tmp_path, source=source_dir))
    assert (tmp_path / "images" / "holiday.jpg").read_bytes() == b"dear"


def test_nothing_left_to_keep_is_an_error(tmp_path, one_shard, make_row):
    with pytest.raises(DataError, match="no image has a usable box; pass --keep-empty"):
        prepare(PrepareOptions(tmp_path / "out", source=one_shard(make_row(0, [])), keep_empty=False))
    broken = one_shard(make_row(0, data=b"broken"))
    with pytest.raises(DataError, match=r"no sample is left \(bad_image: .*parquet:0"):
        prepare(PrepareOptions(tmp_path / "out", source=broken, bad_images="skip"))


def test_a_full_disk_keeps_what_is_done(source_dir, tmp_path, monkeypatch):
    options = PrepareOptions(tmp_path / "out", source=source_dir, workers=1)
    prepare(dataclasses.replace(options, output_dir=tmp_path / "expected"))
    real_open, opened = os.open, []

    def full(path, flags, *args, **kwargs):
        if str(path).endswith(".png") and flags & os.O_CREAT:
            opened.append(path)
            if len(opened) == 10:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(DataError, match="No space left on device"):
        prepare(options)
    assert not list((tmp_path / "out").glob("*.jsonl"))
    opened.clear()
    opened.extend([Path()] * 100)  # From now on there is room.
    prepare(options)
    assert len(opened) - 100 < 31
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_options_are_checked_before_a_download(tmp_path, monkeypatch):
    monkeypatch.setattr("paddle_ground.data.prepare.download_dataset", lambda repo: pytest.fail("downloads"))
    with pytest.raises(ConfigError):
        prepare(PrepareOptions(tmp_path / "out", val_ratio=2))
