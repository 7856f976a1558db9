"""Reads LabelMe: a JSON file an image, with shapes.

Takes a folder of `<name>.json` beside their images (or with the image inside, as `imageData`), gives one
`SourceRow` a file. Rectangles, polygons, circles and masks become the boxes around them; points and lines
have no area and are left out, counted. Coordinates are continuous pixels from 0 on, as LabelMe draws them.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.readers.annotation_files import HEADS, root_of
from paddle_ground.data.readers.boxes_of import FourNumbers
from paddle_ground.data.readers.label_files import LabelFile, LabelFilesSource, Labels, split_files
from paddle_ground.data.source import Source
from paddle_ground.errors import DataError
from paddle_ground.records.fields import Fields, parse_object

_AROUND = ("polygon", "rectangle", "mask", "oriented_rectangle")
_HEAD_BYTES = 1 << 20
_IMAGE_FOLDERS = ("images", "imgs", "JPEGImages")


def _read_labels(data: bytes, name: str) -> Labels:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    fields = parse_object(text, name)
    boxes: list[FourNumbers] = []
    names: list[str] = []
    no_boxes: list[tuple[str, str]] = []
    for shape in fields.objects("shapes"):
        kind = shape.text("shape_type", "polygon")
        points = _points(shape)
        if kind == "circle" and len(points) == 2:
            boxes.append(_around_circle(points))
        elif kind in _AROUND and len(points) >= 2:
            xs, ys = zip(*points, strict=True)
            boxes.append((min(xs), min(ys), max(xs), max(ys)))
        else:
            no_boxes.append((f"{kind[:30]} has no area", shape.where))
            continue
        names.append(shape.text("label"))
    return Labels(
        fields.text("imagePath", "-").removeprefix("-"),
        _size(fields),
        tuple(boxes),
        tuple(names),
        (False,) * len(boxes),
        tuple(no_boxes),
        _embedded(fields),
    )


def _points(shape: Fields) -> list[tuple[float, float]]:
    points = []
    for point in shape.items("points"):
        if not (isinstance(point, list) and len(point) == 2 and all(map(_is_number, point))):
            raise DataError(f"{shape.where}: the point {str(point)[:60]}; expected [x, y] in pixels")
        points.append((_to_float(point[0]), _to_float(point[1])))
    # min and max pass NaN over; a box of NaN is counted where all broken boxes are.
    broken = any(math.isnan(value) for point in points for value in point)
    return [(math.nan, math.nan)] * max(len(points), 2) if broken else points


def _around_circle(points: list[tuple[float, float]]) -> FourNumbers:
    """Give the box around a circle: its middle, and a point on its line."""
    (x, y), (edge_x, edge_y) = points
    radius = math.hypot(edge_x - x, edge_y - y)
    return x - radius, y - radius, x + radius, y + radius


def _size(fields: Fields) -> tuple[int, int] | None:
    if not (fields.has("imageWidth") and fields.has("imageHeight")):
        return None
    size = fields.integer("imageWidth"), fields.integer("imageHeight")
    return size if min(size) > 0 else None


def _embedded(fields: Fields) -> bytes | None:
    if not fields.has("imageData"):
        return None
    try:
        return base64.b64decode(fields.text("imageData"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{fields.where}: imageData is not base64 ({error}); save the file again") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _to_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # An integer beyond the range of float.
        return math.inf


def _json_files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield from [path] if path.suffix.lower() == ".json" else []
    elif path.is_dir():
        yield from (file for file in sorted(path.rglob("*.json")) if not file.name.startswith("."))


def _is_ours(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError:
        return False
    if b'"shapes"' not in head:
        return False
    if len(head) < _HEAD_BYTES:
        try:
            value = json.loads(head)
        except (ValueError, RecursionError):
            return b'"imagePath"' in head
        return isinstance(value, dict) and isinstance(value.get("shapes"), list) and "imagePath" in value
    return True  # An image inside makes the file long; its other fields may stand behind it.


def _recognise(path: Path) -> str | None:
    found = [file for file in islice(_json_files(path), HEADS) if _is_ours(file)]
    if not found:
        return None
    return f"JSON files with shapes and imagePath, such as {found[0].relative_to(root_of(path)).as_posix()}"


def _open(path: Path, options: ReaderOptions) -> Source:
    root = root_of(path)
    files = [file for file in _json_files(path) if _is_ours(file)]
    taken, notes = split_files(path, files, {}, options.split_map)

    def image_folders(file: LabelFile) -> list[Path]:
        beside = file.path.parent
        above = beside.parent if beside != root else root
        return [beside, *(above / name for name in _IMAGE_FOLDERS), above, root]

    return LabelFilesSource(path, taken, _read_labels, image_folders, options, notes)


FORMAT = Format("labelme", "LabelMe JSON", _recognise, _open)
