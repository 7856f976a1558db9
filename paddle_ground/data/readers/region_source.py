"""The source behind the JSON formats whose rows are about boxes: RefCOCO's and ODVG's.

Takes files and a function that reads one row, gives chunks, facts and `SourceRow`s. The first reading
learns where the rows of each image are and how boxes are written; the chosen rows are read again.
Knows no format by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from paddle_ground.boxes import IntArray, valid_mask
from paddle_ground.data.layout import BoxLayout, LayoutEvidence, weigh_layout
from paddle_ground.data.readers import ReaderOptions
from paddle_ground.data.readers.annotation_files import AnnotationFile, root_of
from paddle_ground.data.readers.json_rows import read_row, scan_rows
from paddle_ground.data.readers.pictures import Pictures
from paddle_ground.data.readers.regions import RegionRow, source_row
from paddle_ground.data.source import Chunk, ChunkFacts, SourceRow
from paddle_ground.errors import DataError, RecordError
from paddle_ground.files import sha256_file

ReadRegions = Callable[[dict[str, Any], str], RegionRow]
"""Reads one row: its JSON and its place. May raise DataError or RecordError."""

_CHUNK_IMAGES = 128
_FIRST_IMAGES = 64


Place = tuple[int, int, int, int]
"""Of a row: the number of its file, where it begins, its length in bytes, its line."""


@dataclass(frozen=True, slots=True)
class _Images:
    """The images of a chunk: the places of all their rows, and where each image's begin."""

    split: str
    places: IntArray  # (R, 4), see `Place`.
    first: IntArray  # (images + 1,)


