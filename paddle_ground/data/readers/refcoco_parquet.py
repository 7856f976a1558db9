"""Reads referring expressions out of parquet shards, a row group at a time.

Takes a folder of shards (or one) with the columns that `refcoco` knows, gives one `SourceRow` for the rows of
a split that are about the same image, where the first of them stands. Images stand in the shard, or are named
by a path. Knows nothing of JSON files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from paddle_ground.boxes import IntArray, valid_mask
from paddle_ground.data.dialogue import ANY_OBJECT
from paddle_ground.data.layout import BoxLayout, LayoutEvidence, weigh_layout
from paddle_ground.data.parquet_images import BatchImages
from paddle_ground.data.readers import ReaderOptions
from paddle_ground.data.readers.pictures import Pictures
from paddle_ground.data.readers.refcoco import IMAGE_KEYS, PHRASE_KEYS, read_refcoco_row
from paddle_ground.data.readers.regions import RegionRow, source_row
from paddle_ground.data.shards import Shard, find_shards
from paddle_ground.data.source import Chunk, ChunkFacts, SourceRow
from paddle_ground.errors import DataError, RecordError

_BATCH_ROWS = 16
_FURTHER = ("bbox", "iscrowd", "width", "height", "raw_image_info")
_CLASS_IDS = {ANY_OBJECT: 0}


@dataclass(frozen=True, slots=True)
class _Group:
    """One row group: where it begins, and the rows of each image that no group before it has.

    `more`: what later groups say of an image, by the place of its first row here.
    """

    shard: Shard
    number: int
    first_row: int
    images: tuple[tuple[int, ...], ...]
    more: dict[int, list[RegionRow]] = field(default_factory=dict)


class RefcocoParquet:
    """A folder of shards, open for reading; a `paddle_ground.data.source.Source`.

    Args:
        path: The folder, or one shard.
        options: What the user said.

    Raises:
        DataError: No shards, one that can't be read, or boxes whose layout the evidence does not tell.
    """

    def __init__(self, path: Path, options: ReaderOptions) -> None:
        self._root = path.parent if path.is_file() else path
        self.name = options.name or path.resolve().name
        self.class_names = (ANY_OBJECT,)
        shards, notes = _shards(path, options)
        self._groups: list[_Group] = []
        evidence = LayoutEvidence()
        digest = hashlib.sha256()
        chunks: list[Chunk] = []
        self._pictures = Pictures(self._root)
        seen: _Seen = {}
        for shard in shards:
            digest.update(
                f"{shard.name} {shard.split} {shard.path.stat().st_size}\n".encode(errors="replace")
            )
            for group, rows, size in self._scan(shard):
                for row in rows:
                    evidence += _weigh(row)
                    digest.update(repr((row.image, row.boxes, row.phrases)).encode("utf-8", errors="replace"))
                if not self._groups:
                    self._pictures.settle(row.image for row in rows)
                group = _without_seen(group, rows, seen)
                if not group.images:
                    continue
                chunks.append(Chunk(len(chunks), shard.split, len(group.images), size))
                self._groups.append(group)
        self.chunks = tuple(chunks)
        self._layout, note = _settle(evidence, options.layout, path)
        self.notes = (*notes, *self._pictures.notes, *note)
        self.fingerprint = digest.hexdigest()

    def survey(self, chunk: Chunk) -> ChunkFacts:
        """Read rows without their images; see `paddle_ground.data.source.Source`."""
        rows = list(self.outline(chunk))
        return ChunkFacts(
            np.array([row.image_id for row in rows], dtype=np.int64),
            np.array([len(row.boxes_xyxy_px) for row in rows], dtype=np.int64),
            np.array([(valid_mask(row.boxes_xyxy_px) & ~row.is_crowd).sum() for row in rows], dtype=np.int64),
        )

    def outline(self, chunk: Chunk) -> Iterator[SourceRow]:
        """Give all rows without images; see `paddle_ground.data.source.OutlinedSource`."""
        group = self._groups[chunk.index]
        regions = _regions(group.shard, group.number, group.first_row)
        for image in group.images:
            yield self._row(group, [regions[row] for row in image], image[0], _no_image)

    def read(self, chunk: Chunk, rows: IntArray) -> Iterator[SourceRow]:
        """Read rows with their images; see `paddle_ground.data.source.Source`."""
        group = self._groups[chunk.index]
        regions = _regions(group.shard, group.number, group.first_row)
        wanted = [group.images[row] for row in rows.tolist()]
        for first, batch in _image_batches(group):
            images = BatchImages(batch, group.shard, self._root) if batch is not None else None
            end = first + (batch.num_rows if batch is not None else len(regions))
            while wanted and wanted[0][0] < end:
                image = wanted.pop(0)
                place = image[0]
                where = f"{group.shard.name}:{group.first_row + place}"
                read_image = (
                    partial(images.read, place - first, group.first_row + place)
                    if images is not None
                    else self._pictures.reader(regions[place].image, where)
                )
                yield self._row(group, [regions[row] for row in image], place, read_image)

    def _row(self, group: _Group, rows: list[RegionRow], place: int, read_image: Any) -> SourceRow:
        rows = rows + group.more.get(place, [])
        where = f"{group.shard.name}:{group.first_row + place}"
        return source_row(rows, self._layout, _CLASS_IDS, read_image, where)

    def _scan(self, shard: Shard) -> Iterator[tuple[_Group, list[RegionRow], int]]:
        with _open(shard) as file:
            metadata = file.metadata
        first_row = 0
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            rows = _regions(shard, number, first_row)
            by_name: dict[str, list[int]] = {}
            for place, row in enumerate(rows):
                by_name.setdefault(row.image, []).append(place)
            images = tuple(tuple(places) for places in by_name.values())
            yield _Group(shard, number, first_row, images), rows, group.total_byte_size
            first_row += group.num_rows


_Seen = dict[tuple[str, str, tuple[int, int] | None], tuple[_Group, int]]
"""By split, name and size of an image: the first group that has it, and the place of its first row there."""


def _without_seen(group: _Group, rows: list[RegionRow], seen: _Seen) -> _Group:
    """Hand what is said of images that earlier groups have to those: rows of their own would be copies."""
    own: list[tuple[int, ...]] = []
    more: dict[int, list[RegionRow]] = {}
    left = replace(group, images=(), more=more)
    for places in group.images:
        first = rows[places[0]]
        earlier, place = seen.setdefault((group.shard.split, first.image, first.size_wh), (left, places[0]))
        if earlier is left:
            own.append(places)
        else:
            earlier.more.setdefault(place, []).extend(rows[one] for one in places)
    return replace(left, images=tuple(own))


def _shards(path: Path, options: ReaderOptions) -> tuple[tuple[Shard, ...], tuple[str, ...]]:
    if path.is_file():
        return (Shard(path, path.name, "train"),), ()
    return find_shards(path, {"testa": "none", "testb": "none", **(options.split_map or {})})


@contextmanager
def _open(shard: Shard) -> Iterator[Any]:
    """Open a shard, and turn all that Arrow says of it into one line."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(shard.path, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise DataError(f"{shard.name}: not a readable parquet shard ({reason}); fetch it again") from error


