"""One image that becomes several, conversations, and what merging leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from paddle_ground.cli import app
from paddle_ground.data.augment import expander as expander_module
from paddle_ground.data.augment.stage import AugmentOptions
from paddle_ground.data.curriculum import CurriculumOptions
from paddle_ground.data.expand import Variant, content_key
from paddle_ground.data.given import read_augment
from paddle_ground.data.relabel import ClassChoice
from paddle_ground.data.source import ChunkFacts, DialogueRow
from paddle_ground.data.tiling import TileOptions
from paddle_ground.errors import ConfigError, DataError
from paddle_ground.files import sha256_file
from paddle_ground.records import Message, meta_path, read_meta, read_samples, read_truth, truth_path
from paddle_ground.records.samples import BOX_MARK, IMAGE_MARK, REF_MARK

CAT, DOG = 0, 1
BOX = (10, 10, 50, 50)


class Doubled:
    """Gives each train image twice, the second one part later, and shows in it whatever it is told."""

    def __init__(self, also_seen: tuple[str, ...] = ()) -> None:
        self._also_seen = also_seen

    def fresh(self) -> Doubled:
        return self

    def expand(self, row: Any, data: Any, size_wh: Any, split: str) -> Iterator[Variant]:
        key = content_key(data)
        yield Variant(row, data, "", sources=(key,))
        if split == "train":
            yield Variant(row, data, "_again", 1, (key, *self._also_seen))


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Function that puts `Doubled` in the place of the real expander."""

    def use(*also_seen: str) -> None:
        monkeypatch.setattr(expander_module, "expander", lambda *_, **__: Doubled(also_seen))

    return use


def names(found):
    return [sample.images[0].removeprefix("images/") for sample in found.samples]


def test_variants_are_samples_of_their_own_part_by_part(result, make_row, doubled):
    doubled()
    found = result([make_row(i, [(CAT, BOX)]) for i in (7, 9)], augment=AugmentOptions())
    # All of the first part, then all of the second, each in an order of its own.
    first, second = (names(found)[start : start + 2] for start in (0, 2))
    assert sorted(first) == ["000000000007.png", "000000000009.png"]
    assert sorted(second) == ["000000000007_again.png", "000000000009_again.png"]
    assert found.files == sorted(names(found))
    assert [image.id for image in found.truth.images] == [1, 2, 3, 4]
    assert [box.id for box in found.truth.annotations] == [1, 2, 3, 4]
    assert found.meta.settings["augment.copies"] == "1"


def test_a_duplicate_goes_with_all_its_variants(result, make_row, image_of, doubled):
    doubled()
    rows = [make_row(1, [(CAT, BOX)]), make_row(2, [(CAT, BOX)], read_image=image_of(1))]
    found = result(rows, augment=AugmentOptions())
    assert names(found) == found.files == ["000000000001.png", "000000000001_again.png"]
    assert found.counts["skipped_duplicate_image"] == 1


@pytest.fixture
def image_of(make_row):
    """Function that gives what reads the image of another row."""
    return lambda image_id: make_row(image_id).read_image


def test_train_shows_no_image_of_val(run, make_row, image_of, tmp_path, doubled):
    rows = [make_row(i, [(CAT, BOX)]) for i in range(8)]
    run(rows, val_ratio=0.25)
    held_out = next(read_samples(tmp_path / "out" / "val.jsonl")).images[0]
    doubled(content_key((tmp_path / "out" / held_out).read_bytes()))
    report = run(rows, val_ratio=0.25, augment=AugmentOptions())
    train, val = report.splits
    # Each second view shows the held-out image, and leaves.
    assert (train.counts["kept"], val.counts["kept"]) == (6, 2)
    assert train.counts["skipped_image_in_val"] == 6
    assert not list((tmp_path / "out" / "images").glob("*_again*"))
    assert not report.reused
    assert run(rows, val_ratio=0.25, augment=AugmentOptions()).reused


