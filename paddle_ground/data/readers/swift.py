"""Reads ms-swift's grounding JSONL: `messages` with marks, `images`, and `objects` that fill the marks.

Takes a file of such rows or a folder of files, gives `DialogueRow`s. As ms-swift's documentation
("Custom dataset", Grounding) has it: `ref` fills `<ref-object>` and `bbox` fills `<bbox>`, each in
order; a box is x1, y1, x2, y2, in pixels of the image file (`bbox_type` real) or parts of its sides
(norm1), of the image that `image_id` counts from 0. Older rows have `query` and `response`, and a
list of `objects`. Boxes in texts, as models write them, are found too. Two numbers are a point: such a
row stays until it is converted, and is left out and counted then, because a point has no box.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.readers.annotation_files import (
    HEADS,
    AnnotationFile,
    matching,
    open_files,
    root_of,
    say_files,
)
from paddle_ground.data.readers.messages import read_images, read_turns, refuse_other_media
from paddle_ground.data.readers.turns import Dialogue, Units
from paddle_ground.data.source import Source
from paddle_ground.errors import DataError
from paddle_ground.records import Message, meta_path
from paddle_ground.records.fields import Fields
from paddle_ground.records.samples import BOX_MARK, REF_MARK

_UNITS: dict[str, Units] = {
    "real": "pixels",
    "norm1": "fractions",
    # Version 2 wrote the same with a bar, and thousandths too.
    "norm_1": "fractions",
    "norm_1000": "relative_1000",
    "norm1000": "relative_1000",
}


def is_swift_row(row: dict[str, Any]) -> bool:
    """Tell whether a row is one of ms-swift's, by its keys."""
    has_turns = isinstance(row.get("messages"), list) or ("query" in row and "response" in row)
    return has_turns and any(key in row for key in ("images", "image", "objects", "videos", "audios"))


def _is_ours(file: Path) -> bool:
    # Rows with boxes already in a model's integers have a meta file beside them that says so.
    return file.suffix.lower() in (".jsonl", ".ndjson") and not meta_path(file).exists()


def _files(path: Path, limit: int | None = None) -> list[Path]:
    if (root_of(path) / "dataset_info.json").is_file():
        return []  # LLaMA-Factory's, whose rows may look the same.
    return [file for file in matching(path, is_swift_row, limit) if _is_ours(file)]


def _recognise(path: Path) -> str | None:
    return say_files(_files(path, HEADS), "messages and images")


def _open(path: Path, options: ReaderOptions) -> Source:
    from paddle_ground.data.readers.conversation import ConversationSource

    found = _files(path) or matching(path, is_swift_row)
    files, notes = open_files(path, found, options.split_map)
    return ConversationSource(path, files, read_swift_row, options, notes)


def read_swift_row(value: dict[str, Any], where: str, file: AnnotationFile) -> Dialogue:
    """Read one row; see `paddle_ground.data.readers.conversation.ReadRow`."""
    fields = Fields(value, where)
    refuse_other_media(fields)
    inner: list[str] = []
    turns = (
        _old_turns(fields) if fields.has("query") else read_turns(fields.objects("messages"), images=inner)
    )
    named = fields.value("images") if fields.has("images") else fields.value("image")
    row = Dialogue(tuple(turns), tuple(inner or read_images(named, where)))
    objects = fields.value("objects")
    if not objects:
        return row
    if isinstance(objects, str):  # Version 2 wrote a list as text, for columns of one type.
        try:
            objects = json.loads(objects)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: `objects` is no JSON ({error}); write an object there") from error
    if isinstance(objects, list):
        return _with_old_objects(row, objects, where)
    return _with_objects(row, Fields(objects, f"{where}: `objects`"))


def _with_objects(row: Dialogue, objects: Fields) -> Dialogue:
    boxes = tuple(_box(box, f"{objects.where}.bbox[{i}]") for i, box in enumerate(objects.items("bbox", ())))
    ids = objects.items("image_id", ())
    for image in ids:
        if not isinstance(image, int) or isinstance(image, bool):
            raise DataError(f"{objects.where}.image_id holds {image!r}; count images from 0")
    return Dialogue(
        row.turns,
        row.images,
        objects.texts("ref", ()),
        boxes,
        # What is not told is the first image's.
        tuple([*ids, *[0] * len(boxes)][: len(boxes)]),
        _units(objects.text("bbox_type", "real"), objects.where),
    )


def _with_old_objects(row: Dialogue, objects: list[Any], where: str) -> Dialogue:
    items = [Fields(item, f"{where}: `objects`[{i}]") for i, item in enumerate(objects)]
    kinds = sorted({item.text("bbox_type", "real") for item in items})
    if len(kinds) > 1:
        raise DataError(f"{where}: objects of several bbox_type ({', '.join(kinds)}); use one in a row")
    text = "".join(turn.content for turn in row.turns)
    refs, boxes = text.count(REF_MARK), text.count(BOX_MARK)
    return Dialogue(
        row.turns,
        row.images,
        # Each object has a name and a box, but a row may ask for one and answer with the other.
        tuple(item.text("caption" if item.has("caption") else "ref") for item in items[:refs]),
        tuple(_box(item.value("bbox"), f"{item.where}.bbox") for item in items[:boxes]),
        tuple(item.integer("image", 0) for item in items[:boxes]),
        _units(kinds[0], where) if kinds else "pixels",
    )


def _units(kind: str, where: str) -> Units:
    if kind not in _UNITS:
        raise DataError(f"{where}: unknown bbox_type {kind!r}; known: real, norm1")
    return _UNITS[kind]


def _box(value: Any, where: str) -> tuple[float, ...]:
    if isinstance(value, list) and all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in value
    ):
        if len(value) == 4:
            return tuple(map(_number, value))
        if len(value) == 2:
            return tuple(map(_number, (*value, *value)))
    raise DataError(f"{where} is {repr(value)[:60]}; expected x1, y1, x2, y2, or a point's x, y")


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _old_turns(fields: Fields) -> list[Message]:
    turns = [Message("system", fields.text("system"))] if fields.has("system") else []
    for pair in fields.items("history", ()):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise DataError(
                f"{fields.where}: `history` holds {repr(pair)[:60]}; expected [query, response] pairs"
            )
        turns += [Message("user", pair[0]), Message("assistant", pair[1])]
    turns += [Message("user", fields.text("query")), Message("assistant", fields.text("response"))]
    return turns


FORMAT = Format("swift", "ms-swift grounding JSONL", _recognise, _open)
