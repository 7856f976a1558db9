"""Reads the `detection-datasets/coco` parquet layout and its relatives, a piece at a time.

Takes a folder of shards such as `train-00000-of-00040.parquet`, gives the chunks, facts and rows of
`paddle_ground.data.source`; a chunk is a row group. Columns: `image {bytes, path}`, `objects {bbox,
category, ...}`, and perhaps `image_id`, `width`, `height`. Image bytes are handed on as they are,
out of Arrow's own buffer. Knows nothing of answers, splits that are drawn, or output.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from paddle_ground.boxes import FloatArray, IntArray, valid_mask
from paddle_ground.data.classes import COCO_CLASSES
from paddle_ground.data.layout import BoxLayout, LayoutEvidence, weigh_layout
from paddle_ground.data.parquet_columns import Annotations
from paddle_ground.data.parquet_groups import Group, GroupAnnotations, image_ids, refuse_unknown_category
from paddle_ground.data.parquet_images import BatchImages
from paddle_ground.data.parquet_pages import find_column, read_values
from paddle_ground.data.parquet_rows import annotated_row, no_image
from paddle_ground.data.parquet_shard import check_columns, declared_classes, footer, open_shard
from paddle_ground.data.parquet_unpack import UnfitPagesError
from paddle_ground.data.shards import find_shards
from paddle_ground.data.source import Chunk, ChunkFacts, SourceRow
from paddle_ground.errors import DataError

# How many rows are in memory at a time in each worker; 32 photographs are about 5 MB.
_BATCH_ROWS = 32
# What a chunk takes whose images are read in pieces.
_PIECES_BYTES = 8 << 20
_MakeRow = Callable[[int, Callable[[], bytes | memoryview]], SourceRow]


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
        self._groups: list[Group] = []
        chunks: list[Chunk] = []
        digest = hashlib.sha256()
        declared: tuple[str, ...] | None = None
        for shard in shards:
            with open_shard(shard) as file:
                declared = declared or declared_classes(file, shard)
                check_columns(file, shard)
                digest.update(
                    f"{shard.name} {shard.split} {shard.path.stat().st_size} ".encode(errors="replace")
                )
                digest.update(footer(shard.path))
                first_row = 0
                for number in range(file.metadata.num_row_groups):
                    group = file.metadata.row_group(number)
                    rows = group.num_rows
                    images = find_column(file, number, "image.bytes")
                    self._groups.append(Group(shard, number, first_row, rows, images))
                    size = group.total_byte_size
                    if images is not None:
                        size = max(size - (images.end - images.start), 0) + _PIECES_BYTES
                    chunks.append(Chunk(len(chunks), shard.split, rows, size))
                    first_row += rows
        self.chunks = tuple(chunks)
        self.class_names = tuple(class_names or declared or COCO_CLASSES)
        self._annotations = GroupAnnotations(self.class_names)
        self._annotations.keep(self._groups)
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
        ids: list[IntArray] = []
        boxes: list[IntArray] = []
        usable: list[IntArray] = []
        for first_row, found in self._annotations.read(group):
            refuse_unknown_category(found, group.shard, first_row, len(self.class_names))
            rows = len(found.offsets) - 1
            ids.append(image_ids(found, first_row))
            boxes.append(np.diff(found.offsets))
            good = valid_mask(self._corners(found.boxes)) & ~found.is_crowd
            row_of_box = np.repeat(np.arange(rows), np.diff(found.offsets))
            usable.append(np.bincount(row_of_box[good], minlength=rows).astype(np.int64))
        return ChunkFacts(_joined(ids), _joined(boxes), _joined(usable))

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
                values = read_values(group.shard.path, group.images)
                for batch in self._rows_of_values(group, wanted, values):
                    yield batch
                    done += len(batch)
                return
            except UnfitPagesError:
                pass  # Arrow reads what is left, or says what is wrong.
        yield from self._rows(group, wanted[done:])

    def _rows_of_values(
        self, group: Group, wanted: IntArray, values: Iterator[memoryview | None]
    ) -> Iterator[Sequence[SourceRow]]:
        """Give rows with the images that come one after another."""
        for first_row, found in self._annotations.read(group):
            make_row = self._row_maker(found, group, first_row)
            rows = len(found.offsets) - 1
            for start in range(0, rows, _BATCH_ROWS):
                images = list(islice(values, min(_BATCH_ROWS, rows - start)))
                first, last = first_row + start, first_row + min(start + _BATCH_ROWS, rows)
                if len(images) != last - first:
                    raise UnfitPagesError("fewer values than rows")
                low, high = np.searchsorted(wanted, [first, last])
                chosen = [(row, images[row - first]) for row in wanted[low:high].tolist()]
                if any(image is None for _, image in chosen):
                    raise UnfitPagesError("an image that is elsewhere")
                if chosen:
                    yield [make_row(row - first_row, partial(_given, image)) for row, image in chosen]

    def _rows(self, group: Group, wanted: IntArray) -> Iterator[Sequence[SourceRow]]:
        """Give rows with their images as Arrow reads them."""
        for first_row, found, batch in self._annotations.read_with_images(group, _BATCH_ROWS):
            low, high = np.searchsorted(wanted, [first_row, first_row + batch.num_rows])
            if low < high:
                make_row = self._row_maker(found, group, first_row)
                images = BatchImages(batch, group.shard, self._folder)
                yield [
                    make_row(row - first_row, partial(images.read, row - first_row, row))
                    for row in wanted[low:high].tolist()
                ]

    def _row_maker(self, found: Annotations, group: Group, first_row: int) -> _MakeRow:
        boxes, ids = self._corners(found.boxes), image_ids(found, first_row).tolist()

        def make_row(row: int, read_image: Callable[[], bytes | memoryview]) -> SourceRow:
            where = f"{group.shard.name}:{first_row + row}"
            return annotated_row(found, boxes, row, ids[row], where, read_image)

        return make_row

    def outline(self, chunk: Chunk) -> Iterator[SourceRow]:
        """Give rows without their images; see `paddle_ground.data.source.OutlinedSource`."""
        group = self._groups[chunk.index]
        for first_row, found in self._annotations.read(group):
            make_row = self._row_maker(found, group, first_row)
            for row in range(len(found.offsets) - 1):
                yield make_row(row, no_image)

    def _corners(self, boxes: FloatArray) -> FloatArray:
        if self._layout == "xyxy":
            return boxes
        # Not xywh_to_xyxy: what is wrong with a box is found out, and counted, later.
        return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)

    def _weigh(self) -> LayoutEvidence:
        evidence = LayoutEvidence()
        for group in self._groups:
            for _, found in self._annotations.read(group):
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


def _given(image: memoryview) -> memoryview:
    return image


def _joined(parts: list[IntArray]) -> IntArray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
