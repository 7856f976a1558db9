"""Which shard goes to which split, by the names that hubs give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddle_ground.data.shards import find_shards, parse_split_map
from paddle_ground.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["data/train-00000-of-00002-1a2b.parquet", "data/val-00000-of-00001.parquet"], ["train", "val"]),
        (["train/0000.parquet", "validation/0000.parquet"], ["train", "val"]),  # the hub's own conversion
        (["coco/train/0001.parquet", "coco/train/0000.parquet"], ["train", "train"]),
        (["Valid.parquet", "train.parquet"], ["val", "train"]),
        (["part-1.parquet", "part-2.parquet"], ["train", "train"]),  # nothing tells: all train
    ],
)
def test_names_tell_the_split(tmp_path, names, splits):
    shards, _ = find_shards(touch(tmp_path, *names))
    assert [shard.name for shard in shards] == sorted(names)
    assert [shard.split for shard in shards] == [splits[names.index(name)] for name in sorted(names)]


def test_test_is_left_out_aloud_unless_mapped(tmp_path):
    root = touch(tmp_path, "train-0.parquet", "test-0.parquet")
    shards, notes = find_shards(root)
    assert [shard.name for shard in shards] == ["train-0.parquet"]
    assert "test left out (--split-map test=val takes it)" in notes[0]
    shards, notes = find_shards(root, {"test": "val"})
    assert [(shard.name, shard.split) for shard in shards] == [
        ("test-0.parquet", "val"),
        ("train-0.parquet", "train"),
    ]
    assert notes == ()


@pytest.mark.parametrize(
    ("names", "split_map", "message"),
    [
        ([], None, r"no \*\.parquet file"),
        (
            ["train-0.parquet", "extra-0.parquet"],
            None,
            r"extra-0\.parquet: source split 'extra' is unknown; map it",
        ),
        (["part-0.parquet"], {"other": "train"}, "source split 'part' is unknown"),
        (["test-0.parquet"], None, "leaves out every shard"),
    ],
)
def test_what_can_not_be_told_is_named(tmp_path, names, split_map, message):
    with pytest.raises(DataError, match=message):
        find_shards(touch(tmp_path, *names), split_map)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        find_shards(tmp_path / "nowhere")


def test_hidden_files_are_no_shards(tmp_path):
    shards, _ = find_shards(touch(tmp_path, "train-0.parquet", ".train-1.parquet"))
    assert len(shards) == 1


def test_split_maps_are_parsed():
    assert parse_split_map("train=train, Validation=val,test=none") == {
        "train": "train",
        "validation": "val",
        "test": "none",
    }


@pytest.mark.parametrize("text", ["", "train", "train=", "=val", "train=eval", "train=train,,"])
def test_what_is_no_split_map_is_named(text):
    with pytest.raises(DataError, match="is not SOURCE=train"):
        parse_split_map(text)
