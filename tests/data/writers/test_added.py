"""A data set added to LLaMA-Factory's own folder, what formats lose, and the command that says so."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from paddle_ground.cli import app
from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.prepare_to import prepare_to
from paddle_ground.data.readers import ReaderOptions
from paddle_ground.data.readers.llamafactory import FORMAT as LLAMAFACTORY
from paddle_ground.data.writers import convert, register
from paddle_ground.errors import ConfigError, DataError, UnwritableError
from paddle_ground.records import read_truth, truth_path


@pytest.fixture(scope="module")
def prepared(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "my coco"
    prepare(PrepareOptions(out, source=shared_data / "coco40"))
    return out


THEIRS = {"identity": {"file_name": "identity.json"}, "hub": {"hf_hub_url": "a/b", "ranking": True}}


@pytest.fixture
def factory(tmp_path: Path) -> Path:
    """LLaMA-Factory's folder of data sets, with one of its own."""
    folder = tmp_path / "LLaMA-Factory" / "data"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(json.dumps(THEIRS, indent=4), encoding="utf-8")
    (folder / "identity.json").write_text("[]", encoding="utf-8")
    return folder


def info(folder: Path) -> Any:
    return json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))


def test_a_data_set_is_added_to_others(prepared: Path, factory: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = convert(prepared, factory, "llamafactory", progress=lambda *at: seen.append(at))
    assert report.output_dir == factory / "my_coco"
    assert seen == [(number, 40) for number in range(1, 41)]
    assert info(factory) == THEIRS | {
        f"my_coco_{split}": {
            "file_name": f"my_coco/{split}.json",
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "images": "images"},
        }
        for split in ("train", "val")
    }
    assert list(info(factory))[:2] == list(THEIRS)
    # LLaMA-Factory looks for files and images from its folder on.
    for split, entry in list(info(factory).items())[2:]:
        rows = json.loads((factory / entry["file_name"]).read_text(encoding="utf-8"))
        assert all((factory / image).is_file() for row in rows for image in row["images"]), split
    source = LLAMAFACTORY.open(factory, ReaderOptions())
    assert sum(chunk.rows for chunk in source.chunks) == 40
    convert(prepared, factory, "llamafactory", name="again")
    assert len(info(factory)) == 6
    names = ["again", "dataset_info.json", "identity.json", "my_coco"]
    assert sorted(path.name for path in factory.iterdir()) == names


def test_nothing_of_others_is_replaced(prepared: Path, factory: Path, monkeypatch: Any) -> None:
    before = (factory / "dataset_info.json").read_bytes()
    (factory / "dataset_info.json").write_text('{"mine_val": {}}')
    with pytest.raises(DataError, match=r"dataset_info\.json describes 'mine_val' already"):
        convert(prepared, factory, "llamafactory", name="mine")
    (factory / "dataset_info.json").write_bytes(before)
    (factory / "mine").mkdir()
    with pytest.raises(DataError, match="it holds 'mine' already; give the new data set another --name"):
        convert(prepared, factory, "llamafactory", name="mine")
    with pytest.raises(DataError, match="expected a new or empty folder; remove it"):
        convert(prepared, factory, "swift")
    (factory / "dataset_info.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset_info\.json: not valid JSON"):
        convert(prepared, factory, "llamafactory")
    (factory / "dataset_info.json").write_bytes(before)

    def full(folder: Path, known: Any) -> None:
        raise UnwritableError("full")

    monkeypatch.setattr("paddle_ground.data.writers.write_register", full)
    with pytest.raises(UnwritableError):
        convert(prepared, factory, "llamafactory")
    assert (factory / "dataset_info.json").read_bytes() == before
    assert sorted(path.name for path in factory.iterdir()) == ["dataset_info.json", "identity.json", "mine"]


def test_a_register_behind_a_link_stays_behind_it(prepared: Path, factory: Path, tmp_path: Path) -> None:
    (factory / "dataset_info.json").rename(tmp_path / "info.json")
    (factory / "dataset_info.json").symlink_to(tmp_path / "info.json")
    convert(prepared, factory, "llamafactory")
    assert (factory / "dataset_info.json").is_symlink()
    assert len(json.loads((tmp_path / "info.json").read_text(encoding="utf-8"))) == 4


