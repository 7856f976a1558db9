"""The source behind every conversation format: rows of JSON that hold turns, images and boxes.

Takes files and a function that reads one row, gives the chunks, facts and `DialogueRow`s of
`paddle_ground.data.source`. Files are read twice: once to learn where rows are, what names and units
their boxes have, and what can't be used; then the chosen rows again. Knows no format by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from paddle_ground.boxes import IntArray
from paddle_ground.data.dialogue import EMPTY_GROUNDING
from paddle_ground.data.headers import read_header
from paddle_ground.data.readers import ReaderOptions
from paddle_ground.data.readers.annotation_files import AnnotationFile, root_of
from paddle_ground.data.readers.box_units import BOX_UNITS, to_pixels
from paddle_ground.data.readers.json_rows import JsonRow, read_row, scan_rows
from paddle_ground.data.readers.pictures import Pictures
from paddle_ground.data.readers.row_tally import RowFacts, RowTally, image_number
from paddle_ground.data.readers.turns import Dialogue, LeftOut, Units, means_empty, normalised
from paddle_ground.data.source import Chunk, ChunkFacts, DialogueRow
from paddle_ground.errors import ConfigError, DataError, RecordError
from paddle_ground.records import Message

ReadRow = Callable[[dict[str, Any], str, AnnotationFile], Dialogue]
"""Reads one row: its JSON, its place for messages, its file. May raise DataError, RecordError, LeftOut."""

Refine = Callable[[Dialogue, str, Pictures], Dialogue]
"""Changes a row: itself, its place for messages, where to find its images."""

_CHUNK_ROWS = 256


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a chunk: where they are and what was counted in them."""

    file: AnnotationFile
    starts: IntArray
    sizes: IntArray
    lines: IntArray
    facts: ChunkFacts


