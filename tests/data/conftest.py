"""Small data sets in the parquet layout, as hubs have them and as they should not be."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

SCHEMA = pa.schema(
    {
        "image_id": pa.int64(),
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "width": pa.int64(),
        "height": pa.int64(),
        "objects": pa.struct(
            {
                "bbox_id": pa.list_(pa.int64()),
                "category": pa.list_(pa.int64()),
                "bbox": pa.list_(pa.list_(pa.float64(), 4)),
                "area": pa.list_(pa.float64()),
            }
        ),
    }
)

# Boxes of this size in a 64 x 48 image can be corners only: as corner and size they would stick out.
PLAIN_BOX = (20.0, 12.0, 60.0, 40.0)

Row = dict[str, Any]


def _image_bytes(shade: int, size_wh: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
    """Encode an image of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", size_wh, (shade % 256, shade // 256 % 256, 99)).save(stream, kind)
    return stream.getvalue()


def _make_row(
    image_id: int,
    boxes: Sequence[Sequence[float]] = (PLAIN_BOX,),
    categories: Sequence[int] | None = None,
    data: bytes | None = None,
    size_wh: tuple[int, int] = (64, 48),
    **changes: Any,
) -> Row:
    """Make a row that is right, but for the changes."""
    row: Row = {
        "image_id": image_id,
        "image": {"bytes": _image_bytes(image_id, size_wh) if data is None else data, "path": None},
        "width": size_wh[0],
        "height": size_wh[1],
        "objects": {
            "bbox_id": [image_id * 10 + number for number in range(len(boxes))],
            "category": list(categories if categories is not None else [0] * len(boxes)),
            "bbox": [list(box) for box in boxes],
            "area": [abs(box[2] - box[0]) * abs(box[3] - box[1]) for box in boxes],
        },
    }
    return row | changes


def _write_shard(path: Path, rows: Sequence[Row], schema: pa.Schema = SCHEMA, group_rows: int = 4) -> Path:
    """Write rows as a parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path, row_group_size=group_rows)
    return path


@pytest.fixture
def schema() -> pa.Schema:
    """Schema of `detection-datasets/coco`."""
    return SCHEMA


@pytest.fixture
def image_bytes() -> Callable[..., bytes]:
    """Function that encodes an image of one colour."""
    return _image_bytes


@pytest.fixture
def make_row() -> Callable[..., Row]:
    """Function that makes a row that is right, but for the changes."""
    return _make_row


@pytest.fixture
def write_shard() -> Callable[..., Path]:
    """Function that writes rows as a parquet file."""
    return _write_shard


@pytest.fixture
def source_dir(tmp_path: Path) -> Path:
    """Folder with 26 right rows in three train shards, and 5 in a val shard."""
    root = tmp_path / "source"
    for shard in range(3):
        rows = [_make_row(shard * 100 + i) for i in range(10 if shard < 2 else 6)]
        _write_shard(root / "data" / f"train-{shard:05d}-of-00003.parquet", rows)
    _write_shard(root / "data" / "val-00000-of-00001.parquet", [_make_row(1000 + i) for i in range(5)])
    return root


@pytest.fixture
def one_shard(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes rows as the only train shard and gives its folder."""

    def write(*rows: Row, **options: Any) -> Path:
        return _write_shard(tmp_path / "source" / "train-00000-of-00001.parquet", rows, **options).parent

    return write
