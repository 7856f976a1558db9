"""Which format each real folder is taken for, and that big and odd files don't mislead."""

from __future__ import annotations

import json

import numpy as np
import pytest

from paddle_ground.data.readers import formats
from paddle_ground.data.readers.json_rows import scan_rows
from paddle_ground.data.recognise import recognise
from paddle_ground.errors import DataError

OURS = ("paddle", "swift", "llamafactory", "qwen_finetune", "openeqa", "odvg", "refcoco")
REAL = {
    "coco40": None,
    "coco_parquet": None,
    "datumaro_assets": None,
    "datumaro_assets/datumaro_dataset": None,
    "datumaro_assets/coco_dataset": None,
    "labelme_examples": None,
    "labelstudio_yolo": None,
    "labelstudio_yolo/test_export_yolo": None,
    "llamafactory_mllm": "llamafactory",
    "llamafactory_mllm/v1_multimodal_demo.jsonl": "llamafactory",
    "llamafactory_mllm/mllm_demo.json": "llamafactory",
    "obb_dota_mmrotate": None,
    "odd_images": None,
    "qwen_vl_finetune": "qwen_finetune",
    "qwen_vl_finetune/demo": "qwen_finetune",
    "refcoco": "refcoco",
    "refcoco/refcocog_val_with_images.json": "refcoco",
    "roboflow_exports": None,
    "roboflow_exports/paligemma": None,
    "roboflow_exports/sharks-tiny-createml": None,
    "voc_icevision": None,
}


@pytest.mark.parametrize(("folder", "expected"), REAL.items())
def test_real_folders_are_taken_for_what_they_are(shared_data, folder, expected):
    path = shared_data / folder
    found = [one.name for one in formats() if one.name in OURS and one.recognise(path) is not None]
    assert found == ([expected] if expected else [])


def test_every_real_folder_stands_in_the_table(shared_data):
    folders = {path.name for path in shared_data.iterdir() if path.is_dir()}
    assert folders <= set(REAL)


TURNS = [{"role": "user", "content": "<image>?"}, {"role": "assistant", "content": "A cow."}]
TALK = [{"from": "human", "value": "<image>?"}, {"from": "gpt", "value": "A cow."}]
MADE = [
    ("a.jsonl", {"messages": TURNS, "images": ["a.jpg"]}, "swift"),
    ("a.jsonl", {"messages": TURNS, "images": ["a.jpg"], "objects": {"ref": [], "bbox": []}}, "swift"),
    ("a.jsonl", {"query": "?", "response": "!", "images": ["a.jpg"]}, "swift"),
    ("a.json", {"messages": TURNS, "images": ["a.jpg"]}, "llamafactory"),
    ("a.json", {"conversations": TALK, "images": ["a.jpg"]}, "llamafactory"),
    ("a.json", {"instruction": "?", "output": "!", "images": ["a.jpg"]}, "llamafactory"),
    ("a.json", {"conversations": TALK, "image": "a.jpg"}, "qwen_finetune"),
    ("a.jsonl", {"conversations": TALK, "image": ["a.jpg"]}, "qwen_finetune"),
    ("a.jsonl", {"filename": "a.jpg", "detection": {"instances": []}}, "odvg"),
    ("a.json", {"question": "?", "answer": "!", "episode_history": "x"}, "openeqa"),
    ("a.json", {"sents": "cow", "bbox": [1, 2, 3, 4], "img_id": "x"}, "refcoco"),
    ("a.json", {"question": "?", "answer": "a cow", "bbox": [1, 2, 3, 4], "image": "x"}, None),
    ("a.json", {"instruction": "?", "output": "!"}, None),
    ("a.json", {"images": [], "annotations": [], "categories": []}, None),
]


@pytest.mark.parametrize(("name", "row", "expected"), MADE)
@pytest.mark.parametrize("as_folder", [True, False])
def test_rows_are_known_by_their_keys(tmp_path, write_rows, name, row, expected, as_folder):
    file = write_rows(tmp_path / name, [row])
    path = tmp_path if as_folder else file
    if expected is None:
        assert not [one.name for one in formats() if one.name in OURS and one.recognise(path)]
    else:
        assert recognise(path).format.name == expected


@pytest.mark.parametrize("content", ["", "{", "[", "[[1]]", "[]", "3", "null", "\0" * 100, '{"a": 1}\n{"a'])
def test_nothing_is_made_of_nonsense(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    (tmp_path / "b.jsonl").write_text(content)
    assert not [one.name for one in formats() if one.name in OURS and one.recognise(tmp_path)]


# --- rows of long files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_rows_are_found_again_by_their_places(tmp_path, write_rows, suffix):
    rows = [{"n": n, "text": 'ein Bär 熊 \\" } ]' * (n % 700)} for n in range(1500)]
    file = write_rows(tmp_path / f"rows.{suffix}", rows)
    assert file.stat().st_size > 3 << 20, "several blocks"
    data = file.read_bytes()
    lines = data.split(b"\n")
    for row, expected in zip(scan_rows(file, "rows"), rows, strict=True):
        assert row.value == expected
        assert json.loads(data[row.start : row.start + row.size]) == expected
        assert lines[row.line - 1].lstrip().startswith(b"{")


def test_a_list_is_refused_where_it_breaks(tmp_path):
    rng = np.random.default_rng(0)
    rows = json.dumps([{"n": n, "deep": {"a": [n, "x"]}} for n in range(40)], indent=1)
    for cut in rng.integers(2, len(rows) - 1, 60).tolist():
        file = tmp_path / "rows.json"
        file.write_text(rows[:cut])
        read = []
        with pytest.raises(DataError, match=r"^rows:\d+: "):
            read.extend(scan_rows(file, "rows"))
        assert [row.value for row in read] == json.loads(rows)[: len(read)]


def test_deep_nesting_and_endless_numbers_are_refused(tmp_path):
    for content in ('[{"a": ' + "[" * 100_000, '[{"a": ' + "9" * 6000 + "}]"):
        file = tmp_path / "rows.json"
        file.write_text(content)
        with pytest.raises(DataError, match=r"^rows:1: not valid JSON"):
            list(scan_rows(file, "rows"))
