"""Parquet pages unpacked piece by piece: Snappy in parts, runs of small numbers, values across pieces.

Takes a file and where a page's bytes are, gives pieces of about a megabyte. Of Snappy's own format
(`format_description.txt`) blocks are found here, and what stands in them as it is; Arrow unpacks the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import Lock
from typing import IO

import numpy as np

from paddle_ground.boxes import IntArray

_PIECE_BYTES = 1 << 20
_MAX_ROOMS = 24  # Some more than the images take that are looked at together.
# Snappy looks back within blocks of this many bytes only, so that each can be unpacked alone.
_BLOCK_BYTES = 1 << 16
_MAX_PACKED_BYTES = 32 + _BLOCK_BYTES * 7 // 6  # By Snappy's own rule.
_TAG_BYTES = 5


class UnfitPagesError(Exception):
    """Pages that can't be read in pieces; Arrow can, or says what is wrong with them."""


class Piecewise:
    """Bytes that come in pieces, taken in lengths of one's own.

    Args:
        pieces: The bytes.
        size: How many there are in all.
    """

    def __init__(self, pieces: Iterator[memoryview], size: int) -> None:
        self._pieces, self._left = pieces, size
        self._piece, self._at = memoryview(b""), 0

    @property
    def is_done(self) -> bool:
        """Tell whether all was taken."""
        return self._left == 0

    def rest(self) -> memoryview:
        """Take all that is left."""
        return self.take(self._left)

    def take(self, size: int) -> memoryview:
        """Take the next bytes; a view where they lie in one piece.

        Raises:
            UnfitPagesError: There are not so many.
        """
        if size > self._left:
            raise UnfitPagesError("a value beyond its page")
        self._left -= size
        end = self._at + size
        if end <= len(self._piece):
            found = self._piece[self._at : end]
            self._at = end
            return found
        parts = [self._piece[self._at :]]
        missing = end - len(self._piece)
        while missing:
            self._piece = next(self._pieces, memoryview(b""))
            if not self._piece:
                raise UnfitPagesError("a page that is cut off")
            self._at = min(missing, len(self._piece))
            parts.append(self._piece[: self._at])
            missing -= self._at
        return memoryview(b"".join(parts))


def unpack(stream: IO[bytes], start: int, size: int, is_packed: bool) -> Iterator[memoryview]:
    """Read a part of a file in pieces, unpacked.

    Raises:
        UnfitPagesError: It is not packed as it should be, or in other blocks than Snappy's usual ones.
    """
    # Not from where the stream stands: others read elsewhere in this file in between.
    read = _unpack_snappy if is_packed else _read
    return read(stream.fileno(), start, size)


