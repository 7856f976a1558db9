"""Arrow columns of object annotations -> flat numpy arrays, for every nesting that hubs use.

Takes record batches with the columns of `detection-datasets/coco` or its relatives: `objects` as a
struct of lists or as a list of structs, boxes as fixed-size or plain lists of any number type,
categories as label ids or as names. Gives `Annotations`. Knows no files and no image bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paddle_ground.boxes import BoolArray, FloatArray, IntArray
from paddle_ground.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

BOX_NAMES = ("bbox", "boxes", "bboxes")
CATEGORY_NAMES = ("category", "category_id", "label", "labels", "categories")
CROWD_NAMES = ("iscrowd", "is_crowd")
ID_NAMES = ("bbox_id", "id")
UNKNOWN = -1
# Others, such as segmentation masks, may be large and of any shape: they are not looked at.
_USED = (*BOX_NAMES, *CATEGORY_NAMES, *CROWD_NAMES, *ID_NAMES, "area")


@dataclass(frozen=True, slots=True)
class Annotations:
    """The annotations of R rows with M boxes in all, in the source's own layout.

    Attributes:
        image_ids: Shape (R,); None where the source has no such column.
        sizes_wh: Shape (R, 2), float, pixels; NaN where not stated.
        offsets: Shape (R + 1,): the boxes of row r are offsets[r] to offsets[r + 1].
        boxes: Shape (M, 4), as stated; NaN where a box has not four numbers.
        category_ids: Shape (M,); `UNKNOWN` for a category that is not among the classes.
        category_words: Gives what the source states as box m's category, for a message.
        areas_px: Shape (M,); NaN where not stated.
        is_crowd: Shape (M,).
    """

    image_ids: IntArray | None
    sizes_wh: FloatArray
    offsets: IntArray
    boxes: FloatArray
    category_ids: IntArray
    category_words: Sequence[Any]
    areas_px: FloatArray
    is_crowd: BoolArray

    def cut(self, first: int, last: int) -> Annotations:
        """Give those of some rows that follow each other."""
        rows, boxes = slice(first, last), slice(int(self.offsets[first]), int(self.offsets[last]))
        return Annotations(
            image_ids=None if self.image_ids is None else self.image_ids[rows],
            sizes_wh=self.sizes_wh[rows],
            offsets=self.offsets[first : last + 1] - self.offsets[first],
            boxes=self.boxes[boxes],
            category_ids=self.category_ids[boxes],
            category_words=self.category_words[boxes],
            areas_px=self.areas_px[boxes],
            is_crowd=self.is_crowd[boxes],
        )


def read_annotations(batch: pa.RecordBatch, class_names: Sequence[str]) -> Annotations:
    """Flatten a batch.

    Args:
        batch: With a column `objects`, and perhaps `image_id`, `width` and `height`.
        class_names: By category id.

    Raises:
        DataError: A column is missing or of a type that can't be understood; the message is a
            clause without a place, for the caller to complete.
    """
    if "objects" not in batch.schema.names:
        raise DataError(f"no column `objects` among {', '.join(batch.schema.names)}")
    offsets, fields = _flatten_objects(batch.column("objects"))
    boxes = _boxes(_field(fields, BOX_NAMES))
    words = _field(fields, CATEGORY_NAMES)
    category_ids = _category_ids(words, class_names)
    image_ids = _integers(batch.column("image_id")) if "image_id" in batch.schema.names else None
    areas = _floats(fields["area"]) if "area" in fields else np.full(len(boxes), np.nan)
    return Annotations(
        image_ids=image_ids,
        sizes_wh=_sizes(batch),
        offsets=offsets,
        boxes=boxes,
        category_ids=category_ids,
        category_words=words,
        areas_px=areas,
        is_crowd=_crowd_flags(fields, image_ids, offsets, len(boxes)),
    )


def _flatten_objects(column: Any) -> tuple[IntArray, dict[str, Any]]:
    """Give row offsets and one flat array a field, for both ways of nesting."""
    import pyarrow as pa

    if pa.types.is_struct(column.type):
        names = [field.name for field in column.type]
        lists = dict(zip(names, column.flatten(), strict=True))
        lists = {name: lists[name] for name in names if name in _USED and _is_list(lists[name].type)}
        offsets = {name: _offsets(_lengths(values)) for name, values in lists.items()}
        _refuse_unequal(offsets)
        first = next(iter(offsets.values()), np.zeros(len(column) + 1, dtype=np.int64))
        return first, {name: _flat(values) for name, values in lists.items()}
    if _is_list(column.type) and pa.types.is_struct(column.type.value_type):
        structs = _flat(column)
        names = [field.name for field in structs.type]
        return _offsets(_lengths(column)), dict(zip(names, structs.flatten(), strict=True))
    raise DataError(f"column `objects` is {column.type}, expected a struct of lists or a list of structs")


def _refuse_unequal(offsets: dict[str, IntArray]) -> None:
    first = next(iter(offsets), None)
    for name in offsets:
        if not np.array_equal(offsets[name], offsets[first or name]):
            raise DataError(f"`objects.{name}` is not as long as `objects.{first}` in some row")


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _lengths(lists: Any) -> IntArray:
    """Give how many values each list has, 0 for null.

    Where nothing is null, here and below, without `pyarrow.compute` and Arrow's `to_numpy`: they import
    pandas, which takes longer than reading thousands of rows.
    """
    import pyarrow as pa

    if lists.null_count:
        return _integers(lists.value_lengths(), 0)
    if pa.types.is_fixed_size_list(lists.type):
        return np.full(len(lists), lists.type.list_size, dtype=np.int64)
    lengths: IntArray = np.diff(_view(lists.offsets)).astype(np.int64)
    return lengths


def _flat(lists: Any) -> Any:
    """Give the values of all lists, end to end."""
    import pyarrow as pa

    if lists.null_count:
        return lists.flatten()  # A null may have values beneath it.
    if pa.types.is_fixed_size_list(lists.type):
        size = lists.type.list_size
        return lists.values.slice(lists.offset * size, len(lists) * size)
    first, last = _view(lists.offsets)[[0, -1]].tolist()
    return lists.values.slice(first, last - first)


def _view(numbers: Any) -> np.ndarray[Any, Any]:
    """Give an Arrow array without nulls as it lies in memory, read-only."""
    import pyarrow as pa

    letter = "f" if pa.types.is_floating(numbers.type) else "i"
    buffer = numbers.buffers()[1]
    whole = np.frombuffer(b"" if buffer is None else buffer, dtype=f"{letter}{numbers.type.bit_width // 8}")
    return whole[numbers.offset : numbers.offset + len(numbers)]


def _offsets(lengths: IntArray) -> IntArray:
    offsets: IntArray = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return offsets


def _field(fields: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if name in fields:
            return fields[name]
    found = ", ".join(fields) or "no list of a known name"
    raise DataError(f"column `objects` has no `{names[0]}`, only {found}")


def _boxes(values: Any) -> FloatArray:
    if not _is_list(values.type):
        raise DataError(f"`objects.bbox` holds {values.type}, expected lists of 4 numbers")
    lengths = _lengths(values)
    numbers = _floats(_flat(values))
    whole = lengths == 4
    if whole.all():
        return numbers.reshape(-1, 4)
    # A box of three numbers, or null: not a box, like one with NaN.
    boxes = np.full((len(lengths), 4), np.nan)
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1][whole].astype(np.int64)
    boxes[whole] = numbers[starts[:, None] + np.arange(4)]
    return boxes


def _category_ids(words: Any, class_names: Sequence[str]) -> IntArray:
    import pyarrow as pa

    if pa.types.is_string(words.type) or pa.types.is_large_string(words.type):
        import pyarrow.compute as pc

        names = pa.array(class_names, words.type)
        return _integers(pc.index_in(words, value_set=names))
    ids = _integers(words)
    ids[(ids < 0) | (ids >= len(class_names))] = UNKNOWN
    return ids


def _crowd_flags(
    fields: dict[str, Any], image_ids: IntArray | None, offsets: IntArray, boxes: int
) -> BoolArray:
    for name in CROWD_NAMES:
        if name in fields:
            flags: BoolArray = _integers(fields[name]) > 0
            return flags
    for name in ID_NAMES:
        if name in fields and image_ids is not None:
            return _coco_crowd(_integers(fields[name]), np.repeat(image_ids, np.diff(offsets)))
    return np.zeros(boxes, dtype=np.bool_)


def _coco_crowd(box_ids: IntArray, image_ids: IntArray) -> BoolArray:
    """Tell crowd boxes by COCO's own numbering.

    The parquet has no crowd column, but COCO gives crowd annotations ids of their own:
    900,000,000,000 + 100,000,000 * category (1..90) + image id. All others are far below.
    """
    rest = box_ids - 900_000_000_000 - image_ids
    flags: BoolArray = (rest % 100_000_000 == 0) & (rest >= 100_000_000) & (rest <= 9_000_000_000)
    return flags


def _sizes(batch: pa.RecordBatch) -> FloatArray:
    sides = [
        _floats(batch.column(name)) if name in batch.schema.names else np.full(batch.num_rows, np.nan)
        for name in ("width", "height")
    ]
    return np.stack(sides, axis=1)


def _floats(values: Any) -> FloatArray:
    """Give float64, NaN for null."""
    import pyarrow as pa

    is_plain = pa.types.is_floating(values.type) or pa.types.is_signed_integer(values.type)
    if is_plain and not values.null_count:
        return np.asarray(_view(values), dtype=np.float64)
    try:
        # safe=False: an int64 beyond 2**53 may lose its last digits, no pixel coordinate is that large.
        return np.asarray(
            values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64
        )
    except pa.ArrowException as error:
        raise DataError(f"expected numbers, found {values.type}") from error


def _integers(values: Any, null: int = UNKNOWN) -> IntArray:
    """Give int64, another number for null."""
    import pyarrow as pa

    if pa.types.is_signed_integer(values.type) and not values.null_count:
        return np.array(_view(values), dtype=np.int64)
    try:
        whole = values.cast(pa.int64()).fill_null(null)
    except pa.ArrowException as error:
        raise DataError(f"expected whole numbers, found {values.type}") from error
    # A copy: Arrow's own memory is read-only.
    return np.array(whole.to_numpy(zero_copy_only=False), dtype=np.int64)