def _regions(shard: Shard, number: int, first_row: int) -> list[RegionRow]:
    """Read what a row group says, without the images' bytes."""
    import pyarrow as pa

    with _open(shard) as file:
        schema = file.schema_arrow
        wanted = [name for name in (*PHRASE_KEYS, *IMAGE_KEYS, *_FURTHER) if name in schema.names]
        names = [name for name in wanted if not pa.types.is_struct(schema.field(name).type)]
        names = [name for name in names if not pa.types.is_binary(schema.field(name).type)]
        table = file.read_row_group(number, columns=names)
    rows = []
    for place, value in enumerate(table.to_pylist()):
        where = f"{shard.name}:{first_row + place}"
        try:
            rows.append(read_refcoco_row(value, where))
        except RecordError as error:
            raise DataError(str(error)) from error
    return rows


def _image_batches(group: _Group) -> Iterator[tuple[int, Any]]:
    """Give the batches of a column of image bytes, each with its first row; one None where there is none."""
    import pyarrow as pa

    with _open(group.shard) as file:
        schema = file.schema_arrow
        if "image" not in schema.names or pa.types.is_string(schema.field("image").type):
            yield 0, None
            return
        first = 0
        batches = file.iter_batches(
            _BATCH_ROWS, row_groups=[group.number], columns=["image"], use_threads=False
        )
        for batch in batches:
            yield first, batch
            first += batch.num_rows
    pa.default_memory_pool().release_unused()


def _weigh(row: RegionRow) -> LayoutEvidence:
    boxes = np.array(row.boxes, dtype=np.float64).reshape(-1, 4)
    sizes = np.tile(np.array(row.size_wh or (np.nan, np.nan), dtype=np.float64), (len(boxes), 1))
    return weigh_layout(boxes, sizes, np.full(len(boxes), np.nan))


def _settle(
    evidence: LayoutEvidence, told: BoxLayout | None, path: Path
) -> tuple[BoxLayout, tuple[str, ...]]:
    found = evidence.verdict()
    if told is not None:
        against = evidence.contradicts(told)
        clash = f"boxes: taken as {told}, but {against} contradict it ({evidence})"
        return told, (clash,) if found not in (None, told) else ()
    if found is None:
        raise DataError(f"{path}: can't tell the box layout ({evidence}); pass --bbox-format xyxy or xywh")
    return found, (f"boxes: {found} ({evidence})",)


def _no_image() -> bytes:
    raise DataError("this row was read without its image")
