"""Converts a data set chunk by chunk: image files written, records noted, several chunks at a time.

Takes a `Source` and a draw, gives in the staging folder the image files and, once a chunk is done, a
piece file with its notes. A piece that is there already is not made again. Knows neither the order
of the output nor duplicates across chunks (see `merge`), nor what becomes of a row (see `take`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from paddle_ground.data.notes import pair_to_lines
from paddle_ground.data.plan import Piece
from paddle_ground.data.source import Source
from paddle_ground.data.staging import Staging
from paddle_ground.data.take import PieceOptions, RowTaker
from paddle_ground.files import atomic_writer

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""

MEMORY_BYTES = 64 << 20
"""How much of the source all workers together hold, unpacked; Arrow takes about three times that."""


def run_pieces(
    source: Source,
    pieces: list[Piece],
    options: PieceOptions,
    staging: Staging,
    workers: int,
    progress: Progress | None,
) -> None:
    """Make all pieces that are not there yet.

    Raises:
        DataError: A chunk can't be read, an image is bad, or the folder can't be written.
    """
    total = sum(len(piece.rows) for piece in pieces)
    done = 0
    budget = _MemoryBudget(MEMORY_BYTES)

    def make(piece: Piece) -> None:
        with budget.take(piece.chunk.size_bytes):
            make_piece(source, piece, options, staging)

    with ThreadPoolExecutor(workers) as pool:
        # Threads do: reading, unpacking, checksums and writing all happen outside the interpreter lock.
        jobs = [pool.submit(make, piece) for piece in pieces]
        try:
            for piece, job in zip(pieces, jobs, strict=True):
                job.result()
                done += len(piece.rows)
                if progress is not None:
                    progress(done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _MemoryBudget:
    """Lets workers start only while what they unpack together stays below a limit."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, size_bytes: int) -> Iterator[None]:
        # A chunk that is larger than the whole budget is worked on alone.
        size = min(size_bytes, self._limit)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + size <= self._limit)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


def make_piece(source: Source, piece: Piece, options: PieceOptions, staging: Staging) -> None:
    """Make one piece, unless it is there.

    Raises:
        DataError: The chunk can't be read, an image is bad, or the folder can't be written.
    """
    path = staging.piece(piece.chunk.index)
    if path.exists():
        return
    taker = RowTaker(piece, options, staging)
    with atomic_writer(path) as stream:
        for place, row in enumerate(source.read(piece.chunk, piece.rows)):
            for note, lines in taker.take(row, place):
                stream.write(pair_to_lines(note, lines))
