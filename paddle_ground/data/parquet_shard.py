"""One parquet shard: opened, its columns looked at, its footer read.

Takes a `Shard`, gives Arrow's file, class names, and clear errors. Knows neither rows nor images.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paddle_ground.data.classes import check_classes
from paddle_ground.data.shards import Shard
from paddle_ground.errors import DataError

_BUFFER_BYTES = 1 << 20


@contextmanager
def open_shard(shard: Shard) -> Iterator[Any]:
    """Open a shard, and turn all that Arrow says of it into one line.

    Raises:
        DataError: It is not readable.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # buffer_size: pages are read as they are needed, not a whole row group's images at once.
        with pq.ParquetFile(shard.path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        # Arrow's messages have several lines; the first one says it.
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise DataError(f"{shard.name}: not a readable parquet shard ({reason}); fetch it again") from error


def check_columns(file: Any, shard: Shard) -> None:
    """Refuse a shard without images or objects."""
    names = file.schema_arrow.names
    missing = [name for name in ("image", "objects") if name not in names]
    if missing:
        raise DataError(
            f"{shard.name}: no column `{missing[0]}` among {', '.join(names)}; expected the columns of "
            "detection-datasets/coco: image, objects, and perhaps image_id, width, height"
        )


def declared_classes(file: Any, shard: Shard) -> tuple[str, ...] | None:
    """Read the class names out of the features note that the `datasets` library leaves in a shard."""
    note = (file.schema_arrow.metadata or {}).get(b"huggingface")
    try:
        objects = json.loads(note or b"{}")["info"]["features"]["objects"]
        fields = objects[0] if isinstance(objects, list) else objects.get("feature", objects)
        names = fields["category"].get("names") or fields["category"]["feature"]["names"]
        names = tuple(str(name) for name in names)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None  # No note, or one that says nothing of classes.
    check_classes(names, f"{shard.name} (declared classes)")
    return names


def footer(path: Path) -> bytes:
    """Give a parquet file's end, where all sizes, offsets and statistics stand."""
    with path.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - 65536))
        return stream.read()
