"""The prepare command: the tutorial's flags and ours, dashes or underscores, and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from paddle_ground.cli import app
from paddle_ground.data.command import describe_split
from paddle_ground.data.merge import SplitResult
from paddle_ground.records import read_meta, read_samples


@pytest.fixture
def invoke():
    """Function that runs the command and gives what it printed."""

    def run(*arguments: object) -> str:
        result = CliRunner().invoke(app, ["prepare", *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run


@pytest.mark.parametrize("dash", ["-", "_"])
def test_every_flag_arrives(invoke, source_dir, tmp_path, dash):
    (tmp_path / "names.txt").write_text("\n".join(["thing", *(f"other {i}" for i in range(5))]))
    flags = {
        "source": source_dir,
        "output-dir": tmp_path / "out",
        "total-samples": 9,
        "val-ratio": 0.4,
        "seed": 7,
        "split-map": "train=train,val=none",
        "bbox-format": "xyxy",
        "answer-format": "json",
        "prompt": "Find things",
        "classes": tmp_path / "names.txt",
        "box-order": "source",
        "bad-images": "skip",
        "workers": 2,
    }
    arguments = [text for name, value in flags.items() for text in (f"--{name.replace('-', dash)}", value)]
    output = invoke(*arguments, f"--drop{dash}empty")
    assert "train: 5 images, 5 boxes, 0 images without" in output
    assert "val: 4 images" in output
    assert f"written: {tmp_path / 'out' / 'train.jsonl'}" in output
    meta = read_meta(tmp_path / "out" / "val.meta.json")
    assert (meta.answer_format, meta.prompt, meta.class_names[0]) == ("json", "Find things", "thing")
    assert next(read_samples(tmp_path / "out" / "val.jsonl")).prompt == "Find things"
    expected = {"total_samples": "9", "val_ratio": "0.4", "seed": "7", "bbox_format": "xyxy"}
    expected |= {"box_order": "source", "keep_empty": "False", "bad_images": "skip"}
    assert {name: meta.settings[name] for name in expected} == expected


def test_a_second_run_says_that_all_is_there(invoke, source_dir, tmp_path):
    arguments = ("--source", source_dir, "--output-dir", tmp_path / "out")
    assert "written:" in invoke(*arguments)
    assert "already there:" in invoke(*arguments)


def test_what_was_left_out_is_said_with_places():
    counts = {
        "kept": 3,
        "boxes": 5,
        "empty": 1,
        "crowd_boxes": 2,
        "skipped_nan_box": 4,
        "skipped_bad_image": 1,
    }
    examples = {"nan_box": ("a:1 box 0", "a:2 box 0", "a:3 box 0"), "bad_image": ("b:7",)}
    assert describe_split(SplitResult("train", counts, examples)) == [
        "train: 3 images, 5 boxes, 1 images without",
        "  2 crowd boxes, in the truth only",
        "  skipped 1 (bad image): b:7",
        "  skipped 4 (nan box): a:1 box 0; a:2 box 0; a:3 box 0; ...",
    ]


@pytest.mark.parametrize("kind", ["labelme", "swift"])
def test_names_of_files_need_not_be_text(tmp_path, project_root, kind):
    # As archives made on Windows unpack; a terminal's locale other than C writes UTF-8 strictly.
    source = tmp_path / "set"
    source.mkdir()
    Image.new("RGB", (100, 80)).save(source / "a.jpg")
    shape = {"label": "cat", "points": [[1, 2], [50, 60]], "shape_type": "rectangle"}
    turns = [{"role": "user", "content": "<image>?"}, {"role": "assistant", "content": "<ref-object><bbox>"}]
    file, row = {
        "labelme": ("caf\udce9.json", {"shapes": [shape], "imagePath": "a.jpg"}),
        "swift": (
            "caf\udce9.jsonl",
            {"messages": turns, "images": ["a.jpg"], "objects": {"ref": ["cat"], "bbox": [[1, 2, 50, 60]]}},
        ),
    }[kind]
    (source / file).write_text(json.dumps(row))
    done = subprocess.run(
        [sys.executable, "-m", "paddle_ground", "prepare", source, tmp_path / "out", "--val-ratio", "0"],
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        cwd=project_root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert r"caf\udce9.json" in done.stdout
    assert read_meta(tmp_path / "out" / "train.meta.json").counts["boxes"] == 1
