"""The source behind the formats that keep a label file beside each image: Pascal VOC's and LabelMe's.

Takes label files and a function that reads one, gives chunks, facts and `SourceRow`s. The first reading
learns class names, counts and what can't be a box; the chosen files are read again with their images.
Knows no format by itself.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from paddle_ground.boxes import IntArray, valid_mask
from paddle_ground.data.classes import check_classes
from paddle_ground.data.readers import ReaderOptions
from paddle_ground.data.readers.annotation_files import root_of
from paddle_ground.data.readers.boxes_of import FourNumbers
from paddle_ground.data.readers.inside import find_inside, read_inside
from paddle_ground.data.readers.label_paths import LabelFile
from paddle_ground.data.source import Chunk, ChunkFacts, SourceRow
from paddle_ground.errors import DataError, RecordError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
_CHUNK_IMAGES = 128
_MAX_BYTES = 64 << 20  # As JSON it may take twenty times as much memory while it is read.


@dataclass(frozen=True, slots=True)
class Labels:
    """What a label file says.

    Attributes:
        image: The image's path as written, "" where only the label file's own name tells.
        size_wh: Its size in pixels, where the file says so.
        boxes_xyxy_px: Corners in pixels, unchecked.
        names: The class of each box.
        is_crowd: Of each box: whether scoring shall pass it over.
        no_boxes: What has no area and so can't be a box: its kind and its place.
        embedded: The image's own bytes, where the label file holds them.
    """

    image: str
    size_wh: tuple[int, int] | None
    boxes_xyxy_px: tuple[FourNumbers, ...]
    names: tuple[str, ...]
    is_crowd: tuple[bool, ...]
    no_boxes: tuple[tuple[str, str], ...] = ()
    embedded: bytes | None = None


ReadLabels = Callable[[bytes, str], Labels]
"""Reads one file: its bytes and its name. May raise DataError or RecordError."""


class LabelFilesSource:
    """A folder of label files, open for reading; a `paddle_ground.data.source.Source`.

    Args:
        path: What the user named: a folder or a file.
        files: The label files, in order.
        read_labels: Reads one.
        image_folders: Given a label file, says where its image may be; all inside the root.
        options: What the user said.
        notes: What to say before what is found here.

    Raises:
        DataError: A file can't be read or breaks the format, or a class is unknown.
    """

    def __init__(
        self,
        path: Path,
        files: Sequence[LabelFile],
        read_labels: ReadLabels,
        image_folders: Callable[[LabelFile], Sequence[Path]],
        options: ReaderOptions,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._root = root_of(path)
        self.name = options.name or self._root.resolve().name
        self._files, self._read_labels, self._image_folders = tuple(files), read_labels, image_folders
        if not files:
            raise DataError(f"{path}: no label file is left; check the path or the split map")
        self._index: dict[Path, dict[str, str]] = {}
        digest = hashlib.sha256()
        facts: list[tuple[int, int, int]] = []
        found: set[str] = set()
        no_boxes: dict[str, tuple[int, str]] = {}
        for number, file in enumerate(self._files):
            data = _read_bytes(file)
            labels = self._understand(data, file)
            digest.update(f"{file.name} {file.split} {self._stamp(file, labels)}\n".encode(errors="replace"))
            digest.update(hashlib.sha256(data).digest())
            found.update(labels.names)
            for kind, where in labels.no_boxes:
                count, first = no_boxes.get(kind, (0, where))
                no_boxes[kind] = count + 1, first
            boxes = np.array(labels.boxes_xyxy_px, dtype=np.float64).reshape(-1, 4)
            usable = valid_mask(boxes) & ~np.array(labels.is_crowd, dtype=np.bool_)
            facts.append((number, len(boxes), int(usable.sum())))
        self.class_names = options.classes or tuple(sorted(found))
        check_classes(self.class_names, f"{self.name}: classes")
        unknown = sorted(found - set(self.class_names))
        if unknown:
            raise DataError(
                f"{self.name}: class {unknown[0]!r} is not among the {len(self.class_names)} of --classes; "
                "add it there, or leave --classes out"
            )
        self._class_ids = {name: number for number, name in enumerate(self.class_names)}
        self._facts = np.array(facts, dtype=np.int64).reshape(-1, 3)
        self.notes = notes + tuple(
            f"shapes: {count} left out, {kind} (the first: {where})"
            for kind, (count, where) in sorted(no_boxes.items())
        )
        self._chunks = _cut(self._files)
        self.chunks = tuple(
            Chunk(number, self._files[part[0]].split, len(part), sum(_size(self._files[i]) for i in part) + 1)
            for number, part in enumerate(self._chunks)
        )
        digest.update(f"{self.class_names}".encode(errors="replace"))
        self.fingerprint = digest.hexdigest()

    def survey(self, chunk: Chunk) -> ChunkFacts:
        """Tell what the first reading learned; see `paddle_ground.data.source.Source`."""
        facts = self._facts[self._chunks[chunk.index]]
        return ChunkFacts(facts[:, 0], facts[:, 1], facts[:, 2])

    def read(self, chunk: Chunk, rows: IntArray) -> Iterator[SourceRow]:
        """Read rows; no image before it is asked for; see `paddle_ground.data.source.Source`."""
        part = self._chunks[chunk.index]
        for row in rows.tolist():
            number = part[row]
            file = self._files[number]
            labels = self._understand(_read_bytes(file), file)
            boxes = np.array(labels.boxes_xyxy_px, dtype=np.float64).reshape(-1, 4)
            yield SourceRow(
                image_id=number,
                read_image=partial(self._read_image, file, labels),
                size_wh=labels.size_wh,
                boxes_xyxy_px=boxes,
                category_ids=np.array([self._id_of(name, file) for name in labels.names], dtype=np.int64),
                areas_px=np.full(len(boxes), np.nan),
                is_crowd=np.array(labels.is_crowd, dtype=np.bool_),
                where=file.name,
                name=labels.image or file.name,
            )

    def _id_of(self, name: str, file: LabelFile) -> int:
        number = self._class_ids.get(name)
        if number is None:
            raise DataError(f"{file.name}: class {name!r} was not there before; don't change it meanwhile")
        return number

    def _understand(self, data: bytes, file: LabelFile) -> Labels:
        try:
            return self._read_labels(data, file.name)
        except RecordError as error:
            raise DataError(str(error)) from error

    def _read_image(self, file: LabelFile, labels: Labels) -> bytes:
        if labels.embedded is not None:
            return labels.embedded
        return read_inside(self._find_image(file, labels), file.name)

    def _find_image(self, file: LabelFile, labels: Labels) -> Path:
        """Find an image by the label file's own name, else by the path that stands in it."""
        folders = self._image_folders(file)
        beside = self._by_stem(file)
        if beside is not None:
            return find_inside(self._root, beside.name, (beside.parent,), file.name)
        if not labels.image:
            raise DataError(f"{file.name}: no image {file.path.stem}.* in {self.name}; put it there")
        return find_inside(self._root, _local(labels.image, folders, self._root), folders, file.name)

    def _by_stem(self, file: LabelFile) -> Path | None:
        for folder in self._image_folders(file):
            named = self._images_in(folder).get(file.path.stem)
            if named is not None:
                return folder / named
        return None

    def _images_in(self, folder: Path) -> dict[str, str]:
        """Give the image files of a folder by stem; a stem with several images tells nothing."""
        if folder not in self._index:
            entries = sorted(folder.iterdir()) if folder.is_dir() else []
            images = [entry for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES]
            counts = Counter(entry.stem for entry in images)
            self._index[folder] = {entry.stem: entry.name for entry in images if counts[entry.stem] == 1}
        return self._index[folder]

    def _stamp(self, file: LabelFile, labels: Labels) -> str:
        """Give what tells an image from another one under its name, without reading it."""
        if labels.embedded is not None:
            return "embedded"
        try:
            found = self._by_stem(file) or self._find_image(file, labels)
            return f"{found.name} {found.stat().st_size}"
        except (DataError, OSError):
            return "missing"


def _cut(files: Sequence[LabelFile]) -> list[list[int]]:
    """Cut into chunks of one split each."""
    chunks: list[list[int]] = []
    for split in ("train", "val"):
        own = [number for number, file in enumerate(files) if file.split == split]
        chunks += [own[start : start + _CHUNK_IMAGES] for start in range(0, len(own), _CHUNK_IMAGES)]
    return chunks


def _local(named: str, folders: Sequence[Path], root: Path) -> str:
    """Give the part of a path that counts here: `../images/a.jpg` may still be inside the root."""
    plain = named.replace("\\", "/")
    if plain.startswith("../") and folders:
        beside = (folders[0] / plain).resolve()
        if beside.is_relative_to(root.resolve()):
            return beside.relative_to(root.resolve()).as_posix()
    return plain


def _size(file: LabelFile) -> int:
    return file.path.stat().st_size


def _read_bytes(file: LabelFile) -> bytes:
    try:
        if _size(file) > _MAX_BYTES:
            raise DataError(f"{file.name}: {_size(file)} bytes; a label file has at most {_MAX_BYTES}")
    except OSError as error:
        raise DataError(f"{file.name}: cannot read this ({error.strerror or error})") from error
    return read_inside(file.path, file.name)