@pytest.mark.parametrize(
    ("name", "expected"), [("a b/c", "a_b_c"), ("..", "data"), ("牛", "牛"), ("-x.", "x")]
)
def test_names_are_fit_for_folders(name: str, expected: str) -> None:
    assert register.folder_name(name) == expected


def test_what_a_format_loses_is_counted(prepared: Path, tmp_path: Path) -> None:
    truth = read_truth(truth_path(prepared / "train.jsonl"))
    crowds = sum(box.is_crowd for box in truth.annotations)
    named = {box.category_id for box in truth.annotations if not box.is_crowd}
    both = {"train crowd boxes left out": crowds, "train areas left out": len(truth.annotations) - crowds}
    lost = {
        "coco": {},
        "yolo": both,
        "swift": both | {"train class names without a box left out": 80 - len(named)},
        "paddle": {},
    }
    lost["llamafactory"] = lost["swift"]
    for to, expected in lost.items():
        counts = convert(prepared, tmp_path / to, to).counts
        found = {kind: n for kind, n in counts.items() if kind.startswith("train") and "left out" in kind}
        assert found == expected, to


def test_questions_phrases_and_unnamed_boxes_are_counted(shared_data: Path, tmp_path: Path) -> None:
    made = PrepareOptions(tmp_path / "few", source=shared_data / "coco40", max_boxes=2, val_ratio=0)
    kept = prepare(made).splits[0].counts
    counts = convert(tmp_path / "few", tmp_path / "swift", "swift").counts
    assert counts["train boxes that no answer names left out"] == kept["unsaid_boxes"] > 100
    each = PrepareOptions(
        tmp_path / "each", source=shared_data / "coco40", task="classes", ask="each", val_ratio=0
    )
    asked = prepare(each).splits[0].counts
    counts = convert(tmp_path / "each", tmp_path / "coco", "coco").counts
    assert counts["train questions made one"] == asked["kept"] - asked["images"]
    prepare(
        PrepareOptions(tmp_path / "refer", source=shared_data / "refcoco", val_ratio=0, bad_images="skip")
    )
    counts = convert(tmp_path / "refer", tmp_path / "yolo", "yolo").counts
    truth = read_truth(truth_path(tmp_path / "refer" / "val.jsonl"))
    assert counts["val phrases left out"] == len(truth.images) > 4


def test_the_command_prepares_and_writes_in_one_go(shared_data: Path, tmp_path: Path) -> None:
    source, out = str(shared_data / "coco40"), str(tmp_path / "yolo")
    run = CliRunner().invoke(app, ["prepare", source, out, "--to", "yolo"], catch_exceptions=False)
    assert run.exit_code == 0
    lines = run.output.splitlines()
    assert {"train images: 36", "val images: 4", "train crowd boxes left out: 5", f"written: {out}"} <= set(
        lines
    )
    assert sorted(os.listdir(tmp_path)) == ["yolo"], "nothing else is left"
    again = ["convert", str(tmp_path / "plain"), str(tmp_path / "swift"), "--to", "swift"]
    assert (
        CliRunner().invoke(app, ["prepare", source, str(tmp_path / "plain"), "--to", "paddle"]).exit_code == 0
    )
    run = CliRunner().invoke(app, again, catch_exceptions=False)
    assert "train samples: 36" in run.output.splitlines()


def test_what_can_not_be_written_is_found_out_first(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    made = PrepareOptions(tmp_path / "full", source=tmp_path / "nowhere")
    with pytest.raises(DataError, match="expected a new or empty folder"):
        prepare_to(made, "coco")
    with pytest.raises(ConfigError, match="unknown format 'tfrecord'"):
        prepare_to(made, "tfrecord")


def test_a_run_that_was_stopped_goes_on(shared_data: Path, tmp_path: Path, monkeypatch: Any) -> None:
    made = PrepareOptions(tmp_path / "out", source=shared_data / "coco40", val_ratio=0)

    def stop(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("paddle_ground.data.prepare_to.convert", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare_to(made, "coco")
    assert sorted(os.listdir(tmp_path)) == [".out.prepared"]
    report, _ = prepare_to(made, "coco")
    assert report.reused
    assert sorted(os.listdir(tmp_path)) == ["out"]
