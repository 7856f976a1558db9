"""Converts a data set chunk by chunk: image files written, records noted, several chunks at a time.

Takes a `Source` and a draw, gives in the staging folder the image files and, once a chunk is done, a
piece file with its notes. A piece that is there already is not made again. Knows neither the order
of the output nor duplicates across chunks (see `merge`).

A piece file holds three lines a row: its split, content and image; the rest of its `RowNote`; and
the sample's line as it will stand in the JSONL.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from paddle_ground.boxes import IntArray
from paddle_ground.data.convert import Converted, ExactBox, RowOptions, convert_row
from paddle_ground.data.headers import ImageHeader, read_header
from paddle_ground.data.sampling import LEFT_OUT, SplitArray
from paddle_ground.data.source import Chunk, ChunkFacts, Source, SourceRow
from paddle_ground.data.staging import IMAGES, Staging
from paddle_ground.errors import DataError
from paddle_ground.files import atomic_writer, unwritable
from paddle_ground.records import sample_to_line

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""

BadImages = Literal["stop", "skip"]
_LINES = 3  # That a row takes in a piece file.


@dataclass(frozen=True, slots=True)
class Piece:
    """The drawn rows of one chunk.

    Attributes:
        chunk: Where they are.
        rows: Shape (P,), ascending, within the chunk.
        splits: Shape (P,), `sampling.TRAIN` or `VAL`.
        repeats: Shape (P,), how many drawn rows before have the same image id.
        truth_ids: Shape (P,), an id for each image that no other has.
    """

    chunk: Chunk
    rows: IntArray
    splits: SplitArray
    repeats: IntArray
    truth_ids: IntArray


@dataclass(frozen=True, slots=True)
class RowNote:
    """What became of a row.

    Attributes:
        split: `sampling.TRAIN` or `VAL`.
        content: Length and checksum of the image file, equal for equal files; "" for a row left out.
        image: Path of the image file relative to the output folder; "" for a row left out.
        image_id: The image's id in the truth.
        size_wh: Width and height in pixels.
        truth: Its exact boxes.
        skipped: Reason and place of each thing left out: boxes, or the whole row.
        clipped_boxes: How many boxes were cut at the border.
        merged_boxes: How many boxes stand in the truth only.
    """

    split: int
    content: str
    image: str
    image_id: int
    size_wh: tuple[int, int]
    truth: tuple[ExactBox, ...]
    skipped: tuple[tuple[str, str], ...]
    clipped_boxes: int = 0
    merged_boxes: int = 0


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


def plan_pieces(chunks: tuple[Chunk, ...], facts: list[ChunkFacts], splits: SplitArray) -> list[Piece]:
    """Cut a draw into pieces, and number the images.

    Args:
        chunks: Of the source.
        facts: Of each chunk.
        splits: Shape (all rows of all chunks,): the draw.
    """
    image_ids = np.concatenate([fact.image_ids for fact in facts])
    drawn = np.flatnonzero(splits != LEFT_OUT)
    repeats = np.zeros(len(splits), dtype=np.int64)
    repeats[drawn] = _count_repeats(image_ids[drawn])
    truth_ids = image_ids
    if repeats.any() or (image_ids[drawn] < 0).any():
        truth_ids = np.arange(1, len(splits) + 1)
    pieces = []
    start = 0
    for chunk in chunks:
        rows = np.flatnonzero(splits[start : start + chunk.rows] != LEFT_OUT)
        at = rows + start
        if len(rows):
            pieces.append(Piece(chunk, rows, splits[at], repeats[at], truth_ids[at]))
        start += chunk.rows
    return pieces


def _count_repeats(values: IntArray) -> IntArray:
    """Count for each value how often it came before."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(values) else np.zeros(0, np.bool_)
    place = np.arange(len(values))
    repeats = np.empty(len(values), dtype=np.int64)
    repeats[order] = place - np.maximum.accumulate(np.where(is_first, place, 0))
    return repeats


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
    with ThreadPoolExecutor(workers) as pool:
        # Threads do: reading, unpacking, checksums and writing all happen outside the interpreter lock.
        jobs = [pool.submit(_make_piece, source, piece, options, staging) for piece in pieces]
        try:
            for piece, job in zip(pieces, jobs, strict=True):
                job.result()
                done += len(piece.rows)
                if progress is not None:
                    progress(done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def read_piece(path: Path) -> Iterator[tuple[RowNote, str]]:
    """Read a piece file.

    Yields:
        The note of each row and the line of its sample ("" for a row left out).
    """
    with path.open(encoding="utf-8", newline="\n") as stream:
        for head in stream:
            split, content, image = json.loads(head)
            image_id, (width, height), boxes, skipped, clipped, merged = json.loads(next(stream))
            truth = tuple(
                ExactBox(category, (x_min, y_min, x_max, y_max), area, is_crowd)
                for category, x_min, y_min, x_max, y_max, area, is_crowd in boxes
            )
            reasons = tuple((reason, where) for reason, where in skipped)
            note = RowNote(split, content, image, image_id, (width, height), truth, reasons, clipped, merged)
            yield note, next(stream).rstrip("\n")


def read_contents(path: Path) -> Iterator[tuple[int, str, str]]:
    """Read no more of a piece file than each row's split, content and image."""
    with path.open(encoding="utf-8", newline="\n") as stream:
        for head in islice(stream, 0, None, _LINES):
            split, content, image = json.loads(head)
            yield split, content, image


def _make_piece(source: Source, piece: Piece, options: PieceOptions, staging: Staging) -> None:
    path = staging.piece(piece.chunk.index)
    if path.exists():
        return
    with atomic_writer(path) as stream:
        for place, row in enumerate(source.read(piece.chunk, piece.rows)):
            note, line = _take_row(row, piece, place, options, staging)
            stream.writelines(f"{text}\n" for text in (*_note_to_lines(note), line))


def _take_row(
    row: SourceRow, piece: Piece, place: int, options: PieceOptions, staging: Staging
) -> tuple[RowNote, str]:
    split, image_id = int(piece.splits[place]), int(piece.truth_ids[place])
    try:
        data = row.read_image()
        header = _checked_header(row, data)
    except DataError as error:
        if options.bad_images == "stop":
            raise
        return RowNote(split, "", "", image_id, (0, 0), (), (("bad_image", str(error)),)), ""
    repeat = int(piece.repeats[place])
    stem = f"{row.image_id:012d}" + (f"_{repeat}" if repeat else "")
    image = f"{IMAGES}/{stem}{header.suffix}"
    converted = convert_row(row, header.size_wh, image, options.row)
    if not options.keep_empty and not converted.has_answer:
        skipped = (*converted.skipped, ("empty_image", row.where))
        return RowNote(split, "", "", image_id, header.size_wh, (), skipped), ""
    _write_image(staging.folder / image, data)
    content = f"{len(data)}-{zlib.crc32(data):08x}"
    return _note(split, content, image, image_id, header, converted), sample_to_line(converted.sample)


def _note(
    split: int, content: str, image: str, image_id: int, header: ImageHeader, converted: Converted
) -> RowNote:
    return RowNote(
        split,
        content,
        image,
        image_id,
        header.size_wh,
        converted.truth,
        converted.skipped,
        converted.clipped_boxes,
        converted.merged_boxes,
    )


def _note_to_lines(note: RowNote) -> tuple[str, str]:
    boxes = [[box.category_id, *box.box_xyxy_px, box.area_px, box.is_crowd] for box in note.truth]
    rest = [note.image_id, note.size_wh, boxes, note.skipped, note.clipped_boxes, note.merged_boxes]
    return json.dumps([note.split, note.content, note.image]), json.dumps(rest)


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
