"""Row groups of parquet shards: their annotations, read batch by batch and kept where they are few.

Takes a group, gives `Annotations` with the number of their first row. Knows neither images nor layouts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from paddle_ground.boxes import IntArray
from paddle_ground.data.parquet_columns import UNKNOWN, Annotations, read_annotations
from paddle_ground.data.parquet_pages import ColumnPlace
from paddle_ground.data.parquet_shard import open_shard
from paddle_ground.data.shards import Shard
from paddle_ground.errors import DataError

_FACT_COLUMNS = ("image_id", "width", "height", "objects")
_FACT_ROWS = 4096
# Annotations are asked for up to three times; of so many boxes, some 10 MB, they are read once.
_KEPT_BOXES = 1 << 17


@dataclass(frozen=True, slots=True)
class Group:
    """One row group of one shard.

    Attributes:
        shard: Which one.
        number: Of the group, within it.
        first_row: Likewise.
        rows: How many.
        images: Where their bytes can be read in pieces; None where they can't.
    """

    shard: Shard
    number: int
    first_row: int
    rows: int
    images: ColumnPlace | None


class GroupAnnotations:
    """Reads the annotations of groups; those that were read to the end may be kept.

    Args:
        class_names: By category id.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self._class_names = class_names
        self._kept: dict[tuple[str, int], list[tuple[int, Annotations]]] = {}
        self._room = _KEPT_BOXES

    def keep(self, groups: Sequence[Group]) -> None:
        """Read the annotations of small shards at once, which takes half as long as group by group.

        Args:
            groups: All groups of some shards, in order.

        Raises:
            DataError: They can't be read.
        """
        for shard, found in groupby(groups, lambda group: group.shard):
            own = list(found)
            if sum(group.rows for group in own) > _FACT_ROWS:
                continue
            batches = list(_batches(shard, own, _FACT_COLUMNS, _FACT_ROWS))
            if len(batches) != 1:
                continue
            whole = self._of(batches[0][1], shard)
            if len(whole.boxes) > self._room:
                return
            self._room -= len(whole.boxes)
            for group in own:
                first = group.first_row - own[0].first_row
                part = whole.cut(first, first + group.rows)
                self._kept[shard.name, group.number] = [(group.first_row, part)]

    def read(self, group: Group) -> Iterator[tuple[int, Annotations]]:
        """Give a group's annotations without its images, each with the number of its first row in the shard.

        Raises:
            DataError: They can't be read.
        """
        place = (group.shard.name, group.number)
        if place in self._kept:
            yield from self._kept[place]
            return
        found: list[tuple[int, Annotations]] = []
        boxes = 0
        for first_row, batch in _batches(group.shard, [group], _FACT_COLUMNS, _FACT_ROWS):
            one = self._of(batch, group.shard)
            yield first_row, one
            boxes += len(one.boxes)
            if boxes <= self._room:
                found.append((first_row, one))
        if boxes <= self._room:
            self._room -= boxes
            self._kept[place] = found

    def read_with_images(self, group: Group, batch_rows: int) -> Iterator[tuple[int, Annotations, Any]]:
        """Give the same with the record batches that hold the images.

        Raises:
            DataError: They can't be read.
        """
        for first_row, batch in _batches(group.shard, [group], (*_FACT_COLUMNS, "image"), batch_rows):
            yield first_row, self._of(batch, group.shard), batch

    def _of(self, batch: Any, shard: Shard) -> Annotations:
        try:
            return read_annotations(batch, self._class_names)
        except DataError as error:
            raise DataError(
                f"{shard.name}: {error}; expected the columns of detection-datasets/coco"
            ) from error


def _batches(
    shard: Shard, groups: Sequence[Group], columns: Sequence[str], batch_rows: int
) -> Iterator[tuple[int, Any]]:
    """Give the batches of row groups that follow each other, each with the number of its first row."""
    import pyarrow as pa

    first_row = groups[0].first_row
    with open_shard(shard) as file:
        batches = file.iter_batches(
            batch_rows,
            row_groups=[group.number for group in groups],
            columns=[name for name in columns if name.split(".")[0] in file.schema_arrow.names],
            use_threads=False,
        )
        for batch in batches:
            yield first_row, batch
            first_row += batch.num_rows
    if "image" in columns:
        # Arrow would keep a row group's images for the next one, but each thread its own.
        pa.default_memory_pool().release_unused()


def image_ids(found: Annotations, first_row: int) -> IntArray:
    """Give an id for each row of a batch that begins with that row of its shard."""
    if found.image_ids is not None:
        return found.image_ids
    # Without a column, the row's place in its shard has to do; clashes are solved where files are named.
    return np.arange(first_row, first_row + len(found.offsets) - 1, dtype=np.int64)


def refuse_unknown_category(found: Annotations, shard: Shard, first_row: int, classes: int) -> None:
    """Refuse a batch with a category that is no class.

    Raises:
        DataError: There is one; with its shard, row and word.
    """
    unknown = np.flatnonzero(found.category_ids == UNKNOWN)
    if len(unknown):
        box = int(unknown[0])
        row = int(np.searchsorted(found.offsets, box, side="right")) - 1
        word, place = found.category_words[box].as_py(), box - int(found.offsets[row])
        raise DataError(
            f"{shard.name}:{first_row + row}: category {word!r} of box {place} is not among the {classes} "
            "classes; pass the data set's own class names with --classes"
        )