class ConversationSource:
    """Files of conversations, open for reading; a `paddle_ground.data.source.Source`.

    Args:
        path: What the user named: a folder or a file.
        files: The files in it that hold rows.
        read_one: Reads one row.
        options: What the user said.
        notes: What to say before what is found here.
        refine: Changes a row once more before it is given out, where that needs its images.
        text_units: What boxes in texts are, where the format says so.
        max_side: See `Pictures`.

    Raises:
        DataError: A file can't be read, a row breaks the format, or the units of boxes in texts can't
            be told.
    """

    def __init__(
        self,
        path: Path,
        files: tuple[AnnotationFile, ...],
        read_one: ReadRow,
        options: ReaderOptions,
        notes: tuple[str, ...] = (),
        refine: Refine | None = None,
        text_units: Units | None = None,
        max_side: int | None = None,
    ) -> None:
        root = root_of(path)
        self.name = options.name or (root.resolve().name if path.is_dir() else path.name)
        self._read_one, self._refine = read_one, refine
        pictures = Pictures(root, max_side)
        self._pictures = {file.name: pictures.near(file.path) for file in files}
        self._units = text_units
        self._are_told = options.box_units is not None
        self._none_is_empty = False
        tally = RowTally()
        self._rows = [rows for file in files for rows in self._scan_file(file, tally)]
        if not self._rows:
            found = "; ".join(tally.left_out_notes()) or "they are empty"
            raise DataError(f"{path}: no row can be used ({found}); give conversations about images")
        self.chunks = tuple(
            Chunk(number, rows.file.split, len(rows.starts), int(rows.sizes.sum()) + 1)
            for number, rows in enumerate(self._rows)
        )
        self.class_names = options.classes or tally.class_names()
        self._none_is_empty = tally.groundings >= tally.texts
        for rows in self._rows:
            unsure = rows.facts.usable_boxes < 0
            rows.facts.usable_boxes[unsure] = 0 if self._none_is_empty else 1
        lost = dict.fromkeys(note for own in self._pictures.values() for note in own.notes)
        self._notes = [*notes, *lost, *tally.left_out_notes()]
        self._find_units(tally, options.box_units)
        self.fingerprint = tally.fingerprint(self._units, self._none_is_empty, max_side)

    @property
    def notes(self) -> tuple[str, ...]:
        """Give what the user should hear about how the data set was understood."""
        return tuple(self._notes)

    def survey(self, chunk: Chunk) -> ChunkFacts:
        """Give what the first reading found; see `paddle_ground.data.source.Source`.

        An answer in words counts as one usable box, so that only rows that say "nothing is there" are
        taken for empty.
        """
        return self._rows[chunk.index].facts

    def read(self, chunk: Chunk, rows: IntArray) -> Iterator[DialogueRow]:
        """Read rows with their images; see `paddle_ground.data.source.Source`."""
        found = self._rows[chunk.index]
        try:
            stream = found.file.path.open("rb")
        except OSError as error:
            raise DataError(f"{found.file.name}: cannot read this ({error.strerror or error})") from error
        with stream:
            for row in rows.tolist():
                where = f"{found.file.name}:{int(found.lines[row])}"
                value = read_row(stream, int(found.starts[row]), int(found.sizes[row]), where)
                yield self._dialogue_row(self._understand(value, where, found.file), found.file, where)

    def _understand(self, value: dict[str, Any], where: str, file: AnnotationFile) -> Dialogue:
        try:
            return normalised(self._read_one(value, where, file), where)
        except RecordError as error:
            raise DataError(str(error)) from error

    def _scan_file(self, file: AnnotationFile, tally: RowTally) -> Iterator[_Rows]:
        tally.add_file(file, self._pictures[file.name])
        kept: list[_Kept] = []
        for row in scan_rows(file.path, file.name):
            where = f"{file.name}:{row.line}"
            try:
                dialogue = self._understand(row.value, where, file)
                if not dialogue.images:
                    raise LeftOut("without an image")
            except LeftOut as error:
                tally.leave_out(str(error), where)
                continue
            kept.append((replace(row, value={}), tally.add(dialogue), dialogue.images[0]))
            if len(kept) == _CHUNK_ROWS:
                yield self._pack(file, kept)
                kept = []
        tally.finish()
        if kept:
            yield self._pack(file, kept)

    def _pack(self, file: AnnotationFile, kept: list[_Kept]) -> _Rows:
        places = np.array([(row.start, row.size, row.line) for row, _, _ in kept], dtype=np.int64)
        numbers = np.array([(fact.image_id, fact.boxes, fact.usable) for _, fact, _ in kept], dtype=np.int64)
        starts, sizes, lines = places.T
        groups = tuple(self._group(image, file) for _, _, image in kept)
        facts = ChunkFacts(numbers[:, 0], numbers[:, 1], numbers[:, 2], groups)
        return _Rows(file, starts, sizes, lines, facts)

    def _group(self, image: str, file: AnnotationFile) -> str:
        """Give what tells an image from others; by its name alone where no other file can mean another."""
        return self._pictures[file.name].place(image) if len(self._pictures) > 1 else image

    def _find_units(self, tally: RowTally, told: str | None) -> None:
        evidence = tally.evidence
        if tally.pixel_evidence.verdict() == "relative_1000" and told is None:
            self._notes.append(
                f"boxes: taken as pixels, as the format says, but they look like thousandths "
                f"({tally.pixel_evidence}); pass --box-units relative_1000 if they are"
            )
        if told is not None:
            if told not in BOX_UNITS:
                raise ConfigError(f"box units {told!r}; they must be {' or '.join(BOX_UNITS)}")
            self._units = "pixels" if told == "pixels" else "relative_1000"
            self._notes.append(f"boxes: {told}, as told ({evidence + tally.pixel_evidence})")
        elif tally.text_boxes and self._units is None:
            self._units = evidence.verdict()
            if self._units is None and not tally.has_lists:
                self._units = "relative_1000"
            if self._units is None:
                raise DataError(
                    f"{self.name}: can't tell whether the boxes in the answers are pixels or thousandths "
                    f"({evidence}); pass --box-units pixels or --box-units relative_1000"
                )
            self._notes.append(f"boxes: {self._units} ({evidence})")

    def _dialogue_row(self, row: Dialogue, file: AnnotationFile, where: str) -> DialogueRow:
        pictures = self._pictures[file.name]
        if self._refine is not None:
            row = self._refine(row, where, pictures)
        units: Units = row.units
        if row.from_text or (row.units == "pixels" and self._are_told):
            units = self._units or units
        if row.from_text and units == "pixels":
            _refuse_several_sizes(row, pictures, where)
        read_images: list[Callable[[], bytes | memoryview]] = [
            pictures.reader(image, where) for image in row.images
        ]
        sizes: list[tuple[int, int] | None] = [None] * len(row.images)
        if units != "pixels":
            # What was read for its size is not read again for its bytes.
            for place in sorted(set(row.box_images) & set(range(len(row.images)))):
                try:
                    data = pictures.read(row.images[place], where)
                    sizes[place] = read_header(data).size_wh
                except DataError:
                    continue  # Whoever asks for the image is told.
                read_images[place] = partial(bytes, data)
        turns = row.turns
        if self._none_is_empty:
            turns = tuple(_emptied(turn) for turn in turns)
        return DialogueRow(
            image_id=image_number(row.images),
            read_images=tuple(read_images),
            turns=turns,
            refs=row.refs,
            boxes_xyxy_px=to_pixels(row.boxes, row.box_images, sizes, units),
            box_images=np.array(row.box_images, dtype=np.int64),
            where=where,
            name=row.images[0],
            group=self._group(row.images[0], file),
        )


def _refuse_several_sizes(row: Dialogue, pictures: Pictures, where: str) -> None:
    """Refuse boxes in pixels of which nothing says in which image they are; parts of one are parts of any."""
    sizes = {pictures.size_wh(name, where) for name in row.images} if len(row.images) > 1 else set()
    if len(sizes - {None}) > 1:
        raise DataError(
            f"{where}: boxes in pixels stand in its text, but its {len(row.images)} images differ in size; "
            "say which one a box is of, by ms-swift's objects with image_id, or give boxes in thousandths"
        )


def _emptied(turn: Message) -> Message:
    is_none = turn.role == "assistant" and means_empty(turn.content)
    return Message(turn.role, EMPTY_GROUNDING) if is_none else turn


_Kept = tuple[JsonRow, RowFacts, str]  # The last is the row's first image.