@pytest.mark.parametrize(
    "options",
    [
        {"augment": AugmentOptions(2)},
        {"tile": TileOptions(64)},
        {"curriculum": CurriculumOptions(3)},
        {"augment": AugmentOptions(1, mosaic=1.0), "task": "classes", "ask": "each", "negatives": 0.2},
        {"tile": TileOptions(64), "min_box_side": 9, "repeat_factor_threshold": 0.9, "keep_empty": False},
    ],
)
def test_real_views_keep_the_contract_whoever_works(run, make_row, tmp_path, options):
    rows = [make_row(i, [(i % 3, (i, 10, 50 + i, 60)), (3, (60, 5, 99, 75))]) for i in range(10)]
    hashes = None
    for workers in (1, 3):
        run(rows, output=f"out{workers}", val_ratio=0.2, workers=workers, **options)
        folder = tmp_path / f"out{workers}"
        found = {str(p.relative_to(folder)): sha256_file(p) for p in folder.rglob("*") if p.is_file()}
        hashes = hashes or found
        assert found == hashes
    named = set()
    for split in ("train", "val"):
        path = tmp_path / "out1" / f"{split}.jsonl"
        samples, truth = list(read_samples(path)), read_truth(truth_path(path))
        counts = read_meta(meta_path(path)).counts
        assert counts["kept"] == len(samples) == len(truth.images) + counts.get("repeated", 0)
        assert counts["boxes"] == sum(not box.is_crowd for box in truth.annotations)
        sizes = {image.file_name: image.size_wh for image in truth.images}
        for name, size_wh in sizes.items():
            with Image.open(tmp_path / "out1" / name) as image:
                assert image.size == size_wh
        named |= {name.removeprefix("images/") for name in sizes}
        assert {sample.images[0] for sample in samples} == set(sizes)
    assert {path.name for path in (tmp_path / "out1" / "images").iterdir()} == named


def test_an_image_that_can_not_be_decoded_is_bad(run, make_row, tmp_path):
    data = make_row(1).read_image()
    torn = data[: len(data) // 2]  # The header is right.
    rows = [make_row(1, [(CAT, BOX)], read_image=lambda: torn), make_row(2, [(CAT, BOX)])]
    with pytest.raises(DataError, match="rows:1"):
        run(rows, augment=AugmentOptions())
    report = run(rows, augment=AugmentOptions(), bad_images="skip")
    assert report.splits[0].counts["skipped_bad_image"] == 1
    assert report.splits[0].counts["kept"] == 2


# --- conversations -----------------------------------------------------------------------------------


@pytest.fixture
def talk(make_row):
    """Function that makes a conversation about images, given as ids; boxes are of the first."""

    def make(row_id: int, images: list[int], question: str, answer: str, boxes=(), **changes) -> DialogueRow:
        turns = (Message("user", IMAGE_MARK * len(images) + question), Message("assistant", answer))
        return DialogueRow(
            image_id=row_id,
            read_images=tuple(make_row(image).read_image for image in images),
            turns=turns,
            refs=tuple(name for name, _ in boxes),
            boxes_xyxy_px=np.array([box for _, box in boxes], float).reshape(-1, 4),
            box_images=np.zeros(len(boxes), np.int64),
            where=f"talk.jsonl:{row_id}",
            **changes,
        )

    return make


@pytest.fixture
def run_talks(run, monkeypatch):
    """Function that prepares conversations."""

    def survey(self, chunk):
        rows = self._parts[chunk.index]
        zeros = np.zeros(len(rows), np.int64)
        groups = tuple(row.group for row in rows)
        ids = np.array([row.image_id for row in rows], np.int64)
        return ChunkFacts(ids, zeros + 9, zeros, groups if any(groups) else None)

    def prepare_talks(rows, source_class, **options):
        monkeypatch.setattr(source_class, "survey", survey)
        return run(rows, **options)

    return prepare_talks


def test_conversations_share_images_and_are_scored_where_they_ground(run_talks, talk, memory, tmp_path):
    rows = [
        talk(1, [5], "What is it?", "A plain colour."),
        talk(2, [5], "Where is the cat?", REF_MARK + BOX_MARK, [("cat", (10, 8, 50, 40))]),
        talk(3, [5, 6], "Which is darker?", "The first."),
        talk(4, [5], "What is it?", "Once more."),
        talk(4, [6], "Where is the thing?", REF_MARK + BOX_MARK, [("cat", (float("nan"), 8, 50, 40))]),
    ]
    report = run_talks(rows, memory)
    (train,) = report.splits
    samples = list(read_samples(tmp_path / "out" / "train.jsonl"))
    assert [sample.prompt for sample in samples] == ["What is it?", "Where is the cat?", "Which is darker?"]
    assert len(list((tmp_path / "out" / "images").iterdir())) == 2
    assert samples[1].boxes == ((100, 100, 500, 500),)
    assert samples[2].images[0] == samples[0].images[0]
    truth = read_truth(tmp_path / "out" / "train.truth.json")
    assert [(image.prompt, image.size_wh) for image in truth.images] == [("Where is the cat?", (100, 80))]
    assert [(box.id, box.image_id, box.category_id) for box in truth.annotations] == [(1, 1, CAT)]
    assert (train.counts["kept"], train.counts["images"], train.counts["unscored"]) == (3, 2, 2)
    assert train.counts["skipped_duplicate_question"] == 1
    assert train.counts["skipped_nan_box"] == 1


def test_a_conversation_about_an_image_of_val_leaves_train(run_talks, talk, memory, tmp_path):
    rows = [talk(i, [5], f"Question {i}?", "Yes.") for i in range(8)]
    report = run_talks(rows, memory, val_ratio=0.25)
    assert [(one.split, one.counts["kept"]) for one in report.splits] == [("val", 2)]


def test_conversations_of_one_group_stay_together(run_talks, talk, memory, tmp_path):
    rows = [talk(i, [i % 2], f"Question {i}?", "Yes.", group=f"episode {i % 2}") for i in range(8)]
    report = run_talks(rows, memory, val_ratio=0.5)
    assert [(one.split, one.counts["kept"]) for one in report.splits] == [("train", 4), ("val", 4)]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"task": "classes"}, "--task classes"),
        ({"box_order": "size"}, "--box-order size"),
        ({"min_box_side": 3}, "--min-box-side"),
        ({"max_boxes": 3}, "--max-boxes"),
        ({"tile": TileOptions(64)}, "--augment, --tile or --curriculum"),
        ({"prompt": "What is there?"}, "--prompt"),
        ({"language": "zh"}, "--language zh"),
        ({"negatives": 0.1}, "--negatives"),
        ({"repeat_factor_threshold": 0.5}, "--repeat-factor-threshold"),
        ({"class_choice": ClassChoice(keep=("cat",))}, "--keep-classes"),
    ],
)
def test_what_a_conversation_can_not_follow_is_refused(run_talks, talk, memory, options, named):
    with pytest.raises(ConfigError, match=rf"^talk\.jsonl:1: .*; leave out {named}"):
        run_talks([talk(1, [5], "What is it?", "A plain colour.")], memory, **options)


