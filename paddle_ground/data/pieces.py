"""Converts a data set chunk by chunk: image files written, records noted, several chunks at a time.

Takes a `Source` and a draw, gives in the staging folder the image files and, once a chunk is done, a
piece file with its notes. A piece that is there already is not made again. Knows neither the order
of the output nor duplicates across chunks (see `merge`), nor what becomes of a row (see `take`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from paddle_ground.data.notes import pair_to_lines
from paddle_ground.data.plan import Piece
from paddle_ground.data.source import Source, read_batches
from paddle_ground.data.staging import Staging
from paddle_ground.data.take import PieceOptions, RowTaker
from paddle_ground.data.workers import can_fork, forked_pool, lost_worker_as_error, run_in_worker
from paddle_ground.files import atomic_writer

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""

MEMORY_BYTES = 64 << 20
"""How much of the source all workers together hold, unpacked; Arrow takes about three times that."""

PROCESSES_FROM = 400
"""With fewer images than that, starting processes takes longer than they save."""


def run_pieces(
    source: Source,
    pieces: list[Piece],
    options: PieceOptions,
    staging: Staging,
    workers: int,
    progress: Progress | None,
) -> None:
    """Make all pieces that are not there yet.

    Args:
        source: Where from.
        pieces: What to make.
        options: How.
        staging: Where to.
        workers: How many pieces at a time: in processes where it is much work and the system can fork
            without danger, else in threads, which get in each other's way with what is done in Python.
        progress: Told of each piece, in order.

    Raises:
        DataError: A chunk can't be read, an image is bad, or the folder can't be written; of several, the
            first in the order of the source.
        LostWorkerError: A process ended without a result.
    """
    workers = min(workers, len(pieces))
    images = sum(len(piece.rows) for piece in pieces)

    def make(piece: Piece) -> None:
        make_piece(source, piece, options, staging)

    if workers > 1 and images >= PROCESSES_FROM and can_fork():
        pool: Executor = forked_pool(workers, make, pieces, staging.lock)
        with lost_worker_as_error():
            _run(pool, run_in_worker, pieces, workers, progress)
    else:
        _run(ThreadPoolExecutor(workers), lambda number: make(pieces[number]), pieces, workers, progress)


def _run(
    pool: Executor,
    make: Callable[[int], None],
    pieces: list[Piece],
    workers: int,
    progress: Progress | None,
) -> None:
    """Make pieces by their numbers, as many at a time as memory allows; give them back in order."""
    total = sum(len(piece.rows) for piece in pieces)
    jobs: deque[tuple[Piece, Future[None]]] = deque()
    done = held = 0

    def finish_oldest() -> None:
        nonlocal done, held
        piece, job = jobs[0]
        job.result()
        jobs.popleft()
        held -= piece.chunk.size_bytes
        done += len(piece.rows)
        if progress is not None:
            progress(done, total)

    try:
        for number, piece in enumerate(pieces):
            # A chunk that is larger than all that may be held is worked on alone.
            while jobs and (held + piece.chunk.size_bytes > MEMORY_BYTES or len(jobs) > 2 * workers):
                finish_oldest()
            jobs.append((piece, pool.submit(make, number)))
            held += piece.chunk.size_bytes
        while jobs:
            finish_oldest()
    finally:
        # None may write into the folder any more when it is given up or published.
        pool.shutdown(cancel_futures=True)


def make_piece(source: Source, piece: Piece, options: PieceOptions, staging: Staging) -> None:
    """Make one piece, unless it is there.

    Raises:
        DataError: The chunk can't be read, an image is bad, or the folder can't be written.
    """
    path = staging.piece(piece.chunk.index)
    if path.exists():
        return
    taker = RowTaker(piece, options, staging)
    place = 0
    with atomic_writer(path) as stream:
        for rows in read_batches(source, piece.chunk, piece.rows):
            for note, lines in taker.take(rows, place):
                stream.write(pair_to_lines(note, lines))
            place += len(rows)
