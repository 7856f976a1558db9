"""Reads the `detection-datasets/coco` parquet layout and its relatives, a piece at a time.

Takes a folder of shards such as `train-00000-of-00040.parquet`, gives the chunks, facts and rows of
`paddle_ground.data.source`; a chunk is a row group. Columns: `image {bytes, path}`, `objects {bbox,
category, ...}`, and perhaps `image_id`, `width`, `height`. Image bytes are handed on as they are,
out of Arrow's own buffer. Knows nothing of answers, splits that are drawn, or output.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from paddle_ground.boxes import FloatArray, IntArray, valid_mask
from paddle_ground.data.classes import COCO_CLASSES
from paddle_ground.data.layout import BoxLayout, LayoutEvidence, weigh_layout
from paddle_ground.data.parquet_columns import UNKNOWN, Annotations, read_annotations
from paddle_ground.data.parquet_images import BatchImages
from paddle_ground.data.parquet_pages import ColumnPlace, find_column, read_values
from paddle_ground.data.parquet_rows import annotated_row, no_image
from paddle_ground.data.parquet_shard import check_columns, declared_classes, footer, open_shard
from paddle_ground.data.parquet_unpack import UnfitPagesError
from paddle_ground.data.shards import Shard, find_shards
from paddle_ground.data.source import Chunk, ChunkFacts, SourceRow
from paddle_ground.errors import DataError

# How many rows are in memory at a time in each worker; 32 photographs are about 5 MB.
_BATCH_ROWS = 32
_FACT_ROWS = 4096
# What a chunk takes whose images are read in pieces.
_PIECES_BYTES = 8 << 20
_FACT_COLUMNS = ("image_id", "width", "height", "objects")


@dataclass(frozen=True, slots=True)
class _Group:
    """One row group of one shard."""

    shard: Shard
    number: int
    first_row: int  # Within the shard.
    rows: int
    images: ColumnPlace | None  # Where their bytes can be read in pieces.


class CocoParquet:
    """A folder of parquet shards, open for reading.

    Args:
        root: The folder that holds the shards, at any depth; or one shard.
        class_names: By category id; None for what the shards declare themselves, else COCO's eighty.
        layout: What the boxes are; "auto" to find out.
        split_map: Output split ("train", "val" or "none") by source split; None for the usual names.
        name: For the meta file; None for the folder's name.

    Raises:
        DataError: No shards, a shard that can't be read, an unknown split or class, or boxes whose
            layout the evidence does not tell.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        class_names: Sequence[str] | None = None,
        layout: BoxLayout | None = None,
        split_map: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> None:
        self._root = Path(root)
        self._folder = self._root if self._root.is_dir() else self._root.parent
        self.name = name or self._root.resolve().name
        shards, notes = find_shards(self._root, split_map)
        self._notes = list(notes)
        self._groups: list[_Group] = []
        chunks: list[Chunk] = []
        digest = hashlib.sha256()
        declared: tuple[str, ...] | None = None
        for shard in shards:
            with open_shard(shard) as file:
                declared = declared or declared_classes(file, shard)
                check_columns(file, shard)
                digest.update(f"{shard.name} {shard.split} {shard.path.stat().st_size} ".encode())
                digest.update(footer(shard.path))
                first_row = 0
                for number in range(file.metadata.num_row_groups):
                    group = file.metadata.row_group(number)
                    rows = group.num_rows
                    images = find_column(file, number, "image.bytes")
                    self._groups.append(_Group(shard, number, first_row, rows, images))
                    size = group.total_byte_size
                    if images is not None:
                        size = max(size - (images.end - images.start), 0) + _PIECES_BYTES
                    chunks.append(Chunk(len(chunks), shard.split, rows, size))
                    first_row += rows
        self.chunks = tuple(chunks)
        self.class_names = tuple(class_names or declared or COCO_CLASSES)
        if class_names is None and declared is not None and declared != COCO_CLASSES:
            self._notes.append(f"classes: the {len(declared)} names that the shards declare")
        self.fingerprint = digest.hexdigest()
        self._layout: BoxLayout = layout or self._find_layout()
        if layout is not None:
            self._check_layout(layout)

    @property
    def notes(self) -> tuple[str, ...]:
        """Give what the user should hear about how the data set was understood."""
        return tuple(self._notes)

    def survey(self, chunk: Chunk) -> ChunkFacts:
        """Read a row group without its images; see `paddle_ground.data.source.Source`."""
        group = self._groups[chunk.index]
        image_ids: list[IntArray] = []
        boxes: list[IntArray] = []
        usable: list[IntArray] = []
        for first_row, found in self._annotations(group):
            _refuse_unknown_category(found, group.shard, first_row, len(self.class_names))
            rows = len(found.offsets) - 1
            image_ids.append(_image_ids(found, group, first_row))
            boxes.append(np.diff(found.offsets))
            good = valid_mask(self._corners(found.boxes)) & ~found.is_crowd
            row_of_box = np.repeat(np.arange(rows), np.diff(found.offsets))
            usable.append(np.bincount(row_of_box[good], minlength=rows).astype(np.int64))
        return ChunkFacts(_joined(image_ids), _joined(boxes), _joined(usable))

    def read(self, chunk: Chunk, rows: IntArray) -> Iterator[SourceRow]:
        """Read rows of a row group with their images; see `paddle_ground.data.source.Source`."""
        return chain.from_iterable(self.read_batches(chunk, rows))

    def read_batches(self, chunk: Chunk, rows: IntArray) -> Iterator[Sequence[SourceRow]]:
        """Read the same in batches; see `paddle_ground.data.source.BatchedSource`."""
        group = self._groups[chunk.index]
        wanted = rows + group.first_row
        done = 0
        if group.images is not None:
            try:
                for batch in self._rows(group, wanted, read_values(group.shard.path, group.images)):
                    yield batch
                    done += len(batch)
                return
            except UnfitPagesError:
                pass  # Arrow reads what is left, or says what is wrong.
        yield from self._rows(group, wanted[done:], None)

    def _rows(
        self, group: _Group, wanted: IntArray, values: Iterator[memoryview | None] | None
    ) -> Iterator[Sequence[SourceRow]]:
        columns = (*_FACT_COLUMNS, "image" if values is None else "image.path")
        batch_rows = _BATCH_ROWS if values is None else _FACT_ROWS
        for first_row, batch in _batches(group, columns, batch_rows):
            found = _annotations_of(batch, group.shard, self.class_names)
            ids, boxes = _image_ids(found, group, first_row).tolist(), self._corners(found.boxes)
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                part = batch.slice(start, _BATCH_ROWS)
                given = None if values is None else list(islice(values, part.num_rows))
                if given is not None and len(given) != part.num_rows:
                    raise UnfitPagesError("fewer values than rows")
                first = first_row + start
                low, high = np.searchsorted(wanted, [first, first + part.num_rows])
                if low == high:
                    continue
                images = BatchImages(part, group.shard, self._folder, given)
                rows = []
                for shard_row in wanted[low:high].tolist():
                    row, where = shard_row - first_row, f"{group.shard.name}:{shard_row}"
                    read_image = partial(images.read, row - start, shard_row)
                    rows.append(annotated_row(found, boxes, row, ids[row], where, read_image))
                yield rows

    def outline(self, chunk: Chunk) -> Iterator[SourceRow]:
        """Give rows without their images; see `paddle_ground.data.source.OutlinedSource`."""
        group = self._groups[chunk.index]
        for first_row, found in self._annotations(group):
            boxes, ids = self._corners(found.boxes), _image_ids(found, group, first_row)
            for row, image_id in enumerate(ids.tolist()):
                where = f"{group.shard.name}:{first_row + row}"
                yield annotated_row(found, boxes, row, image_id, where, no_image)

    def _annotations(self, group: _Group) -> Iterator[tuple[int, Annotations]]:
        for first_row, batch in _batches(group, _FACT_COLUMNS, _FACT_ROWS):
            yield first_row, _annotations_of(batch, group.shard, self.class_names)

    def _corners(self, boxes: FloatArray) -> FloatArray:
        if self._layout == "xyxy":
            return boxes
        # Not xywh_to_xyxy: what is wrong with a box is found out, and counted, later.
        return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)

    def _weigh(self) -> LayoutEvidence:
        evidence = LayoutEvidence()
        for group in self._groups:
            for _, found in self._annotations(group):
                sizes_wh = np.repeat(found.sizes_wh, np.diff(found.offsets), axis=0)
                evidence = evidence + weigh_layout(found.boxes, sizes_wh, found.areas_px)
            if evidence.is_plain:
                break
        if evidence.are_fractions:
            raise DataError(
                f"{self._root}: all {evidence.boxes} boxes lie within 0..1, but boxes must be in pixels; "
                "multiply them by the image's width and height first"
            )
        return evidence

    def _find_layout(self) -> BoxLayout:
        evidence = self._weigh()
        if evidence.boxes == 0:
            return "xyxy"
        verdict = evidence.verdict()
        if verdict is None:
            raise DataError(
                f"{self._root}: can't tell the box layout ({evidence}); pass --bbox-format xyxy or xywh"
            )
        self._notes.append(f"boxes: {verdict} ({evidence})")
        return verdict

    def _check_layout(self, layout: BoxLayout) -> None:
        evidence = self._weigh()
        against = evidence.contradicts(layout)
        if evidence.verdict() not in (None, layout):
            self._notes.append(f"boxes: taken as {layout} as told, but {against} contradict it ({evidence})")


