"""Parquet pages unpacked piece by piece: Snappy in parts, runs of small numbers, values across pieces.

Takes a file and where a page's bytes are, gives pieces of about a megabyte. Snappy's own format
(`format_description.txt`) is read only as far as to find where a part ends; Arrow unpacks the parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np

from paddle_ground.boxes import IntArray

_PIECE_BYTES = 1 << 19
# Snappy looks back within blocks of this many bytes only, so that what stands behind one can do without.
_BLOCK_BYTES = 1 << 16
_MAX_PACKED_BYTES = 4 << 20
_ROOM_BYTES = 16  # For the head of a part; only the first one comes with its own.


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
    if is_packed:
        return _unpack_snappy(stream, start, size)
    return map(memoryview, _read(stream, start, size))


def _read(stream: IO[bytes], at: int, size: int) -> Iterator[bytes]:
    end = at + size
    while at < end:
        # Others read elsewhere in this file in between.
        stream.seek(at)
        piece = stream.read(min(_PIECE_BYTES, end - at))
        if not piece:
            raise UnfitPagesError("a file that is cut off")
        at += len(piece)
        yield piece


def _unpack_snappy(stream: IO[bytes], at: int, size: int) -> Iterator[memoryview]:
    import pyarrow as pa

    codec = pa.Codec("snappy")
    window = _Window(stream, at, size)
    window.skip(_varint_end(window.data, window.start))
    while window.start < window.end or window.fill():
        end, unpacked = _scan(window.data, window.start, window.end)
        while not unpacked:
            # Not a whole block: the rest of it comes with the next piece.
            is_more = window.fill()
            end, unpacked = _scan(window.data, window.start, window.end, is_last=not is_more)
            if not is_more:
                break
        try:
            part = codec.decompress(window.take(end, _varint(unpacked)), unpacked)
        except (pa.ArrowException, OSError) as error:
            raise UnfitPagesError("a part that can't be unpacked alone") from error
        yield memoryview(part).cast("B")


class _Window:
    """A part of a file that moves on, always in the same memory; free room before it for a length."""

    def __init__(self, stream: IO[bytes], at: int, size: int) -> None:
        self._stream, self._at, self._end_at = stream, at, at + size
        self.data = bytearray(_ROOM_BYTES + min(size, _PIECE_BYTES))
        self.start = self.end = _ROOM_BYTES
        self.fill()

    def skip(self, start: int) -> None:
        self.start = start

    def take(self, end: int, head: bytes) -> memoryview:
        """Give what stands before an end, with a head before it, and go on behind."""
        begin = self.start - len(head)
        self.data[begin : self.start] = head
        self.start = end
        return memoryview(self.data)[begin:end]

    def fill(self) -> bool:
        """Read on behind what is left; tell whether there was more."""
        wanted = min(_PIECE_BYTES, self._end_at - self._at)
        if not wanted:
            return False
        left = self.end - self.start
        if left > _MAX_PACKED_BYTES:
            raise UnfitPagesError("blocks that are larger than Snappy's own")
        rest = self.data[self.start : self.end]
        if len(self.data) < _ROOM_BYTES + left + wanted:
            self.data = bytearray(_ROOM_BYTES + left + wanted)
        self.data[_ROOM_BYTES : _ROOM_BYTES + left] = rest
        self.start, self.end = _ROOM_BYTES, _ROOM_BYTES + left
        self._stream.seek(self._at)
        with memoryview(self.data) as view:
            read = self._stream.readinto(view[self.end : self.end + wanted])  # type: ignore[attr-defined]
        if not read:
            raise UnfitPagesError("a file that is cut off")
        self._at, self.end = self._at + read, self.end + read
        return True


def _scan(data: bytearray, start: int, length: int, is_last: bool = False) -> tuple[int, int]:
    """Find the last end of a block in the data, and how much stands before it, unpacked; 0 for none."""
    at, size, found = start, 0, (start, 0)
    while at < length:
        tag = data[at]
        kind = tag & 3
        if kind == 0:
            run, at = (tag >> 2) + 1, at + 1
            if run > 60:
                run, at = int.from_bytes(data[at : at + run - 60], "little") + 1, at + run - 60
            at += run
        elif kind == 1:
            run, at = (tag >> 2 & 7) + 4, at + 2
        else:
            run, at = (tag >> 2) + 1, at + (3 if kind == 2 else 5)
        size += run
        if size % _BLOCK_BYTES == 0 and at <= length:
            found = (at, size)
    if not is_last:
        return found
    if at != length:
        raise UnfitPagesError("a page that is cut off")
    return at, size


def _varint_end(data: bytearray, end: int) -> int:
    while data[end] & 0x80:
        end += 1
    return end + 1


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
