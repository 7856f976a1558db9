"""Small data sets of rows in JSON, made on the spot in the formats that others publish."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.data.readers import ReaderOptions, formats
from paddle_ground.data.source import DialogueRow, Source, SourceRow


def _write_image(path: Path, size_wh: tuple[int, int] = (200, 100), shade: int = 0) -> Path:
    """Write an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    kind = "PNG" if path.suffix == ".png" else "JPEG"
    Image.new("RGB", size_wh, (shade % 256, 40, 90)).save(stream, kind)
    path.write_bytes(stream.getvalue())
    return path


def _write_rows(path: Path, rows: Sequence[Any]) -> Path:
    """Write rows: a list for .json, lines for .jsonl."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    else:
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    return path


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """Function that writes an image of one colour."""
    return _write_image


@pytest.fixture
def write_rows() -> Callable[..., Path]:
    """Function that writes rows as JSON."""
    return _write_rows


@pytest.fixture
def open_as() -> Callable[..., Source]:
    """Function that opens a path in a format by name."""

    def open_path(name: str, path: Path, **options: Any) -> Source:
        one = next(one for one in formats() if one.name == name)
        return one.open(path, ReaderOptions(**options))

    return open_path


@pytest.fixture
def rows_of() -> Callable[[Source], list[SourceRow | DialogueRow]]:
    """Function that reads all rows, and holds what the survey says against them."""

    def read(source: Source) -> list[SourceRow | DialogueRow]:
        found: list[SourceRow | DialogueRow] = []
        for chunk in source.chunks:
            rows = list(source.read(chunk, np.arange(chunk.rows)))
            facts = source.survey(chunk)
            assert [row.image_id for row in rows] == facts.image_ids.tolist()
            assert [len(row.boxes_xyxy_px) for row in rows] == facts.boxes.tolist()
            found += rows
        return found

    return read