class RegionSource:
    """Files of rows with boxes, open for reading; a `paddle_ground.data.source.Source`.

    Args:
        path: What the user named: a folder or a file.
        files: The files in it that hold rows.
        read_one: Reads one row.
        class_names: By category id.
        options: What the user said.
        layout: How boxes are written, where the format says so; None to find out.
        together: Whether all rows of a split about an image are put together; else only neighbours, which
            takes no memory for names.
        notes: What to say before what is found here.
        beside: Whether rows may name images near their own file; else from `path` on.

    Raises:
        DataError: A file can't be read, a row breaks the format, or the layout of boxes can't be told.
    """

    def __init__(
        self,
        path: Path,
        files: tuple[AnnotationFile, ...],
        read_one: ReadRegions,
        class_names: tuple[str, ...],
        options: ReaderOptions,
        layout: BoxLayout | None = None,
        together: bool = False,
        notes: tuple[str, ...] = (),
        beside: bool = True,
    ) -> None:
        root = root_of(path)
        self.name = options.name or (root.resolve().name if path.is_dir() else path.name)
        self.class_names = class_names
        self._class_ids = {name: number for number, name in enumerate(class_names)}
        self._read_one = read_one
        pictures = Pictures(root)
        self._pictures = [pictures.near(file.path) if beside else pictures for file in files]
        self._evidence = LayoutEvidence()
        self._waiting: list[str] | None = []
        self._digest = hashlib.sha256()
        self._files = files
        scan = self._scan_together() if together else self._scan_apart()
        self._chunks = list(scan)
        if not self._chunks:
            raise DataError(f"{path}: no rows in {', '.join(file.name for file in files)}; check the files")
        lost = dict.fromkeys(note for own in self._pictures for note in own.notes)
        self.notes = (*notes, *lost, *self._settle_layout(layout or options.layout, path))
        self.chunks = tuple(
            Chunk(number, images.split, len(images.first) - 1, int(images.places[:, 2].sum()) + 1)
            for number, images in enumerate(self._chunks)
        )
        self._digest.update(f"{self._layout} {class_names}".encode("utf-8", errors="replace"))
        self.fingerprint = self._digest.hexdigest()

    def survey(self, chunk: Chunk) -> ChunkFacts:
        """Read rows without their images; see `paddle_ground.data.source.Source`."""
        rows = list(self.read(chunk, np.arange(chunk.rows)))
        usable = [int((valid_mask(row.boxes_xyxy_px) & ~row.is_crowd).sum()) for row in rows]
        return ChunkFacts(
            np.array([row.image_id for row in rows], dtype=np.int64),
            np.array([len(row.boxes_xyxy_px) for row in rows], dtype=np.int64),
            np.array(usable, dtype=np.int64),
        )

    def read(self, chunk: Chunk, rows: IntArray) -> Iterator[SourceRow]:
        """Read rows; no image before it is asked for; see `paddle_ground.data.source.Source`."""
        images = self._chunks[chunk.index]
        with ExitStack() as stack:
            streams: dict[int, IO[bytes]] = {}
            for row in rows.tolist():
                found, wheres = [], []
                for number, start, size, line in images.places[
                    images.first[row] : images.first[row + 1]
                ].tolist():
                    if number not in streams:
                        streams[number] = stack.enter_context(_open(self._files[number]))
                    wheres.append(f"{self._files[number].name}:{line}")
                    value = read_row(streams[number], start, size, wheres[-1])
                    found.append(self._understand(value, wheres[-1]))
                number = int(images.places[images.first[row], 0])
                reader = self._pictures[number].reader(found[0].image, wheres[0])
                yield source_row(found, self._layout, self._class_ids, reader, wheres[0])

    def _understand(self, value: dict[str, Any], where: str) -> RegionRow:
        try:
            return self._read_one(value, where)
        except RecordError as error:
            raise DataError(str(error)) from error

    def _scan(self, number: int) -> Iterator[tuple[str, Place]]:
        """Give the image and the place of each row of a file."""
        file = self._files[number]
        self._waiting = []
        said = f"{file.name} {file.split} {sha256_file(file.path)}\n"
        self._digest.update(said.encode("utf-8", errors="replace"))
        for row in scan_rows(file.path, file.name):
            found = self._understand(row.value, f"{file.name}:{row.line}")
            self._weigh(found)
            yield found.image, (number, row.start, row.size, row.line)
        self._look_at_waiting(self._pictures[number])

    def _scan_together(self) -> Iterator[_Images]:
        for split in sorted({file.split for file in self._files}):
            by_name: dict[str, list[Place]] = {}
            for number, file in enumerate(self._files):
                for name, place in self._scan(number) if file.split == split else ():
                    self._put(by_name, name, place)
            images = list(by_name.values())
            for start in range(0, len(images), _CHUNK_IMAGES):
                yield _pack(split, images[start : start + _CHUNK_IMAGES])

    def _scan_apart(self) -> Iterator[_Images]:
        for number, file in enumerate(self._files):
            by_name: dict[str, list[Place]] = {}
            for name, place in self._scan(number):
                if name not in by_name and len(by_name) == _CHUNK_IMAGES:
                    yield _pack(file.split, list(by_name.values()))
                    by_name = {}
                self._put(by_name, name, place)
            if by_name:
                yield _pack(file.split, list(by_name.values()))

    def _put(self, by_name: dict[str, list[Place]], name: str, place: Place) -> None:
        if name not in by_name:
            self._look_at(name, self._pictures[place[0]])
        by_name.setdefault(name, []).append(place)

    def _weigh(self, row: RegionRow) -> None:
        if row.boxes and not self._evidence.is_plain:
            boxes = np.array(row.boxes, dtype=np.float64)
            size = row.size_wh or (np.nan, np.nan)
            sizes = np.tile(np.array(size, dtype=np.float64), (len(boxes), 1))
            self._evidence += weigh_layout(boxes, sizes, np.full(len(boxes), np.nan))

    def _settle_layout(self, told: BoxLayout | None, path: Path) -> tuple[str, ...]:
        evidence = self._evidence
        if evidence.are_fractions:
            raise DataError(
                f"{path}: all {evidence.boxes} boxes lie within 0..1, but boxes must be in pixels; multiply "
                "them by the image's width and height first"
            )
        self._layout: BoxLayout = told or evidence.verdict() or "xywh"
        if told is not None and evidence.verdict() not in (None, told):
            return (f"boxes: taken as {told}, but {evidence.contradicts(told)} contradict it ({evidence})",)
        if told is not None or not evidence.boxes:
            return ()
        if evidence.verdict() is None:
            raise DataError(
                f"{path}: can't tell the box layout ({evidence}); pass --bbox-format xyxy or xywh"
            )
        return (f"boxes: {self._layout} ({evidence})",)

    def _look_at(self, name: str, pictures: Pictures) -> None:
        """Let the fingerprint depend on an image; a file's first wait until it is known where images are."""
        if self._waiting is None:
            self._stamp(name, pictures)
        else:
            self._waiting.append(name)
            if len(self._waiting) == _FIRST_IMAGES:
                self._look_at_waiting(pictures)

    def _look_at_waiting(self, pictures: Pictures) -> None:
        waiting, self._waiting = self._waiting or [], None
        if waiting:
            pictures.settle(waiting)
        for name in waiting:
            self._stamp(name, pictures)

    def _stamp(self, name: str, pictures: Pictures) -> None:
        self._digest.update(f"{name} {pictures.stamp(name)}\n".encode("utf-8", errors="replace"))


def _open(file: AnnotationFile) -> IO[bytes]:
    try:
        return file.path.open("rb")
    except OSError as error:
        raise DataError(f"{file.name}: cannot read this ({error.strerror or error})") from error


def _pack(split: str, images: list[list[Place]]) -> _Images:
    places = np.array([place for image in images for place in image], dtype=np.int64)
    first = np.cumsum([0, *(len(image) for image in images)])
    return _Images(split, places, first)
