"""samples.jsonl: one training or test record a line, the messages format of PaddleFormers.

Takes and gives lines such as

    {"messages": [{"role": "user", "content": "<image>Task: Object Detection"}, ...],
     "images": ["images/000000000009.jpg"], "objects": {"ref": [...], "bbox": [[x1, y1, x2, y2], ...]}}

`<ref-object>` and `<bbox>` in the contents are filled in order from `objects`, each on its own;
the boxes are integers in the model's coordinate space (the meta file beside says which).
Knows nothing of answer formats: what stands in the assistant's turn is text here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.errors import RecordError
from paddle_ground.files import atomic_writer
from paddle_ground.records.fields import Fields, parse_object, quote, unreadable

IMAGE_MARK = "<image>"
REF_MARK = "<ref-object>"
BOX_MARK = "<bbox>"
ROLES = ("system", "user", "assistant")
_SURROGATE = "\\ud"  # How JSON writes halves of a pair: the only way that one can come in.
_MAX_NUMBER = 1 << 63


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: "system", "user" or "assistant".
        content: The text, with `<image>`, `<ref-object>` and `<bbox>` marks.
    """

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of samples.jsonl.

    Attributes:
        messages: The conversation, at least one turn.
        images: Paths relative to the folder of the JSONL, one for each `<image>`.
        refs: The texts for `<ref-object>`, in order.
        boxes: The boxes for `<bbox>`, in order: x1, y1, x2, y2 in the model's coordinate space.
    """

    messages: tuple[Message, ...]
    images: tuple[str, ...]
    refs: tuple[str, ...] = ()
    boxes: tuple[tuple[int, int, int, int], ...] = ()

    @property
    def prompt(self) -> str:
        """What the user asks, without the `<image>` marks: the last user turn, or ""."""
        return self._last("user").replace(IMAGE_MARK, "").strip()

    @property
    def target(self) -> str:
        """What the model should answer, marks not filled in: the last assistant turn, or ""."""
        return self._last("assistant")

    def _last(self, role: str) -> str:
        return next((m.content for m in reversed(self.messages) if m.role == role), "")


def sample_to_line(sample: Sample) -> str:
    """Write a sample as one line of JSON, without the line end."""
    # Written out: the encoder takes three times as long, and there are very many samples. Python writes
    # lists of whole numbers as JSON does.
    turns = ", ".join(
        [f'{{"role": {quote(m.role)}, "content": {quote(m.content)}}}' for m in sample.messages]
    )
    images, refs = ", ".join(map(quote, sample.images)), ", ".join(map(quote, sample.refs))
    boxes = [[*map(int, box)] for box in sample.boxes]
    return f'{{"messages": [{turns}], "images": [{images}], "objects": {{"ref": [{refs}], "bbox": {boxes}}}}}'


def sample_from_line(line: str, where: str) -> Sample:
    """Read and check one line.

    Args:
        line: The JSON text.
        where: `file:line`, to open an error message.

    Raises:
        RecordError: The line is no such record, its marks don't match its images, refs and boxes, or a text
            is no valid Unicode.
    """
    fields = parse_object(line, where)
    if _SURROGATE in line.lower():
        _refuse_half_pairs(fields, where)
    messages = tuple(_message(turn) for turn in fields.objects("messages"))
    if not messages:
        raise RecordError(f"{where}: `messages` is empty; a sample needs at least a user turn")
    refs: tuple[str, ...] = ()
    boxes: tuple[tuple[int, int, int, int], ...] = ()
    if fields.has("objects"):
        objects = fields.inner("objects")
        refs = objects.texts("ref", ())
        boxes = tuple(_box(box, i, where) for i, box in enumerate(objects.items("bbox", ())))
    sample = Sample(messages, fields.texts("images", ()), refs, boxes)
    _check_marks(sample, where)
    return sample


def read_samples(path: str | os.PathLike[str]) -> Iterator[Sample]:
    """Read samples.jsonl line by line.

    Args:
        path: The file. Blank lines are passed over.

    Yields:
        One sample a line; memory stays flat.

    Raises:
        RecordError: The file can't be read, or a line is wrong; the message opens with `path:line`.
    """
    source = Path(path)
    try:
        with source.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield sample_from_line(line, f"{source}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(source, error) from error


def write_samples(path: str | os.PathLike[str], samples: Iterable[Sample]) -> int:
    """Write samples.jsonl, whole or not at all.

    Returns:
        How many were written.

    Raises:
        DataError: The file can't be written.
    """
    count = 0
    with atomic_writer(path) as stream:
        for sample in samples:
            stream.write(sample_to_line(sample) + "\n")
            count += 1
    return count


def resolve_image(samples_path: str | os.PathLike[str], image: str) -> Path:
    """Find the file of an image that a sample names.

    Args:
        samples_path: The JSONL that the sample stands in.
        image: One of the sample's `images`, relative to the JSONL's folder.

    Returns:
        The path, whether or not a file is there.

    Raises:
        RecordError: The path is absolute or leads out of the JSONL's folder.
    """
    root = Path(samples_path).parent
    relative = Path(image)
    # normpath and not resolve: an images folder that is a symbolic link is the user's own doing.
    if relative.is_absolute() or os.path.normpath(relative).split(os.sep)[0] == os.pardir:
        raise RecordError(
            f"{samples_path}: image path {image!r} leads out of its folder; move the image into it"
        )
    return root / relative


def _refuse_half_pairs(fields: Fields, where: str) -> None:
    """Refuse what no file and no terminal can hold."""
    try:
        json.dumps({name: fields.value(name) for name in fields.names()}, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RecordError(
            f"{where}: a text holds half a surrogate pair; it is no valid Unicode, write it anew"
        ) from error


def _message(turn: Fields) -> Message:
    role = turn.text("role")
    if role not in ROLES:
        raise RecordError(f"{turn.where}: role {role!r} is not one of {', '.join(ROLES)}")
    return Message(role, turn.text("content"))


def _box(value: Any, index: int, where: str) -> tuple[int, int, int, int]:
    if isinstance(value, list) and len(value) == 4:
        # PaddleFormers truncates with int(): 0.37 (a box scaled to 0..1) would silently become 0.
        whole = [int(v) for v in value if _is_whole(v) and abs(v) < _MAX_NUMBER]
        if len(whole) == 4:
            return whole[0], whole[1], whole[2], whole[3]
    raise RecordError(
        f"{where}: objects.bbox[{index}] is {repr(value)[:80]}, expected 4 whole numbers x1, y1, x2, y2 "
        "in the model's coordinate space (0..1000 for Qwen3-VL); convert pixels with `paddle-ground prepare`"
    )


def _is_whole(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _check_marks(sample: Sample, where: str) -> None:
    text = "".join(message.content for message in sample.messages)
    for mark, values, field in (
        (IMAGE_MARK, len(sample.images), "images"),
        (REF_MARK, len(sample.refs), "objects.ref"),
        (BOX_MARK, len(sample.boxes), "objects.bbox"),
    ):
        marks = text.count(mark)
        if marks != values:
            remedy = (
                f"add the missing ones or drop a {mark}" if marks > values else f"drop some or add a {mark}"
            )
            raise RecordError(
                f"{where}: {marks} {mark} placeholders but {values} in {field}; {remedy} or mend the text"
            )
