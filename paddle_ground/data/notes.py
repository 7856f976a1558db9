"""Piece files: what became of the rows of a chunk, and what they put into the output, word for word.

Takes and gives `RowNote`s with their `RowLines`, one pair a sample or a row left out. A piece file holds
four lines a pair: the note, then the sample, its truth image and its truth boxes as they will stand in
the output, but for the ids where `merge` gives them. Knows neither images nor how rows are converted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

SAID = "said-"
_LINES = 4  # That a pair takes in a piece file.
_READ_BYTES = 1 << 20
_NO_COUNTS: Mapping[str, int] = MappingProxyType({})
_decode = json.JSONDecoder().raw_decode


class RowNote(NamedTuple):
    """What became of a row, or of one question about one of its images.

    Attributes:
        split: `sampling.TRAIN` or `VAL`.
        content: Equal for rows that are one and the same: `expand.content_key` of the image file; of one
            that is untouched in a run without variants `expand.quick_key`, which others may have too; of
            a conversation `SAID` and a hash; "" for a row left out.
        images: Paths of the image files relative to the output folder; () for a row left out.
        counts: How many boxes of which kind, as in `SamplesMeta.counts`.
        skipped: Reason and place of each thing left out: boxes, questions, or the whole row.
        row: The row's place in its piece; a row may have several notes.
        is_untouched: Whether the image is the source's file, byte for byte.
        part: Which part of the training file the sample belongs to; see `expand.Variant`.
        times: How often the sample stands in its file.
        sources: `content_key` of each source image that can be seen, where that is not `content`.
    """

    split: int
    content: str
    images: tuple[str, ...]
    counts: Mapping[str, int] = _NO_COUNTS
    skipped: tuple[tuple[str, str], ...] = ()
    row: int = 0
    is_untouched: bool = True
    part: int = 0
    times: int = 1
    sources: tuple[str, ...] = ()


class RowLines(NamedTuple):
    """What a sample puts into the output, word for word; all "" for a row left out.

    Attributes:
        sample: Its line of the samples file.
        image: Its image in the truth; "" where nothing is to be scored by boxes.
        boxes: Its boxes in the truth, with a tab between (JSON itself has none).
    """

    sample: str = ""
    image: str = ""
    boxes: str = ""


def pair_to_lines(note: RowNote, lines: RowLines) -> str:
    """Write a pair as it stands in a piece file."""
    head = json.dumps((*note[:3], dict(note.counts), *note[4:]))
    return f"{head}\n{lines.sample}\n{lines.image}\n{lines.boxes}\n"


def read_piece(path: Path) -> Iterator[tuple[RowNote, RowLines]]:
    """Read a piece file, pair by pair."""
    for pairs in _read(path):
        samples, images, boxes = (pairs[line::_LINES] for line in range(1, _LINES))
        yield from zip(
            map(_note_from_line, pairs[::_LINES]), map(RowLines, samples, images, boxes), strict=True
        )


def read_notes(path: Path) -> Iterator[RowNote]:
    """Read the notes of a piece file alone."""
    for pairs in _read(path):
        yield from map(_note_from_line, pairs[::_LINES])


def read_lines(path: Path) -> Iterator[tuple[list[str], list[str], list[str]]]:
    """Read samples, truth images and truth boxes of a piece file, of many pairs at a time."""
    for pairs in _read(path):
        samples, images, boxes = (pairs[line::_LINES] for line in range(1, _LINES))
        yield samples, images, boxes


def _read(path: Path) -> Iterator[list[str]]:
    """Give the lines of a piece file without their ends, many whole pairs at a time."""
    with path.open(encoding="utf-8", newline="\n") as stream:
        while lines := stream.readlines(_READ_BYTES):
            lines += islice(stream, -len(lines) % _LINES)
            yield "".join(lines).split("\n")[:-1]


def _note_from_line(line: str) -> RowNote:
    (split, content, images, counts, skipped, row, is_untouched, part, times, sources), _ = _decode(line)
    reasons = tuple((reason, where) for reason, where in skipped) if skipped else ()
    return RowNote(
        split, content, tuple(images), counts, reasons, row, is_untouched, part, times, tuple(sources)
    )
