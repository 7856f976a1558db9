"""Headers of parquet pages: Thrift's compact protocol, as far as pages need it.

Takes a file and an offset, gives a `PageHeader`. What is no header raises ValueError or IndexError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

_WINDOW_BYTES = 1 << 14
_DATA, _DICTIONARY, _DATA_SECOND = 0, 2, 3
# Kinds of fields in Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class PageHeader:
    """What a page says of itself.

    Attributes:
        is_dictionary: Whether it holds a dictionary's values.
        is_second_version: Whether it is a data page of version 2: levels before the packed part.
        values: How many, nulls too.
        encoding: Parquet's number.
        packed_bytes: Its length in the file, without the header.
        unpacked_bytes: Its length otherwise.
        level_bytes: How many of both are levels; version 2 only, else 0.
        is_packed: False where a page of version 2 is stored as it is.
    """

    is_dictionary: bool
    is_second_version: bool
    values: int
    encoding: int
    packed_bytes: int
    unpacked_bytes: int
    level_bytes: int = 0
    is_packed: bool = True


def read_page_header(stream: IO[bytes], at: int) -> tuple[PageHeader, int]:
    """Read the header of a page, and how many bytes it takes.

    Raises:
        ValueError: No header of a page of values is there.
        IndexError: It is cut off, or longer than any should be.
    """
    stream.seek(at)
    reader = _Reader(stream.read(_WINDOW_BYTES))
    fields = reader.struct()
    kind, unpacked, packed = (_number(fields, number) for number in (1, 2, 3))
    detail = fields.get({_DATA: 5, _DICTIONARY: 7, _DATA_SECOND: 8}.get(kind, 0))
    if not isinstance(detail, dict) or unpacked < 0 or packed < 0:
        raise ValueError("no page of values")
    second = kind == _DATA_SECOND
    level_bytes = _number(detail, 5, 0) if second else 0
    if second and (detail.get(6, 0) or not 0 <= level_bytes <= packed):
        raise ValueError("levels of lists")
    values, encoding = _number(detail, 1), _number(detail, 4 if second else 2)
    if kind == _DICTIONARY and encoding == 2:
        encoding = 0  # An older name of "plain".
    if values < 0 or (kind == _DICTIONARY and encoding != 0):
        raise ValueError("no page of plain values")
    is_packed = bool(detail.get(7, True)) if second else True
    header = PageHeader(
        kind == _DICTIONARY, second, values, encoding, packed, unpacked, level_bytes, is_packed
    )
    return header, reader.at


def _number(fields: dict[int, Any], number: int, default: int = -1) -> int:
    value = fields.get(number, default)
    if not isinstance(value, int):
        raise ValueError(f"field {number} is no number")
    return value


class _Reader:
    """Reads Thrift's compact protocol; structs become dictionaries by field number."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            fields[number] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in _INTEGERS:
            return self._zigzag()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_BYTE, _DOUBLE, _BINARY):
            size = {_BYTE: 1, _DOUBLE: 8}.get(kind)
            self._skip(self._varint() if size is None else size)
            return None
        if kind in _LISTS:
            head = self._byte()
            for _ in range(self._varint() if head >> 4 == 15 else head >> 4):
                # In a list, a truth value takes a byte of its own.
                self._value(_BYTE if head & 15 in (_TRUE, _FALSE) else head & 15, depth + 1)
            return None
        raise ValueError(f"a field of kind {kind}")

    def _byte(self) -> int:
        value = self._data[self.at]
        self.at += 1
        return value

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise IndexError("a header that is cut off")

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