def _batches(
    group: _Group, columns: Sequence[str], batch_rows: int = _BATCH_ROWS
) -> Iterator[tuple[int, Any]]:
    """Give a row group's batches, each with the number of its first row in the shard."""
    import pyarrow as pa

    first_row = group.first_row
    with open_shard(group.shard) as file:
        batches = file.iter_batches(
            batch_rows,
            row_groups=[group.number],
            columns=[name for name in columns if name.split(".")[0] in file.schema_arrow.names],
            use_threads=False,
        )
        for batch in batches:
            yield first_row, batch
            first_row += batch.num_rows
    if "image" in columns:
        # Arrow would keep a row group's images for the next one, but each thread its own.
        pa.default_memory_pool().release_unused()


def _annotations_of(batch: Any, shard: Shard, class_names: Sequence[str]) -> Annotations:
    try:
        return read_annotations(batch, class_names)
    except DataError as error:
        raise DataError(f"{shard.name}: {error}; expected the columns of detection-datasets/coco") from error


def _image_ids(found: Annotations, group: _Group, first_row: int) -> IntArray:
    if found.image_ids is not None:
        return found.image_ids
    # Without a column, the row's place in its shard has to do; clashes are solved where files are named.
    return np.arange(first_row, first_row + len(found.offsets) - 1, dtype=np.int64)


def _refuse_unknown_category(found: Annotations, shard: Shard, first_row: int, classes: int) -> None:
    unknown = np.flatnonzero(found.category_ids == UNKNOWN)
    if len(unknown):
        box = int(unknown[0])
        row = int(np.searchsorted(found.offsets, box, side="right")) - 1
        word, place = found.category_words[box].as_py(), box - int(found.offsets[row])
        raise DataError(
            f"{shard.name}:{first_row + row}: category {word!r} of box {place} is not among the {classes} "
            "classes; pass the data set's own class names with --classes"
        )


def _joined(parts: list[IntArray]) -> IntArray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
