"""The byte strings of one parquet column chunk, one after another, however large the chunk is.

Takes a shard and the place of a column chunk, gives its values in order. Arrow holds a chunk's page
packed, unpacked and taken apart at the same time, and writers put all images of a row group into one
page: 1,000 photographs take it 600 MB. Here a page is read and unpacked a megabyte at a time.

Read are the common cases of the format (parquet-format 2.x, `Encodings.md` and `parquet.thrift`): flat or
struct columns, plain values or a dictionary whose values are all used once and in order, stored as they
are or with Snappy. Of anything else, broken files too, `UnfitPagesError` says that it is Arrow's turn.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from paddle_ground.boxes import IntArray
from paddle_ground.data.parquet_headers import PageHeader, read_page_header
from paddle_ground.data.parquet_unpack import Piecewise, UnfitPagesError, decode_hybrid, unpack

_PLAIN, _DICTIONARIES = 0, (2, 8)
# A page of dictionary places is small: 20 bits a row at most.
_MAX_PLACES_BYTES = 4 << 20
# Bitmaps and the like take Snappy many short steps, which is slow to follow here. JPEG and PNG do not.
_MAX_RATIO = 1.1


@dataclass(frozen=True, slots=True)
class ColumnPlace:
    """Where a column chunk of byte strings is, and how it is laid out.

    Attributes:
        start: Of its first page, in bytes.
        end: Behind its last one.
        values: How many there are, nulls too.
        is_packed: With Snappy.
        max_level: The definition level of a value that is there; lower ones are null.
    """

    start: int
    end: int
    values: int
    is_packed: bool
    max_level: int


@dataclass(frozen=True, slots=True)
class _Page:
    header: PageHeader
    start: int  # Of what stands behind the header.


def find_column(file: Any, group: int, path: str) -> ColumnPlace | None:
    """Find a column chunk that can be read here.

    Args:
        file: An open `pyarrow.parquet.ParquetFile`.
        group: Number of the row group.
        path: Dotted name, such as "image.bytes".
    """
    metadata = file.metadata.row_group(group)
    for number in range(metadata.num_columns):
        column = metadata.column(number)
        if column.path_in_schema != path:
            continue
        kind = file.schema.column(number)
        is_known = column.physical_type == "BYTE_ARRAY" and column.compression in ("SNAPPY", "UNCOMPRESSED")
        if not is_known or kind.max_repetition_level:
            return None
        if column.total_uncompressed_size > _MAX_RATIO * column.total_compressed_size + 4096:
            return None
        start = column.data_page_offset
        if column.has_dictionary_page and column.dictionary_page_offset:
            start = min(start, column.dictionary_page_offset)
        end = start + column.total_compressed_size
        is_packed = column.compression == "SNAPPY"
        return ColumnPlace(start, end, column.num_values, is_packed, kind.max_definition_level)
    return None


def read_values(path: Path, column: ColumnPlace) -> Iterator[memoryview | None]:
    """Read a column chunk's values, None for null.

    Raises:
        UnfitPagesError: The rest must be read in another way.
        OSError: The file can't be read.
    """
    with path.open("rb", buffering=0) as stream:
        try:
            yield from _read_pages(stream, column)
        except (ValueError, IndexError, KeyError, struct.error, OverflowError) as error:
            raise UnfitPagesError(str(error)) from error


def _read_pages(stream: IO[bytes], column: ColumnPlace) -> Iterator[memoryview | None]:
    pages = _walk(stream, column)
    dictionary = None
    if pages and pages[0].header.is_dictionary:
        dictionary = _values(_open_page(stream, pages.pop(0), column, 0))
    # All of them first: nothing is given away before it is sure that values come in order.
    levels = _check_places(stream, column, pages)
    for page, present in zip(pages, levels, strict=True):
        values = dictionary
        if page.header.encoding == _PLAIN:
            piecewise = _open_page(stream, page, column, page.header.level_bytes)
            present = _levels(stream, column, page, piecewise)
            values = _values(piecewise)
        if values is None or present is None:
            raise UnfitPagesError("places without a dictionary")
        for is_there in present.tolist():
            # A generator that ends too early would end this one silently.
            value = next(values, None) if is_there else None
            if is_there and value is None:
                raise UnfitPagesError("fewer values than rows")
            yield value


def _walk(stream: IO[bytes], column: ColumnPlace) -> list[_Page]:
    pages, at, values = [], column.start, 0
    while values < column.values and at < column.end:
        header, size = read_page_header(stream, at)
        pages.append(_Page(header, at + size))
        at += size + header.packed_bytes
        if not header.is_dictionary:
            values += header.values
    if values != column.values or at > column.end:
        raise UnfitPagesError("pages that do not fill their chunk")
    if any(page.header.is_dictionary for page in pages[1:]):
        raise UnfitPagesError("a dictionary amid the pages")
    return pages


def _check_places(stream: IO[bytes], column: ColumnPlace, pages: list[_Page]) -> list[IntArray | None]:
    """Give which rows of each dictionary page have a value; None for a plain page."""
    found: list[IntArray | None] = []
    used = 0
    for page in pages:
        if page.header.encoding == _PLAIN:
            found.append(None)
            continue
        if page.header.encoding not in _DICTIONARIES or page.header.unpacked_bytes > _MAX_PLACES_BYTES:
            raise UnfitPagesError("an encoding that is not read here")
        piecewise = _open_page(stream, page, column, page.header.level_bytes)
        present = _levels(stream, column, page, piecewise)
        count = int(present.sum())
        data = piecewise.rest()
        places = decode_hybrid(data[1:], data[0], count) if count else np.zeros(0, np.int64)
        if not np.array_equal(places, np.arange(used, used + count)):
            raise UnfitPagesError("values that are used again")
        used += count
        found.append(present)
    return found


def _open_page(stream: IO[bytes], page: _Page, column: ColumnPlace, skipped: int) -> Piecewise:
    header = page.header
    is_packed = column.is_packed and header.is_packed
    pieces = unpack(stream, page.start + skipped, header.packed_bytes - skipped, is_packed)
    return Piecewise(pieces, header.unpacked_bytes - skipped)


def _levels(stream: IO[bytes], column: ColumnPlace, page: _Page, piecewise: Piecewise) -> IntArray:
    """Tell which of a page's rows have a value; shape (rows,)."""
    header = page.header
    if not column.max_level:
        return np.ones(header.values, np.int64)
    if header.is_second_version:
        # Before the packed part, and without their length.
        stream.seek(page.start)
        data = memoryview(stream.read(header.level_bytes))
    else:
        data = piecewise.take(int.from_bytes(piecewise.take(4), "little"))
    levels = decode_hybrid(data, column.max_level.bit_length(), header.values)
    present: IntArray = (levels == column.max_level).astype(np.int64)
    return present


def _values(piecewise: Piecewise) -> Iterator[memoryview]:
    while not piecewise.is_done:
        yield piecewise.take(int.from_bytes(piecewise.take(4), "little"))
