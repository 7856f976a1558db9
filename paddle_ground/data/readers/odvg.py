"""Reads ODVG, the JSONL of Grounding DINO's trainers: detection lines, grounding lines, or both in one.

Takes a file of such lines (with a `*label_map*.json` beside, for detection) or a folder of files, gives
`SourceRow`s. As mmdetection and Open-GroundingDino have it: `filename`, `height`, `width`; `detection.
instances` with `bbox` (x1, y1, x2, y2 in pixels), `label` and `category`; `grounding` with `caption` and
`regions` of one or several boxes and a `phrase`. Phrases become referrals, and a region that is none of
the line's instances has the class "object". Neighbouring lines about one image are put together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paddle_ground.data.classes import check_classes
from paddle_ground.data.dialogue import ANY_OBJECT
from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.readers.annotation_files import (
    HEADS,
    AnnotationFile,
    matching,
    open_files,
    root_of,
    say_files,
)
from paddle_ground.data.readers.boxes_of import read_box, read_boxes, read_size
from paddle_ground.data.readers.inside import find_inside
from paddle_ground.data.readers.json_rows import scan_rows
from paddle_ground.data.readers.regions import RawBox, RegionRow
from paddle_ground.data.source import Source
from paddle_ground.errors import DataError, RecordError
from paddle_ground.records.fields import Fields, read_object

_MAX_CLASSES = 20_000


def _is_ours(row: dict[str, Any]) -> bool:
    has_boxes = isinstance(row.get("detection"), dict) or isinstance(row.get("grounding"), dict)
    return isinstance(row.get("filename"), str) and has_boxes


def _recognise(path: Path) -> str | None:
    return say_files(matching(path, _is_ours, HEADS), "filename and detection or grounding")


def _open(path: Path, options: ReaderOptions) -> Source:
    from paddle_ground.data.readers.region_source import RegionSource

    files, notes = open_files(path, matching(path, _is_ours), options.split_map)
    try:
        names, further = _class_names(root_of(path), files, options)
    except RecordError as error:
        raise DataError(str(error)) from error

    def read_row(value: dict[str, Any], where: str) -> RegionRow:
        return _read_row(Fields(value, where), names)

    return RegionSource(path, files, read_row, names, options, "xyxy", notes=(*notes, *further))


def _class_names(
    root: Path, files: tuple[AnnotationFile, ...], options: ReaderOptions
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the classes by label, with `ANY_OBJECT` behind them where regions need it."""
    label_map, further = _read_label_map(root, files)
    named: dict[int, str] = dict(enumerate(options.classes)) if options.classes else dict(label_map)
    has_regions = False
    for file in files:
        for row in scan_rows(file.path, file.name):
            fields = Fields(row.value, f"{file.name}:{row.line}")
            has_regions |= fields.has("grounding")
            if not options.classes and not label_map:
                _add_categories(fields, named)
    names = tuple(named[label] for label in sorted(named))
    if sorted(named) != list(range(len(names))):
        missing = next(label for label in range(len(names) + 1) if label not in named)
        raise DataError(
            f"{root}: nobody names label {missing} of {len(names)} classes; put a label_map.json beside, or "
            "pass --classes"
        )
    if (has_regions or not names) and ANY_OBJECT not in names:
        names = (*names, ANY_OBJECT)
    check_classes(names, f"{root.name}: classes")
    return names, further


def _read_label_map(root: Path, files: tuple[AnnotationFile, ...]) -> tuple[dict[int, str], tuple[str, ...]]:
    folders = dict.fromkeys([*(file.path.parent for file in files), root])
    named = [path.relative_to(root).as_posix() for one in folders for path in one.glob("*label_map*.json")]
    maps = [find_inside(root, name, (root,), name) for name in sorted(named)]
    if not maps:
        return {}, ()
    if len({path.read_bytes() for path in maps}) > 1:
        names = ", ".join(path.name for path in maps)
        raise DataError(f"{root}: several label maps that differ ({names}); keep the one that belongs here")
    texts = read_object(maps[0]).texts_by_name()
    for label in texts:
        if not label.isdecimal() or len(label) > 6:
            raise DataError(f'{maps[0].name}: label {label!r} is no number; expected {{"0": "person", ...}}')
    return {int(label): name for label, name in texts.items()}, (f"classes: {len(texts)}, of {maps[0].name}",)


def _add_categories(fields: Fields, named: dict[int, str]) -> None:
    if not fields.has("detection"):
        return
    for item in fields.inner("detection").objects("instances", ()):
        name = item.text("category")
        if not item.has("label"):
            if name not in named.values():
                named[len(named)] = name
            continue
        label = item.integer("label")
        if not 0 <= label < _MAX_CLASSES:
            raise DataError(f"{item.where}: label {label}; expected 0 to {_MAX_CLASSES - 1}")
        if named.setdefault(label, name) != name:
            raise DataError(
                f"{item.where}: label {label} is {name[:80]!r} here and {named[label][:80]!r} before; use one"
            )


def _read_row(fields: Fields, names: tuple[str, ...]) -> RegionRow:
    boxes: list[RawBox] = []
    labels: list[str] = []
    if fields.has("detection"):
        for item in fields.inner("detection").objects("instances", ()):
            boxes.append(read_box(item.value("bbox"), item.where))
            labels.append(_label(item, names))
    phrases: list[tuple[str, tuple[int, ...]]] = []
    if fields.has("grounding"):
        for item in fields.inner("grounding").objects("regions", ()):
            places = []
            for box in read_boxes(item.value("bbox"), item.where):
                if box not in boxes:
                    boxes.append(box)
                    labels.append(ANY_OBJECT)
                places.append(boxes.index(box))
            is_list = isinstance(item.value("phrase"), list)
            words = " ".join(item.texts("phrase") if is_list else (item.text("phrase"),)).split()
            if words:
                phrases.append((" ".join(words), tuple(places)))
    return RegionRow(fields.text("filename"), read_size(fields), tuple(boxes), tuple(labels), tuple(phrases))


def _label(item: Fields, names: tuple[str, ...]) -> str:
    if item.has("label"):
        label = item.integer("label")
        if 0 <= label < len(names):
            return names[label]
        raise DataError(
            f"{item.where}: label {label} is not among the {len(names)} classes; mend the label map"
        )
    return item.text("category")


FORMAT = Format("odvg", "ODVG jsonl (Grounding DINO, mmdetection)", _recognise, _open)
