"""Reads Pascal VOC: an XML file an image, in VOC's own folders or beside the images as exporters write it.

Takes a folder with `Annotations/`, `JPEGImages/` and perhaps `ImageSets/Main/{train,val,trainval,test}.txt`,
or with XML files beside images, gives one `SourceRow` a file.

Coordinates. VOC's own files count pixels from 1 and include the last one (VOC2012 development kit,
section 4.1): a box of xmin 1 begins at the image's border, so xmin and ymin are lowered by 1. What other
tools write (labelImg, Roboflow, CVAT, labelme2voc) is taken as it stands, as supervision and torchvision do.
A file is VOC's own where its `<source><database>` says so ("The VOC2007 Database"). `difficult` objects are
kept as boxes that scoring passes over, as VOC's own evaluation does; `part`s of objects are no objects.

An XML file with a document type is refused: entities in it could grow without end or read other files.
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import Any

from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.readers.annotation_files import HEADS, root_of
from paddle_ground.data.readers.boxes_of import FourNumbers
from paddle_ground.data.readers.inside import read_inside
from paddle_ground.data.readers.label_files import LabelFilesSource, Labels
from paddle_ground.data.readers.label_paths import choose_files, files_with, image_folders, split_files
from paddle_ground.data.source import Source
from paddle_ground.errors import DataError

_HEAD_BYTES = 4096
_MAX_DEPTH = 32
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_MAX_TEXT = 100_000
_PRESENCE = re.compile(r"\s+(-1|0|1)$")
_SETS = ("train", "val", "trainval", "test")


class _Reader:
    """Collects what counts in one file while expat reads it."""

    def __init__(self, name: str) -> None:
        from xml.parsers import expat

        self._name, self._text = name, ""
        self._path: list[str] = []
        self._object: dict[str, str] = {}
        self.fields: dict[str, str] = {}
        self.objects: list[tuple[int, dict[str, str]]] = []
        self._parser: Any = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._add

    def read(self, data: bytes) -> None:
        from xml.parsers import expat

        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            raise DataError(
                f"{self._name}:{error.lineno}: broken XML ({expat.ErrorString(error.code)}); "
                "repair or remove the file"
            ) from error
        except (ValueError, LookupError) as error:  # An encoding that nobody knows.
            raise DataError(f"{self._name}: unreadable XML ({error}); save it as UTF-8") from error

    def _refuse(self, *_: object) -> None:
        raise DataError(
            f"{self._name}:{self._parser.CurrentLineNumber}: the XML declares a document type, "
            "which is never needed and may hold entities; remove the <!DOCTYPE ...>"
        )

    def _start(self, tag: str, _: object) -> None:
        self._path.append(tag)
        self._text = ""
        if len(self._path) == 1 and tag != "annotation":
            raise DataError(f"{self._name}: the XML is a <{tag[:40]}>; expected a Pascal VOC <annotation>")
        if len(self._path) > _MAX_DEPTH:
            raise DataError(f"{self._name}: XML {_MAX_DEPTH} levels deep; Pascal VOC's has five")
        if self._path[1:] == ["object"]:
            self._object = {}
            self.objects.append((self._parser.CurrentLineNumber, self._object))

    def _add(self, text: str) -> None:
        self._text += text
        # Adding up a text of megabytes from small parts would take hours.
        if len(self._text) > _MAX_TEXT:
            line = self._parser.CurrentLineNumber
            raise DataError(f"{self._name}:{line}: a text of more than {_MAX_TEXT} characters; shorten it")

    def _end(self, _: str) -> None:
        inner = "/".join(self._path[1:])
        text = self._text.strip()
        if inner.startswith("object/"):
            # Parts have boxes of their own, further down.
            self._object.setdefault(inner.removeprefix("object/"), text)
        elif inner:
            self.fields.setdefault(inner, text)
        self._path.pop()
        self._text = ""


def _read_labels(data: bytes, name: str) -> Labels:
    reader = _Reader(name)
    reader.read(data)
    is_from_one = "voc" in reader.fields.get("source/database", "").lower()
    boxes: list[FourNumbers] = []
    names: list[str] = []
    difficult: list[bool] = []
    none: list[tuple[str, str]] = []
    for line, found in reader.objects:
        where = f"{name}:{line}"
        if not found.get("name"):
            raise DataError(f"{where}: an object without a name; add <name>")
        if not any(f"bndbox/{side}" in found for side in _SIDES):
            none.append(("objects without a bndbox", where))
            continue
        boxes.append(_box(found, where, is_from_one))
        names.append(found["name"])
        # Some tools write "Unspecified" in all the marks that they don't know.
        difficult.append(found.get("difficult", "").lower() in ("1", "true"))
    image = reader.fields.get("filename", "")
    return Labels(
        image, _size(reader.fields, name), tuple(boxes), tuple(names), tuple(difficult), tuple(none)
    )


def _box(found: dict[str, str], where: str, is_from_one: bool) -> FourNumbers:
    numbers = []
    for side in _SIDES:
        text = found.get(f"bndbox/{side}", "")
        try:
            numbers.append(float(text))
        except ValueError:
            raise DataError(f"{where}: {side} is {text[:40]!r}; expected a number of pixels") from None
    first = 1.0 if is_from_one else 0.0
    return numbers[0] - first, numbers[1] - first, numbers[2], numbers[3]


def _size(fields: dict[str, str], name: str) -> tuple[int, int] | None:
    sides = []
    for side in ("width", "height"):
        text = fields.get(f"size/{side}", "")
        if not text:
            return None
        try:
            sides.append(int(float(text)))
        except (ValueError, OverflowError):
            raise DataError(f"{name}: the {side} is {text[:40]!r}; expected a number of pixels") from None
    # Some tools write 0 x 0 where they did not look.
    return (sides[0], sides[1]) if min(sides) > 0 else None


def _is_ours(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError:
        return False
    start = head.find(b"<annotation")
    # LabelMe's web tool writes <annotation> too, with polygons; CVAT <annotations>.
    is_root = start >= 0 and head[start + 11 : start + 12] in (b">", b" ", b"\n", b"\r", b"\t")
    is_other = any(mark in head for mark in (b"<polygon>", b"<imagesize>", b"<sourceImage>"))
    return is_root and not is_other and any(mark in head for mark in (b"<size>", b"<bndbox>", b"<filename>"))


def _recognise(path: Path) -> str | None:
    heads = islice(files_with(path, ".xml"), HEADS)
    found = next((file for file in heads if _is_ours(file)), None)
    if found is None:
        return None
    return f"XML files with <annotation> and boxes, such as {found.relative_to(root_of(path)).as_posix()}"


def _open(path: Path, options: ReaderOptions) -> Source:
    files, others = choose_files(path, ".xml", _is_ours, "Pascal VOC annotations")
    named = _listed_splits(root_of(path), {file.stem for file in files})
    taken, notes = split_files(path, files, named, options.split_map)
    return LabelFilesSource(path, taken, _read_labels, image_folders(path), options, (*others, *notes))


def _listed_splits(root: Path, stems: set[str]) -> dict[str, str]:
    """Read ImageSets/Main: the split of each image by its name; the narrower list counts."""
    splits: dict[str, str] = {}
    for folder in sorted(root.glob("**/ImageSets/Main")):
        for name in _SETS:
            file = folder / f"{name}.txt"
            if file.is_file() and file.resolve().is_relative_to(root.resolve()):
                for line in read_inside(file, file.name).decode("utf-8", "replace").splitlines():
                    stem = _stem(line)
                    # Some tools add -1, 0 or 1; but an image may be called "image 1".
                    splits.setdefault(stem if stem in stems else _stem(_PRESENCE.sub("", line.strip())), name)
    return splits


def _stem(listed: str) -> str:
    """Give the name alone: Datumaro quotes names with spaces, and puts folders before."""
    return listed.strip().strip('"').split("/")[-1]


FORMAT = Format("voc", "Pascal VOC XML", _recognise, _open)
