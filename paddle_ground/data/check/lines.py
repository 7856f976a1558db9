"""The lines of a samples file, good and bad ones alike.

Takes a path, gives every line that is not blank with its number: a sample, or all that is wrong with it.
Where `records.read_samples` stops at the first mistake, this goes on. Knows no image and no answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.errors import DataError, RecordError
from paddle_ground.records import Sample, sample_from_line
from paddle_ground.records.samples import BOX_MARK, IMAGE_MARK, REF_MARK, ROLES

Flaw = tuple[str, str]
"""Code and message."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        number: From 1 on.
        offset: Of its first byte in the file.
        sample: None where it is no valid one.
        flaws: What is wrong then, at least one.
    """

    number: int
    offset: int
    sample: Sample | None
    flaws: tuple[Flaw, ...] = ()


def read_lines(path: Path) -> Iterator[Line]:
    """Read a samples file to its end, whatever stands in it.

    Raises:
        DataError: The file can't be read at all.
    """
    offset = 0
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                if raw.strip():
                    yield _read(raw.removeprefix(_BOM) if number == 1 else raw, number, offset, path)
                offset += len(raw)
    except OSError as error:
        raise DataError(
            f"{path}: cannot read this ({error.strerror or error}); name a samples file"
        ) from error


def read_line_at(path: Path, offset: int, number: int) -> Line:
    """Read one line again."""
    with path.open("rb") as stream:
        stream.seek(offset)
        raw = stream.readline()
    return _read(raw.removeprefix(_BOM), number, offset, path)


def _read(raw: bytes, number: int, offset: int, path: Path) -> Line:
    where = f"{path}:{number}"
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return Line(number, offset, None, (("not_utf8", f"byte {error.start} of the line is not UTF-8"),))
    try:
        return Line(number, offset, sample_from_line(text, where))
    except RecordError as error:
        flaws = tuple(_diagnose(text)) or (("bad_record", str(error).removeprefix(f"{where}: ")),)
        return Line(number, offset, None, flaws)


def _diagnose(text: str) -> Iterator[Flaw]:
    """Say all that is wrong with a line that is no sample."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield "bad_json", str(error)
        return
    if not isinstance(record, dict):
        yield "bad_record", f"expected a JSON object, found {type(record).__name__}"
        return
    texts: list[str] = []
    yield from _messages(record.get("messages"), texts)
    images, objects = record.get("images"), record.get("objects")
    if not _is_texts(images):
        yield "bad_record", "`images` should be a list of paths"
    if objects is not None and not isinstance(objects, dict):
        yield "bad_record", "`objects` should be an object with `ref` and `bbox`"
        return
    refs, boxes = (objects or {}).get("ref"), (objects or {}).get("bbox")
    if not _is_texts(refs):
        yield "bad_record", "objects.ref should be a list of names"
    if boxes is not None and not isinstance(boxes, list):
        yield "bad_record", "objects.bbox should be a list of boxes"
        return
    yield from _boxes(boxes or [])
    if texts:
        yield from _marks("".join(texts), images, refs, boxes)


def _messages(messages: Any, texts: list[str]) -> Iterator[Flaw]:
    if not isinstance(messages, list) or not messages:
        yield "bad_record", "`messages` should be a list of turns, at least one"
        return
    for place, turn in enumerate(messages):
        if not isinstance(turn, dict) or not isinstance(turn.get("content"), str):
            yield "bad_record", f"messages[{place}] should have a text as `content`"
            continue
        texts.append(turn["content"])
        if turn.get("role") not in ROLES:
            yield (
                "bad_record",
                f"messages[{place}]: role {turn.get('role')!r} is not one of {', '.join(ROLES)}",
            )


def _is_texts(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _boxes(boxes: list[Any]) -> Iterator[Flaw]:
    for place, box in enumerate(boxes):
        numbers = box if isinstance(box, list) else []
        whole = [n for n in numbers if isinstance(n, int | float) and not isinstance(n, bool) and n == n // 1]
        if len(numbers) != 4 or len(whole) != 4:
            shown = repr(box)
            yield "bad_box", f"objects.bbox[{place}] is {shown[:80]}{'...' if len(shown) > 80 else ''}"


def _marks(text: str, images: Any, refs: Any, boxes: Any) -> Iterator[Flaw]:
    rows = (
        (IMAGE_MARK, images, "images"),
        (REF_MARK, refs, "objects.ref"),
        (BOX_MARK, boxes, "objects.bbox"),
    )
    for mark, values, name in rows:
        count = len(values) if isinstance(values, list) else 0
        if text.count(mark) != count:
            yield "marks_mismatch", f"{text.count(mark)} {mark} placeholders but {count} in {name}"