@pytest.fixture
def memory(run):
    """Give the class of the source in memory."""
    return run.__globals__["MemorySource"]


# --- the command -------------------------------------------------------------------------------------


def test_every_new_flag_arrives(source_dir, tmp_path):
    flags = (
        "--task classes --ask each --absent-classes 3 --language mixed --negatives 0.1 --box-order size "
        "--min-box-side 2 --max-boxes 9 --max-boxes-by order --keep-classes person,dog --rename dog=animal "
        "--group-by val|train --repeat-factor-threshold 0.01 --augment 1 --augment-set flip=1 "
        "--augment-set crop_area=0.5,0.8 --tile 48 --tile-overlap 0.1 --tile-keep-empty 1 --curriculum 2 "
        "--frames 4 --frame-max-side 99 --box-units pixels --coordinate-space relative_1000"
    )
    arguments = ["prepare", str(source_dir), str(tmp_path / "out"), *flags.split()]
    run = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert run.exit_code == 0, run.output
    assert "samples of" in run.output
    settings = read_meta(tmp_path / "out" / "train.meta.json").settings
    expected = {
        "task": "classes",
        "ask": "each",
        "absent_classes": "3",
        "language": "mixed",
        "negatives": "0.1",
    }
    expected |= {"box_order": "size", "min_box_side": "2.0", "max_boxes": "9", "max_boxes_by": "order"}
    expected |= {"keep_classes": '["person", "dog"]', "rename": '["dog=animal"]', "group_by": "val|train"}
    expected |= {"repeat_factor_threshold": "0.01", "augment.copies": "1", "augment.flip": "1.0"}
    expected |= {"augment.crop_area": "(0.5, 0.8)", "tile.tile_px": "48", "tile.overlap": "0.1"}
    expected |= {"tile.keep_empty": "1.0", "curriculum.parts": "2", "frames": "4"}
    expected |= {"frame_max_side": "99", "box_units": "pixels"}
    assert {name: settings.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--keep-classes", "person,,dog"], "--keep-classes 'person,,dog' has a blank name"),
        (["--rename", "person"], "--rename 'person' is not OLD=NEW"),
        (["--rename", "a=b", "--rename", "a=c"], "'a' shall become 'b' and 'c'"),
        (["--augment-set", "flip=1"], "--augment-set 'flip=1' needs --augment COPIES"),
        (
            ["--augment", "1", "--augment-set", "flop=1"],
            "'flop=1': unknown name; known: blur, ",
        ),
        (["--augment", "1", "--augment-set", "flip=often"], "'flip=often' is not NAME=NUMBER"),
        (["--augment", "1", "--augment-set", "crop_area=1"], "'crop_area=1' is not NAME=LOW,HIGH"),
        (["--augment", "0"], "copies"),
        (["--tile", "3"], "tile is 3 pixels"),
        (["--curriculum", "1"], "curriculum is 1"),
    ],
)
def test_flags_that_mean_nothing_are_refused(source_dir, tmp_path, flags, message):
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(
            app, ["prepare", str(source_dir), str(tmp_path / "out"), *flags], catch_exceptions=False
        )
    assert not (tmp_path / "out").exists()


def test_nothing_is_altered_without_being_asked():
    assert read_augment(None, ()) is None
