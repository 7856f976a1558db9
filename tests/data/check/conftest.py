"""A small right set of samples, and ways to plant one problem into it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.data.check import CheckOptions, CheckReport, check

PROMPT = "Task: Object Detection"
SIZE_WH = (160, 120)
Record = dict[str, Any]


def make_record(image: str, objects: Sequence[tuple[str, Sequence[int]]], prompt: str = PROMPT) -> Record:
    """Write a record of box tokens by hand."""
    answer = ", ".join(["<ref-object><bbox>"] * len(objects)) or "none"
    return {
        "messages": [
            {"role": "user", "content": f"<image>{prompt}"},
            {"role": "assistant", "content": answer},
        ],
        "images": [image],
        "objects": {"ref": [label for label, _ in objects], "bbox": [list(box) for _, box in objects]},
    }


def make_picture(seed: int, size_wh: tuple[int, int] = SIZE_WH) -> Image.Image:
    """Paint soft blots, which look different for every seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size_wh, Image.Resampling.BICUBIC)


@dataclass
class Planted:
    """A folder with a right set; change what you like, then `check`.

    `lines` are records, or text or bytes for lines that are none. Meta and truth are written to fit what
    the lines say, unless `meta` or `truth` is set to something else; None leaves the file out.
    """

    folder: Path
    lines: list[Record | str | bytes] = field(default_factory=list)
    class_names: tuple[str, ...] = ()
    meta_changes: dict[str, Any] | None = field(default_factory=dict)
    truth_lines: list[Record] | str | None = "as the lines"
    truth_text: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The samples file."""
        return self.folder / "train.jsonl"

    def record(self, place: int) -> Record:
        """Give a record to change."""
        record = self.lines[place]
        assert isinstance(record, dict)
        return record

    def picture(self, name: str, seed: int, **options: Any) -> str:
        """Save a further picture."""
        make_picture(seed).save(self.folder / name, **options)
        return name

    def write(self) -> Path:
        """Write all files."""
        raw = [line if isinstance(line, bytes) else _text(line).encode() for line in self.lines]
        data = b"".join(line + b"\n" for line in raw)
        self.path.write_bytes(data)
        if self.meta_changes is not None:
            meta = {
                "source": "planted",
                "converter_version": "0",
                "coordinate_space": "relative_1000",
                "answer_format": "tokens",
                "prompt": PROMPT,
                "class_names": list(self.class_names),
                "counts": {"kept": len(raw)},
                "samples_sha256": hashlib.sha256(data).hexdigest(),
            } | self.meta_changes
            self.path.with_suffix(".meta.json").write_text(json.dumps(meta))
        if self.truth_text is not None:
            self.path.with_suffix(".truth.json").write_text(self.truth_text)
        elif self.truth_lines is not None:
            lines = self.lines if isinstance(self.truth_lines, str) else self.truth_lines
            truth = make_truth(self.folder, [line for line in lines if isinstance(line, dict)])
            self.path.with_suffix(".truth.json").write_text(json.dumps(truth))
        return self.path

    def check(self) -> CheckReport:
        """Write all files and check them."""
        return check(self.write(), CheckOptions(**self.options))


def _text(line: Record | str | bytes) -> str:
    assert not isinstance(line, bytes)
    return line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)


def make_truth(folder: Path, records: Sequence[Record]) -> dict[str, Any]:
    """Write COCO JSON that agrees with records, by hand."""
    images: dict[str, dict[str, Any]] = {}
    boxes: list[dict[str, Any]] = []
    for record in records:
        for name in record.get("images") or []:
            size_wh = _size(folder / name)
            entry = {"id": len(images) + 1, "file_name": name, "width": size_wh[0], "height": size_wh[1]}
            image = images.setdefault(name, entry)
            for box in (record.get("objects") or {}).get("bbox") or []:
                if len(box) == 4 and all(isinstance(v, int) for v in box):
                    x1, y1, x2, y2 = (v * s / 1000 for v, s in zip(box, (*size_wh, *size_wh), strict=True))
                    if x2 > x1 and y2 > y1:
                        bbox = [x1, y1, x2 - x1, y2 - y1]
                        boxes.append(
                            {"id": len(boxes) + 1, "image_id": image["id"], "category_id": 0, "bbox": bbox}
                        )
    return {
        "images": list(images.values()),
        "annotations": boxes,
        "categories": [{"id": 0, "name": "thing"}],
    }


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError):
        return SIZE_WH


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    """A right set of six samples, one of them without objects."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(7)
    lines: list[Record | str | bytes] = []
    for number in range(6):
        name = f"images/{number}.png"
        make_picture(number).save(tmp_path / name)
        corners = rng.integers(0, 600, (4, 2)).tolist() if number else []
        objects = [
            (("cat", "dog")[place % 2], (x, y, x + 150 + 60 * place, y + 300 - 40 * place))
            for place, (x, y) in enumerate(corners)
        ]
        lines.append(make_record(name, objects))
    return Planted(tmp_path, lines)


@pytest.fixture
def many(planted: Planted) -> Callable[[int], list[Record]]:
    """Function that gives so many right records, each with a question of its own."""

    def make(count: int) -> list[Record]:
        found = []
        for number in range(count):
            record = copy.deepcopy(planted.record(1 + number % 5))
            record["messages"][0]["content"] = f"<image>Question {number}?"
            found.append(record)
        return found

    return make


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the smallest model. Don't write into it."""
    from paddle_ground.backend.tiny import build_tiny_model

    return build_tiny_model(tmp_path_factory.mktemp("check") / "model", "test")
