"""The registry's door to COCO parquet: names it, recognises it, opens it.

Takes a folder of parquet shards (or one shard), gives a `Source`; the reading itself is done by
`paddle_ground.data.coco_parquet`.
"""

from __future__ import annotations

from pathlib import Path

from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.source import Source

_COLUMNS = ("image", "objects")


def _recognise(path: Path) -> str | None:
    shards = sorted(_shards(path))
    if not shards:
        return None
    what = f"{len(shards)} *.parquet" if path.is_dir() else "a *.parquet file"
    for shard in shards:
        columns = _columns(shard)
        if columns is None:
            continue  # Broken: the next one may tell.
        if not set(_COLUMNS) <= set(columns):
            return None
        return f"{what} with the columns {' and '.join(_COLUMNS)}"
    return f"{what}, though none of them can be read"


def _shards(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    return [shard for shard in path.rglob("*.parquet") if not shard.name.startswith(".")]


def _columns(shard: Path) -> list[str] | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(shard).names)
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return None


def _open(path: Path, options: ReaderOptions) -> Source:
    from paddle_ground.data.coco_parquet import CocoParquet

    return CocoParquet(path, options.classes, options.layout, options.split_map, options.name)


FORMAT = Format("coco_parquet", "COCO parquet (detection-datasets/coco)", _recognise, _open)