class _Rooms:
    """Memory that is written again once nobody looks at it: filling new memory takes longer."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rooms: list[bytearray] = []

    def take(self) -> memoryview:
        """Give a room of `_PIECE_BYTES` that nobody else has."""
        with self._lock:
            for room in self._rooms:
                try:
                    room.append(0)  # Refused while there is any view of it.
                except BufferError:
                    continue
                room.pop()
                return memoryview(room)
            room = bytearray(_PIECE_BYTES)
            if len(self._rooms) < _MAX_ROOMS:
                self._rooms.append(room)
            return memoryview(room)


_rooms = _Rooms()


def _read(file: int, at: int, size: int) -> Iterator[memoryview]:
    end = at + size
    while at < end:
        room = _rooms.take()[: end - at]
        _fill(file, [room], at, len(room))
        at += len(room)
        yield room


def _fill(file: int, parts: list[memoryview | bytearray], at: int, least: int) -> None:
    if os.preadv(file, parts, at) < least:
        raise UnfitPagesError("a file that is cut off")


def _unpack_snappy(file: int, at: int, size: int) -> Iterator[memoryview]:
    """Unpack block by block, what stands in the file as it is without a detour.

    Photographs are packed already: nearly all blocks are one such run of bytes.
    """
    if not size:
        return
    end = at + size
    left, skipped = _varint_at(os.pread(file, _TAG_BYTES, at))
    at += skipped
    tag = bytearray(os.pread(file, _TAG_BYTES, at))
    room, filled = _rooms.take(), 0
    while left:
        wanted = min(_BLOCK_BYTES, left)
        if filled + wanted > len(room):
            yield room[:filled]
            room, filled = _rooms.take(), 0
        into = room[filled : filled + wanted]
        run, skipped = _literal(tag)
        if run == wanted and at + skipped + run <= end:
            _fill(file, [into, tag], at + skipped, run)  # With the tag behind it.
            at += skipped + run
        else:
            at += _unpack_block(os.pread(file, min(_MAX_PACKED_BYTES, end - at), at), into)
            tag[:] = os.pread(file, _TAG_BYTES, at)
        filled, left = filled + wanted, left - wanted
    if at != end:
        raise UnfitPagesError("a page that is longer than it says")
    yield room[:filled]


def _literal(tag: bytearray) -> tuple[int, int]:
    """Give how many bytes follow as they are, and how long what says so is; 0 for another tag."""
    if tag[0] & 3:
        return 0, 0
    run = (tag[0] >> 2) + 1
    return (run, 1) if run <= 60 else (int.from_bytes(tag[1 : run - 59], "little") + 1, run - 59)


def _unpack_block(data: bytes, into: memoryview) -> int:
    """Unpack one block that fills a room; give how many bytes it takes.

    What stands behind the last copy is taken as it is; only what stands before may be looked back for.
    """
    import pyarrow as pa

    at = size = copied = copied_end = 0
    literals: list[tuple[int, int]] = []
    while size < len(into) and at < len(data):
        tag = data[at]
        kind = tag & 3
        if kind == 0:
            run, skipped = _literal(bytearray(data[at : at + _TAG_BYTES]))
            literals.append((at + skipped, run))
            at, size = at + skipped + run, size + run
            continue
        run = (tag >> 2 & 7) + 4 if kind == 1 else (tag >> 2) + 1
        at += 5 if kind == 3 else kind + 1
        size += run
        copied, copied_end = size, at
        literals.clear()
    if size != len(into) or at > len(data):
        raise UnfitPagesError("a page that is cut off, or blocks that are not Snappy's own")
    if copied:
        try:
            packed = _varint(copied) + data[:copied_end]
            into[:copied] = memoryview(pa.decompress(packed, copied, "snappy")).cast("B")
        except (pa.ArrowException, OSError) as error:
            raise UnfitPagesError("a block that can't be unpacked alone") from error
    for start, run in literals:
        into[copied : copied + run] = data[start : start + run]
        copied += run
    return at


def _varint_at(data: bytes) -> tuple[int, int]:
    value = at = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << 7 * at
        at += 1
    return value | data[at] << 7 * at, at + 1


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def decode_hybrid(data: bytes | memoryview, width: int, count: int) -> IntArray:
    """Decode parquet's runs and packed groups of small numbers (`Encodings.md`, RLE / bit-packing).

    Args:
        data: The bytes, without a length before them.
        width: Bits a number, 0 to 32.
        count: How many numbers are wanted.

    Raises:
        IndexError: There are not so many.
        UnfitPagesError: No such width.
    """
    if not 0 <= width <= 32:
        raise UnfitPagesError(f"numbers of {width} bits")
    runs: list[IntArray] = []
    at = found = 0
    width_bytes = (width + 7) // 8
    while found < count:
        head = shift = 0
        while True:
            byte = data[at]
            at += 1
            head |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if head & 1:
            # Not more than is there or wanted, whatever the head says.
            groups = min(head >> 1, (count - found + 7) // 8)
            bits = np.unpackbits(
                np.frombuffer(data[at : at + groups * width], np.uint8), bitorder="little"
            ).astype(np.int64)
            run = bits.reshape(groups * 8, width) @ (1 << np.arange(width, dtype=np.int64))
            at += (head >> 1) * width
        else:
            run = np.full(
                min(head >> 1, count - found), int.from_bytes(data[at : at + width_bytes], "little")
            )
            at += width_bytes
        if not len(run):
            raise UnfitPagesError("an empty run")
        runs.append(run.astype(np.int64))
        found += len(run)
    return np.concatenate(runs)[:count] if runs else np.zeros(0, np.int64)
