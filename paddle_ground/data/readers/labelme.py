"""Reads LabelMe: a JSON file an image, with shapes.

Takes a folder of `<name>.json` beside their images (or with the image inside, as `imageData`), gives one
`SourceRow` a file. Rectangles, polygons, circles and masks become the boxes around them; points and lines
have no area and are left out, counted, as is what is labelled `__ignore__`. A shape that is `difficult`, as
X-AnyLabeling writes it, is kept as a box that scoring passes over. Coordinates are continuous pixels from 0
on, as LabelMe draws them.
"""

from __future__ import annotations

import base64
import binascii
import math
from itertools import islice
from pathlib import Path
from typing import Any

from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.readers.annotation_files import HEADS, root_of
from paddle_ground.data.readers.boxes_of import FourNumbers
from paddle_ground.data.readers.label_files import LabelFilesSource, Labels
from paddle_ground.data.readers.label_paths import choose_files, files_with, image_folders, split_files
from paddle_ground.data.source import Source
from paddle_ground.errors import DataError
from paddle_ground.records.fields import Fields, parse_object

_AROUND = ("polygon", "rectangle", "mask", "oriented_rectangle", "rotation")
_KINDS = (*_AROUND, "circle", "line", "linestrip", "point", "points")
_NO_CLASSES = ("__ignore__", "_background_")  # LabelMe's own exporters leave these out.
_HEAD_BYTES = 1 << 20


def _read_labels(data: bytes, name: str) -> Labels:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    fields = parse_object(text, name)
    boxes: list[FourNumbers] = []
    names: list[str] = []
    difficult: list[bool] = []
    no_boxes: list[tuple[str, str]] = []
    for shape in fields.objects("shapes"):
        label, kind = shape.text("label"), shape.text("shape_type", "polygon")
        box = _box(kind, _points(shape))
        if box is None or label in _NO_CLASSES:
            why = f"{kind} has no area" if kind in _KINDS else "of an unknown shape_type"
            no_boxes.append((f"labelled {label}" if box else why, shape.where))
            continue
        boxes.append(box)
        names.append(label)
        difficult.append(shape.value("difficult") is True)
    return Labels(
        fields.text("imagePath") if fields.has("imagePath") else "",
        _size(fields),
        tuple(boxes),
        tuple(names),
        tuple(difficult),
        tuple(no_boxes),
        _embedded(fields),
    )


def _box(kind: str, points: list[tuple[float, float]]) -> FourNumbers | None:
    """Give the box around a shape, or None where it has no area."""
    if kind == "circle" and len(points) == 2:
        return _around_circle(points)
    if kind not in _AROUND or len(points) < 2:
        return None
    xs, ys = zip(*points, strict=True)
    # A mask's points are its first and its last pixel.
    last = 1.0 if kind == "mask" else 0.0
    return min(xs), min(ys), max(xs) + last, max(ys) + last


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


def _is_ours(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError:
        return False
    has_shapes, has_path = b'"shapes"' in head, b'"imagePath"' in head
    if len(head) == _HEAD_BYTES:
        # An image inside makes the file long; its other fields may stand behind it.
        return b'"imageData"' in head or (has_shapes and (has_path or b'"points"' in head))
    return has_shapes and has_path


def _recognise(path: Path) -> str | None:
    found = next(filter(_is_ours, islice(files_with(path, ".json"), HEADS)), None)
    if found is None:
        return None
    return f"JSON files with shapes and imagePath, such as {found.relative_to(root_of(path)).as_posix()}"


def _open(path: Path, options: ReaderOptions) -> Source:
    files, others = choose_files(path, ".json", _is_ours, "LabelMe shapes")
    taken, notes = split_files(path, files, {}, options.split_map)
    return LabelFilesSource(path, taken, _read_labels, image_folders(path), options, (*others, *notes))


FORMAT = Format("labelme", "LabelMe JSON", _recognise, _open)
