"""The files beside samples and models: they survive the disk and refuse what is not theirs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from paddle_ground.errors import RecordError
from paddle_ground.records import (
    GroundingConfig,
    SamplesMeta,
    meta_path,
    read_grounding,
    read_meta,
    truth_path,
    write_grounding,
    write_meta,
)

META = SamplesMeta(
    source="detection-datasets/coco",
    converter_version="0.1.0",
    coordinate_space="relative_1000",
    answer_format="tokens",
    prompt="Task: Object Detection",
    class_names=("人", "car"),
    counts={"kept": 3, "skipped_zero_area": 1},
    samples_sha256="0" * 64,
    settings={"seed": "42"},
)


def test_names_stand_beside_the_samples():
    assert meta_path("data/train.jsonl") == Path("data/train.meta.json")
    assert truth_path("data/train.jsonl") == Path("data/train.truth.json")
    assert truth_path("data/v1.2.jsonl") == Path("data/v1.2.truth.json")


def test_meta_survives_the_disk_and_stays_readable(tmp_path):
    path = tmp_path / "train.meta.json"
    write_meta(path, META)
    assert read_meta(path) == META
    assert json.loads(path.read_text(encoding="utf-8"))["counts"] == {"kept": 3, "skipped_zero_area": 1}
    assert "人" in path.read_text(encoding="utf-8")


def test_meta_passes_over_fields_of_later_versions_but_misses_its_own(tmp_path):
    path = tmp_path / "train.meta.json"
    write_meta(path, META)
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(document | {"from_the_future": 1}), encoding="utf-8")
    assert read_meta(path) == META
    del document["coordinate_space"]
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(RecordError, match=r"train\.meta\.json: `coordinate_space` is missing"):
        read_meta(path)


def test_a_count_must_be_a_number(tmp_path):
    path = tmp_path / "train.meta.json"
    write_meta(path, META)
    path.write_text(path.read_text(encoding="utf-8").replace('"kept": 3', '"kept": "3"'), encoding="utf-8")
    with pytest.raises(RecordError, match=r"`counts`: `kept` should be a whole number, found a string"):
        read_meta(path)


def test_grounding_survives_the_disk(tmp_path):
    config = GroundingConfig("relative_1000", "json", "找出所有物体", 65536, 589824, ("猫",))
    write_grounding(tmp_path, config)
    assert read_grounding(tmp_path) == config


def test_a_foreign_checkpoint_has_no_grounding(tmp_path):
    with pytest.raises(RecordError, match=r"grounding\.json: no such file"):
        read_grounding(tmp_path)


@pytest.mark.parametrize(
    ("counts", "answers"),
    [
        ({"kept": 3, "boxes": 4}, "boxes"),
        ({"kept": 3, "unscored": 0}, "boxes"),
        ({"kept": 3, "unscored": 3, "boxes": 0}, "text"),
        ({"kept": 3, "unscored": 2, "boxes": 1}, "mixed"),
        ({"kept": 3, "unscored": 3, "boxes": 2}, "mixed"),  # Words around boxes.
    ],
)
def test_the_meta_says_what_samples_answer_with(tmp_path, counts, answers):
    path, meta = tmp_path / "train.meta.json", dataclasses.replace(META, counts=counts)
    write_meta(path, meta)
    assert read_meta(path).answers == answers
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document.get("answers", "boxes") == answers
    assert read_meta(path) == meta
