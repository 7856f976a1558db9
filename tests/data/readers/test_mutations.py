"""Rows with something wrong in them, anywhere: one clear line or a counted skip, and nothing half done."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from paddle_ground.data.options import PrepareOptions
from paddle_ground.data.prepare import prepare
from paddle_ground.errors import PaddleGroundError

TALK = [
    {"from": "human", "value": "<image>?"},
    {"from": "gpt", "value": '[{"bbox_2d": [1, 2, 900, 500], "label": "cow"}]'},
]
BOX = [1, 2, 30, 40]
GOOD: dict[str, tuple[str, Any]] = {
    "swift": (
        "train.jsonl",
        {
            "messages": [
                {"role": "user", "content": "<image>Find it."},
                {"role": "assistant", "content": "<ref-object><bbox>"},
            ],
            "images": ["a.jpg"],
            "objects": {"ref": ["cow"], "bbox": [BOX]},
        },
    ),
    "llamafactory": ("data.json", {"conversations": TALK, "images": ["a.jpg"]}),
    "qwen_finetune": ("data.json", {"conversations": TALK, "image": "a.jpg"}),
    "openeqa": ("questions.json", {"question": "?", "answer": "!", "episode_history": "ep"}),
    "odvg": (
        "od.jsonl",
        {
            "filename": "a.jpg",
            "width": 200,
            "height": 100,
            "detection": {"instances": [{"bbox": BOX, "label": 0, "category": "cow"}]},
            "grounding": {"caption": "x", "regions": [{"bbox": BOX, "phrase": ["a", "cow"]}]},
        },
    ),
    "refcoco": (
        "rows.json",
        {"img_id": "a.jpg", "sents": ["a cow"], "bbox": [100, 2, 90, 40], "width": 200, "height": 100},
    ),
}
GONE = object()
WRONG = [
    *(None, True, -1, 0, 10**400, float("nan"), float("inf"), 1e308, [], {}, [[]], [None], {"a": 1}),
    *("", "../x", "/etc/hostname", "a\0b", "\ud800", "<image>", "<bbox>", "<ref-object>", "<|im_end|>"),
    *("x" * 5000, "名前 with space", "a\nb", GONE, GONE, GONE),
]
CASES = [(name, seed) for name in GOOD for seed in range(18)]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List where something can be put."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(*path, key) for key, _ in inner] + [p for key, one in inner for p in places(one, (*path, key))]


def with_change(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Put something wrong into a copy."""
    copy = target = json.loads(json.dumps(value))
    for key in path[:-1]:
        target = target[key]
    if new is GONE:
        del target[path[-1]]
    else:
        target[path[-1]] = new
    return copy


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_a_wrong_row_gives_one_line_or_is_counted(tmp_path, write_image, name, seed):
    draw = random.Random(f"{name} {seed}")
    file, good = GOOD[name]
    source, out = tmp_path / "src", tmp_path / "out"
    write_image(source / "a.jpg")
    write_image(source / "frames" / "ep" / "0.png")
    bad = with_change(good, draw.choice(places(good)), draw.choice(WRONG))
    rows = draw.choice([[good, bad], [bad, good]])
    text = "\n".join(map(json.dumps, rows)) if file.endswith("l") else json.dumps(rows, indent=1)
    data = text.encode()
    (source / file).write_bytes(data[: draw.randrange(len(data))] if seed == 0 else data)
    options = PrepareOptions(
        out, source, val_ratio=0, source_format=name, bad_images=draw.choice(["stop", "skip"])
    )
    complaint = ""
    try:
        report = prepare(options)
    except PaddleGroundError as error:
        complaint = str(error)
    assert "\n" not in complaint
    if complaint:
        assert not out.exists() or not list(out.rglob("*")), "an error leaves nothing behind"
    else:
        samples = (out / "train.jsonl").read_text().splitlines()
        assert len(samples) == report.splits[0].counts["kept"] >= 1
        for sample in map(json.loads, samples):
            assert all((out / image).resolve().is_relative_to(out) for image in sample["images"])
