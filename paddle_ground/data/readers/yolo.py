"""Reads YOLO txt: a text file of boxes beside each image, or in a folder that mirrors the images'.

Takes a folder, or its data.yaml, gives one `SourceRow` an image; an image without a label file is one
without objects. Segments and turned boxes become the boxes around them (see `yolo_labels`), and the layouts
of the usual tools are understood (see `yolo_layout`). Class names come from data.yaml, classes.txt or
obj.names, or --classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from paddle_ground.boxes import IntArray, valid_mask
from paddle_ground.data.classes import check_classes
from paddle_ground.data.headers import read_header
from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.readers.annotation_files import root_of
from paddle_ground.data.readers.inside import find_inside, read_inside
from paddle_ground.data.readers.yolo_labels import YoloBoxes, read_labels
from paddle_ground.data.readers.yolo_layout import (
    YoloImage,
    check_yaml,
    class_names,
    find_images,
    keypoint_numbers,
)
from paddle_ground.data.source import Chunk, ChunkFacts, Source, SourceRow
from paddle_ground.errors import DataError

_CHUNK_IMAGES = 128
_HEADS = 20
_LOOKED_AT = 400  # Images; a folder of a hundred thousand is not walked through to recognise it.
_MAX_BYTES = 64 << 20
_NOTHING = YoloBoxes((), (), 0)


class YoloFolder:
    """A YOLO data set, open for reading; a `paddle_ground.data.source.Source`.

    Args:
        path: A folder, or its YAML file.
        options: What the user said.

    Raises:
        DataError: There is nothing to read, a label is broken, or a class has no name.
    """

    def __init__(self, path: Path, options: ReaderOptions) -> None:
        self._root = root_of(path)
        self.name = options.name or self._root.resolve().name
        check_yaml(path)
        self._keypoints = keypoint_numbers(path)
        images, notes = find_images(path, options.split_map)
        if not images:
            raise DataError(f"{path}: no image in it, or none of a split that is taken; check the folder")
        # By split, so that a chunk is of one.
        self._images = tuple(sorted(images, key=lambda image: (image.split != "train", image.name)))
        digest, facts, most, around = hashlib.sha256(), [], -1, 0
        for number, image in enumerate(self._images):
            data, labels = self._read(image)
            digest.update(f"{image.name} {image.split} {_stamp(image)}\n".encode(errors="replace"))
            digest.update(hashlib.sha256(data).digest())
            usable = int(valid_mask(labels.boxes).sum())
            facts.append((number, len(labels.boxes), usable))
            most, around = max([most, *labels.classes]), around + labels.around
        self.class_names, where = self._names(path, options, most)
        self._facts = np.array(facts, dtype=np.int64).reshape(-1, 3)
        self._cuts = [
            (start, min(start + _CHUNK_IMAGES, stop))
            for first, stop in self._ranges()
            for start in range(first, stop, _CHUNK_IMAGES)
        ]
        self.chunks = tuple(
            Chunk(index, self._images[start].split, stop - start, (stop - start) << 10)
            for index, (start, stop) in enumerate(self._cuts)
        )
        told = f"boxes: {around} around polygons or turned boxes"
        named = f"classes: {len(self.class_names)}, of {where}"
        kept_out = ["key points: left out, as boxes alone are asked for"] if self._keypoints else []
        self.notes = (*notes, *([named] if where else []), *([told] if around else []), *kept_out)
        digest.update(f"{self.class_names}".encode(errors="replace"))
        self.fingerprint = digest.hexdigest()

    def survey(self, chunk: Chunk) -> ChunkFacts:
        """Tell what the labels say; see `paddle_ground.data.source.Source`."""
        start, stop = self._cuts[chunk.index]
        facts = self._facts[start:stop]
        return ChunkFacts(facts[:, 0], facts[:, 1], facts[:, 2])

    def read(self, chunk: Chunk, rows: IntArray) -> Iterator[SourceRow]:
        """Read rows; see `paddle_ground.data.source.Source`."""
        start, _ = self._cuts[chunk.index]
        for number in (rows + start).tolist():
            image = self._images[number]
            _, labels = self._read(image)
            where = self._where(image)
            size, picture = self._picture(image, where)
            width, height = size or (1, 1)
            boxes = np.array(labels.boxes, dtype=np.float64).reshape(-1, 4)
            with np.errstate(over="ignore"):
                boxes = boxes * np.array([width, height, width, height], dtype=np.float64)
            yield SourceRow(
                image_id=number,
                read_image=lambda picture=picture: _given(picture),  # type: ignore[misc]
                size_wh=size,
                boxes_xyxy_px=boxes,
                category_ids=np.array(labels.classes, dtype=np.int64),
                areas_px=np.full(len(boxes), np.nan),
                is_crowd=np.zeros(len(boxes), dtype=np.bool_),
                where=where,
                name=image.name,
            )

    def _picture(self, image: YoloImage, where: str) -> tuple[tuple[int, int] | None, bytes | DataError]:
        """Read an image and its size, which the boxes need; what is wrong is raised when it is asked for."""
        try:
            data = read_inside(find_inside(self._root, image.name, (self._root,), where), where)
        except DataError as error:
            return None, error
        try:
            return read_header(data).size_wh, data
        except DataError:
            return None, data  # The caller looks at it again, and says what it is.

    def _read(self, image: YoloImage) -> tuple[bytes, YoloBoxes]:
        if image.labels is None:
            return b"", _NOTHING
        where = self._where(image)
        file = find_inside(self._root, where, (self._root,), where)
        if file.stat().st_size > _MAX_BYTES:
            raise DataError(f"{where}: {file.stat().st_size} bytes; a label file has at most {_MAX_BYTES}")
        data = read_inside(file, where)
        return data, read_labels(data, where, self._keypoints)

    def _where(self, image: YoloImage) -> str:
        return (image.labels or image.path).relative_to(self._root).as_posix()

    def _names(self, path: Path, options: ReaderOptions, most: int) -> tuple[tuple[str, ...], str]:
        found, where = (options.classes, "--classes") if options.classes else class_names(path)
        if found is None:
            raise DataError(
                f"{path}: nobody names the classes 0..{max(most, 0)}; add a data.yaml with `names`, "
                "a classes.txt, or pass --classes"
            )
        check_classes(found, where)
        if most >= len(found):
            raise DataError(
                f"{where}: {len(found)} class names, but a label says class {most}; add the names"
            )
        return found, where

    def _ranges(self) -> list[tuple[int, int]]:
        train = sum(image.split == "train" for image in self._images)
        return [(0, train), (train, len(self._images))]


def _stamp(image: YoloImage) -> str:
    try:
        return str(image.path.stat().st_size)
    except OSError:  # A link to nowhere; said when the image is asked for.
        return "missing"


def _given(picture: bytes | DataError) -> bytes:
    if isinstance(picture, DataError):
        raise picture
    return picture


def _recognise(path: Path) -> str | None:
    if not path.is_dir() and path.suffix not in (".yaml", ".yml"):
        return None
    images, _ = find_images(path, {"test": "val"}, _LOOKED_AT)
    root = root_of(path)
    labelled = [image for image in images if image.labels is not None][:_HEADS]
    fits, keypoints = 0, keypoint_numbers(path)
    for image in labelled:
        assert image.labels is not None
        try:
            name = image.labels.relative_to(root).as_posix()
            file = find_inside(root, name, (root,), name)
            if file.stat().st_size <= _MAX_BYTES:
                read_labels(read_inside(file, name), name, keypoints)
        except (DataError, OSError):
            continue
        fits += 1
    named = class_names(path)[1] if fits else ""
    if not fits or (not named and fits < len(labelled)):
        return None
    beside = f"{named} and " if named else ""
    return f"{beside}text files of class and box beside images"


def _open(path: Path, options: ReaderOptions) -> Source:
    return YoloFolder(path, options)


FORMAT = Format("yolo", "YOLO txt", _recognise, _open)
