"""A data set in memory, prepared like any other."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.boxes import valid_mask
from paddle_ground.data import prepare as module
from paddle_ground.data.prepare import PrepareOptions, PrepareReport, prepare
from paddle_ground.data.readers import Format
from paddle_ground.data.recognise import Recognised
from paddle_ground.data.source import Chunk, ChunkFacts, Referral, SourceRow
from paddle_ground.records import read_meta, read_samples, read_truth

SIZE_WH = (100, 80)
NAMES = ("cat", "dog", "cup", "car")


def image_bytes(shade: int) -> bytes:
    """Encode an image of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", SIZE_WH, (shade % 256, shade // 256, 99)).save(stream, "PNG")
    return stream.getvalue()


def _make_row(
    image_id: int,
    objects: Sequence[tuple[int, Sequence[float]]] = (),
    phrases: Sequence[tuple[str, Sequence[int]]] = (),
    crowd: Sequence[int] = (),
    **changes: Any,
) -> SourceRow:
    """Make a row of (class, box) pairs; `crowd` are the places of crowd boxes."""
    fields: dict[str, Any] = {
        "image_id": image_id,
        "read_image": partial(image_bytes, image_id),
        "size_wh": SIZE_WH,
        "boxes_xyxy_px": np.array([box for _, box in objects], float).reshape(-1, 4),
        "category_ids": np.array([category for category, _ in objects], np.int64),
        "areas_px": np.full(len(objects), np.nan),
        "is_crowd": np.array([place in crowd for place in range(len(objects))], bool),
        "where": f"rows:{image_id}",
        "referrals": tuple(Referral(phrase, tuple(boxes)) for phrase, boxes in phrases),
    }
    return SourceRow(**(fields | changes))


class MemorySource:
    """Rows in memory, four a chunk."""

    notes: tuple[str, ...] = ()
    name = "memory"

    def __init__(self, rows: Sequence[Any], class_names: Sequence[str] = NAMES, split: str = "train") -> None:
        self.class_names = tuple(class_names)
        self.fingerprint = repr(rows)
        self._parts = [rows[start : start + 4] for start in range(0, len(rows), 4)]
        self.chunks = tuple(Chunk(i, split, len(part), 1) for i, part in enumerate(self._parts))

    def survey(self, chunk: Chunk) -> ChunkFacts:
        rows = self._parts[chunk.index]
        usable = [int((valid_mask(row.boxes_xyxy_px) & ~row.is_crowd).sum()) for row in rows]
        groups = tuple(row.group for row in rows)
        return ChunkFacts(
            np.array([row.image_id for row in rows], np.int64),
            np.array([len(row.boxes_xyxy_px) for row in rows], np.int64),
            np.array(usable, np.int64),
            groups if any(groups) else None,
        )

    def read(self, chunk: Chunk, rows: Any) -> Iterator[Any]:
        yield from (self._parts[chunk.index][row] for row in rows.tolist())


class Result:
    """What a run wrote into one split."""

    def __init__(self, output_dir: Path, split: str = "train") -> None:
        self.samples = list(read_samples(output_dir / f"{split}.jsonl"))
        self.truth = read_truth(output_dir / f"{split}.truth.json")
        self.meta = read_meta(output_dir / f"{split}.meta.json")
        self.counts = {name: number for name, number in self.meta.counts.items() if number}
        self.files = sorted(path.name for path in (output_dir / "images").iterdir())


@pytest.fixture
def make_row() -> Callable[..., SourceRow]:
    """Function that makes a row of (class, box) pairs."""
    return _make_row


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PrepareReport]:
    """Function that prepares rows and gives the report; the output is in `out` below `tmp_path`."""

    def prepare_rows(
        rows: Sequence[Any], names: Sequence[str] = NAMES, output: str = "out", **options: Any
    ) -> PrepareReport:
        memory = Format("memory", "Memory", lambda path: "", lambda path, told: MemorySource(rows, names))
        monkeypatch.setattr(module, "recognise", lambda path, wanted: Recognised(memory, "in a test"))
        return prepare(PrepareOptions(tmp_path / output, source=tmp_path, **({"val_ratio": 0.0} | options)))

    return prepare_rows


@pytest.fixture
def result(run: Callable[..., PrepareReport], tmp_path: Path) -> Callable[..., Result]:
    """Function that prepares rows and reads back the train split."""

    def prepare_and_read(rows: Sequence[Any], *args: Any, **options: Any) -> Result:
        run(rows, *args, **options)
        return Result(tmp_path / "out")

    return prepare_and_read
