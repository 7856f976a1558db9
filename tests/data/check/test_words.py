"""Samples that answer in words: what `prepare` makes of questions about frames is no problem."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from paddle_ground.data.check import CheckOptions, check
from paddle_ground.data.prepare import PrepareOptions, prepare


def make_questions(folder: Path) -> Path:
    rows = []
    for number in range(4):
        for frame in range(3):
            path = folder / "frames" / f"ep{number}" / f"{frame}-rgb.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(10 * number + frame).integers(0, 256, (60, 80, 3), np.uint8)
            Image.fromarray(noise).save(path)
        rows.append({"question": f"Room {number}?", "answer": "A hall.", "episode_history": f"ep{number}"})
    (folder / "open-eqa-v0.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def test_answers_in_words_are_no_problem(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(PrepareOptions(out, make_questions(tmp_path / "qa"), frames=2, val_ratio=0))
    report = check(out / "train.jsonl", CheckOptions())
    assert [problem.code for problem in report.problems] == []
    assert json.loads((out / "train.meta.json").read_text(encoding="utf-8"))["answers"] == "text"
    # More than the meta says is more than words.
    lines = (out / "train.jsonl").read_text(encoding="utf-8")
    (out / "train.jsonl").write_text(
        lines + lines.split("\n")[0].replace("Room", "Hall") + "\n", encoding="utf-8"
    )
    codes = [problem.code for problem in check(out / "train.jsonl", CheckOptions()).problems]
    assert codes.count("truth_lacks_image") == 5
