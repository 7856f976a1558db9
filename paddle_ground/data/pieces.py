"""Converts a data set chunk by chunk: image files written, records noted, several chunks at a time.

Takes a `Source` and a draw, gives in the staging folder the image files and, once a chunk is done, a
piece file with its notes. A piece that is there already is not made again. Knows neither the order
of the output nor duplicates across chunks (see `merge`).

A piece file holds four lines a row: its `RowNote`, then its sample, its truth image and its truth
boxes as they will stand in the output.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from paddle_ground.data.convert import Converted, RowOptions, convert_row
from paddle_ground.data.headers import ImageHeader, read_header
from paddle_ground.data.plan import Piece
from paddle_ground.data.source import Source, SourceRow
from paddle_ground.data.staging import IMAGES, Staging
from paddle_ground.errors import DataError
from paddle_ground.files import atomic_writer, unwritable
from paddle_ground.records import TruthImage, sample_to_line, truth_box_to_line, truth_image_to_line

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""

MEMORY_BYTES = 64 << 20
"""How much of the source all workers together hold, unpacked; Arrow takes about three times that."""

BadImages = Literal["stop", "skip"]
_LINES = 4  # That a row takes in a piece file.


@dataclass(frozen=True, slots=True)
class RowNote:
    """What became of a row.

    Attributes:
        split: `sampling.TRAIN` or `VAL`.
        content: Length and checksum of the image file, equal for equal files; "" for a row left out.
        image: Path of the image file relative to the output folder; "" for a row left out.
        counts: How many boxes of which kind, as in `SamplesMeta.counts`.
        skipped: Reason and place of each thing left out: boxes, or the whole row.
    """

    split: int
    content: str
    image: str
    counts: dict[str, int]
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RowLines:
    """What a row puts into the output, word for word; all "" for a row left out.

    Attributes:
        sample: Its line of the samples file.
        image: Its image in the truth.
        boxes: Its boxes in the truth, with a tab between (JSON itself has none).
    """

    sample: str = ""
    image: str = ""
    boxes: str = ""


@dataclass(frozen=True, slots=True)
class PieceOptions:
    """How rows are taken.

    Attributes:
        row: How they are converted.
        keep_empty: Whether images without any box to answer with become samples.
        bad_images: "stop" at the first missing, broken or wrongly sized image, or "skip" and count them.
    """

    row: RowOptions
    keep_empty: bool
    bad_images: BadImages


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
            _make_piece(source, piece, options, staging)

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


def read_piece(path: Path) -> Iterator[tuple[RowNote, RowLines]]:
    """Read a piece file, row by row."""
    with path.open(encoding="utf-8", newline="\n") as stream:
        for head in stream:
            sample, image, boxes = (line.rstrip("\n") for line in islice(stream, _LINES - 1))
            yield _note_from_line(head), RowLines(sample, image, boxes)


def read_notes(path: Path) -> Iterator[RowNote]:
    """Read the notes of a piece file alone."""
    with path.open(encoding="utf-8", newline="\n") as stream:
        for head in islice(stream, 0, None, _LINES):
            yield _note_from_line(head)


def _note_to_line(note: RowNote) -> str:
    return json.dumps([note.split, note.content, note.image, note.counts, note.skipped])


def _note_from_line(line: str) -> RowNote:
    split, content, image, counts, skipped = json.loads(line)
    return RowNote(split, content, image, counts, tuple((reason, where) for reason, where in skipped))


def _make_piece(source: Source, piece: Piece, options: PieceOptions, staging: Staging) -> None:
    path = staging.piece(piece.chunk.index)
    if path.exists():
        return
    with atomic_writer(path) as stream:
        for place, row in enumerate(source.read(piece.chunk, piece.rows)):
            if not isinstance(row, SourceRow):
                raise DataError(f"{row.where}: conversations can't be prepared yet; give boxes of objects")
            note, lines = _take_row(row, piece, place, options, staging)
            stream.write(f"{_note_to_line(note)}\n{lines.sample}\n{lines.image}\n{lines.boxes}\n")


def _take_row(
    row: SourceRow, piece: Piece, place: int, options: PieceOptions, staging: Staging
) -> tuple[RowNote, RowLines]:
    split = int(piece.splits[place])
    try:
        data = row.read_image()
        header = _checked_header(row, data)
    except DataError as error:
        if options.bad_images == "stop":
            raise
        return RowNote(split, "", "", {}, (("bad_image", str(error)),)), RowLines()
    image = _name_image(row, header, int(piece.repeats[place]), int(piece.truth_ids[place]))
    converted = convert_row(row, image, int(piece.first_box_ids[place]), options.row)
    if not options.keep_empty and not converted.has_answer:
        return RowNote(split, "", "", {}, (*converted.skipped, ("empty_image", row.where))), RowLines()
    _write_image(staging.folder / image.file_name, data)
    content = f"{len(data)}-{zlib.crc32(data):08x}"
    lines = RowLines(
        sample=sample_to_line(converted.sample),
        image=truth_image_to_line(image),
        boxes="\t".join(map(truth_box_to_line, converted.truth)),
    )
    return RowNote(split, content, image.file_name, _count(converted), converted.skipped), lines


def _name_image(row: SourceRow, header: ImageHeader, repeat: int, truth_id: int) -> TruthImage:
    stem = f"{row.image_id:012d}" + (f"_{repeat}" if repeat else "")
    return TruthImage(truth_id, f"{IMAGES}/{stem}{header.suffix}", header.size_wh)


def _count(converted: Converted) -> dict[str, int]:
    crowd = sum(box.is_crowd for box in converted.truth)
    counts = {"kept": 1, "boxes": len(converted.truth) - crowd, "empty": int(not converted.has_answer)}
    counts["crowd_boxes"] = crowd
    seen = {"clipped_boxes": converted.clipped_boxes, "merged_boxes": converted.merged_boxes}
    return counts | {name: number for name, number in seen.items() if number}


def _checked_header(row: SourceRow, data: bytes | memoryview) -> ImageHeader:
    try:
        header = read_header(data)
    except DataError as error:
        raise DataError(f"{row.where}: {error}; replace it, or pass --bad-images skip") from error
    if row.size_wh is not None and header.size_wh != row.size_wh:
        real, said = (f"{width} x {height}" for width, height in (header.size_wh, row.size_wh))
        raise DataError(
            f"{row.where}: the image is {real} pixels but the row says {said}, so its boxes may be wrong; "
            "mend the row, or pass --bad-images skip"
        )
    return header


def _write_image(path: Path, data: bytes | memoryview) -> None:
    try:
        with path.open("wb", buffering=0) as stream:
            stream.write(data)
    except OSError as error:
        raise unwritable(path, error) from error
