"""The image bytes of parquet rows: out of Arrow's buffer, or from the file that a row names.

Takes a record batch with a column `image`, gives bytes. Decodes nothing; knows no annotations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paddle_ground.data.readers.inside import find_inside, read_inside
from paddle_ground.data.shards import Shard
from paddle_ground.errors import DataError


class BatchImages:
    """The images of one record batch.

    Args:
        batch: With a column `image`: a struct of `bytes` and `path`, or plain binary. It may be missing.
        shard: Where the batch comes from.
        root: The data set's folder, which no path may leave.
    """

    def __init__(self, batch: Any, shard: Shard, root: Path) -> None:
        import pyarrow as pa

        self._shard, self._root = shard, root
        self._paths: Any = None
        self._bytes: Any = None
        if "image" not in batch.schema.names:
            return
        column = batch.column("image")
        if pa.types.is_struct(column.type):
            names = [field.name for field in column.type]
            parts = dict(zip(names, column.flatten(), strict=True))
            self._paths = parts.get("path")
            column = parts.get("bytes")
        self._bytes = column

    def read(self, row: int, shard_row: int) -> memoryview | bytes:
        """Give the bytes of one image.

        Args:
            row: Its place in the batch.
            shard_row: Its place in the shard, for messages.

        Returns:
            A view into Arrow's memory, or a file's content.

        Raises:
            DataError: Neither bytes nor a file are there, or the path leads out of the data set.
        """
        value = self._bytes[row] if self._bytes is not None else None
        if value is not None and value.is_valid:
            # Arrow calls its bytes signed; here a byte is 0..255.
            return memoryview(value.as_buffer()).cast("B")
        path = self._paths[row].as_py() if self._paths is not None else None
        where = f"{self._shard.name}:{shard_row}"
        if not path:
            raise DataError(
                f"{where}: the image is missing (no bytes, no path); remove the row or fetch the shard anew"
            )
        return read_inside(find_inside(self._root, path, (self._shard.path.parent, self._root), where), where)
