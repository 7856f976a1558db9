"""Reads referring expressions in RefCOCO's style: rows of a box, a phrase or several, and their image.

Takes JSON files (one list, or one row a line) or parquet shards, gives one `SourceRow` an image with all
its phrases. Known layouts: `img_id, sents, bbox, width, height` (MiniGPT-4's files of RefCOCO, + and g);
`question_id, image, answer, bbox, file_name` (lmms-lab's parquet); `sentences, bbox, image_path`
(jxu124's). Boxes are mostly COCO's x, y, width, height, but not everywhere: the evidence decides. A
phrase with several boxes, or with none (as in gRefCOCO), keeps them so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paddle_ground.data.dialogue import ANY_OBJECT
from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.readers.annotation_files import HEADS, matching, open_files, say_files
from paddle_ground.data.readers.boxes_of import read_boxes, read_size
from paddle_ground.data.readers.regions import RegionRow, without_object_number
from paddle_ground.data.source import Source
from paddle_ground.errors import DataError
from paddle_ground.records.fields import Fields

PHRASE_KEYS = ("sents", "sentences", "expressions", "expression", "phrases", "phrase", "answer", "sent")
IMAGE_KEYS = ("file", "file_name", "image_path", "image", "img_name", "filename", "img_id", "image_id")
_SPOKEN = ("sent", "raw", "sentence", "text")


def is_refcoco_row(names: Sequence[str]) -> bool:
    """Tell by its keys or columns whether a row is of this format."""
    has_phrase = any(key in names for key in PHRASE_KEYS)
    return "bbox" in names and has_phrase and any(key in names for key in IMAGE_KEYS)


def _is_ours(row: dict[str, Any]) -> bool:
    if not is_refcoco_row(list(row)) or not isinstance(row["bbox"], list):
        return False
    # An `answer` in words belongs to a question about the box.
    return _phrase_key(row) != "answer" or isinstance(row["answer"], list)


def _shards(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    return sorted(shard for shard in path.rglob("*.parquet") if not shard.name.startswith("."))


def _recognise(path: Path) -> str | None:
    shards = _shards(path)
    if shards:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            schema = pq.read_schema(shards[0])
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            return None
        if not is_refcoco_row(schema.names) or "objects" in schema.names:
            return None
        phrase = next(key for key in PHRASE_KEYS if key in schema.names)
        if phrase == "answer" and not pa.types.is_list(schema.field(phrase).type):
            return None
        return f"{len(shards)} *.parquet with the columns bbox and {phrase}"
    return say_files(matching(path, _is_ours, HEADS), "phrases and a bbox in each row")


def _open(path: Path, options: ReaderOptions) -> Source:
    if _shards(path):
        from paddle_ground.data.readers.refcoco_parquet import RefcocoParquet

        return RefcocoParquet(path, options)
    from paddle_ground.data.readers.region_source import RegionSource

    files, notes = open_files(path, matching(path, _is_ours), options.split_map)
    return RegionSource(path, files, read_refcoco_row, (ANY_OBJECT,), options, None, True, notes)


def read_refcoco_row(value: dict[str, Any], where: str) -> RegionRow:
    """Read one row.

    Raises:
        DataError: A box, phrase or image is missing or of another kind.
    """
    fields = Fields(value, where)
    boxes = read_boxes(value.get("bbox"), where)
    places = tuple(range(len(boxes)))
    phrases = tuple((phrase, places) for phrase in _phrases(value, where))
    is_crowd = bool(value.get("iscrowd") or 0)
    return RegionRow(
        image=_image(fields),
        size_wh=_size(fields),
        boxes=boxes,
        labels=(ANY_OBJECT,) * len(boxes),
        phrases=phrases,
        is_crowd=(is_crowd,) * len(boxes),
    )


def _phrases(value: dict[str, Any], where: str) -> list[str]:
    key = _phrase_key(value)
    if key is None:
        raise DataError(f"{where}: no phrase; expected one of {', '.join(PHRASE_KEYS)}")
    items = value[key] if isinstance(value[key], list) else [value[key]]
    found = []
    for item in items:
        if isinstance(item, dict):
            item = next((item[name] for name in _SPOKEN if isinstance(item.get(name), str)), None)
        if not isinstance(item, str):
            raise DataError(f"{where}: `{key}` holds {repr(item)[:40]}; expected phrases")
        found.append(" ".join(item.split()))
    return [phrase for phrase in found if phrase]


def _phrase_key(value: dict[str, Any]) -> str | None:
    return next((key for key in PHRASE_KEYS if value.get(key) is not None), None)


def _image(fields: Fields) -> str:
    for key in IMAGE_KEYS:
        value = fields.value(key)
        if isinstance(value, str) and value:
            # RefCOCO's copies give each object its own name for the image.
            return without_object_number(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return f"COCO_train2014_{value:012d}.jpg"
    raise DataError(f"{fields.where}: no image; expected one of {', '.join(IMAGE_KEYS)}")


def _size(fields: Fields) -> tuple[int, int] | None:
    info = fields.value("raw_image_info")
    if isinstance(info, str):
        try:
            fields = Fields(json.loads(info), fields.where)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{fields.where}: raw_image_info is no JSON ({error}); repair it") from error
    return read_size(fields)


FORMAT = Format("refcoco", "referring expressions (RefCOCO JSON or parquet)", _recognise, _open)
