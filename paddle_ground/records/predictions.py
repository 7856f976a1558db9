"""predictions.jsonl: what a model answered, one line an image, in the order of the samples.

Takes and gives those lines; a run that was stopped goes on where it ended. Knows no model, no metric.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from paddle_ground.errors import RecordError
from paddle_ground.files import unwritable
from paddle_ground.records.fields import BoxTuple, Fields, dump, parse_object, unreadable

STATUSES = ("ok", "repaired", "failed", "error")
"""Parsed as it stood, or the words that were asked for; parsed after mending; not parsed; no answer (see
`Prediction.error`)."""


@dataclass(frozen=True, slots=True)
class Region:
    """A thing and where it is.

    Attributes:
        label: Its name.
        box_xyxy_px: x_min, y_min, x_max, y_max in pixels of the original image.
        score: How sure the model is, 0..1; None where nobody computed it.
    """

    label: str
    box_xyxy_px: BoxTuple
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """One model answer.

    Attributes:
        index: The line of the samples file that it answers, from 0 on.
        image: That sample's image path, as written there.
        size_wh: The image's width and height in pixels; (0, 0) where status is "error" and the image
            could not be read.
        prompt: What was asked.
        text: The raw answer, special tokens included.
        status: One of `STATUSES`.
        repairs: What the parser mended.
        regions: What the answer points at.
        tokens: How many tokens were generated.
        seconds: How long that took.
        error: Why there is no answer, for status "error".
    """

    index: int
    image: str
    size_wh: tuple[int, int]
    prompt: str
    text: str
    status: str
    repairs: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()
    tokens: int = 0
    seconds: float = 0.0
    error: str | None = None


def prediction_to_line(prediction: Prediction) -> str:
    """Write a prediction as one line of JSON that any file can hold, without the line end."""
    line = dump(
        {
            "index": prediction.index,
            "image": prediction.image,
            "size_wh": list(prediction.size_wh),
            "prompt": prediction.prompt,
            "text": prediction.text,
            "status": prediction.status,
            "repairs": list(prediction.repairs),
            "regions": [_region_to_json(region) for region in prediction.regions],
            "tokens": prediction.tokens,
            "seconds": prediction.seconds,
            "error": prediction.error,
        }
    )
    # Half a surrogate pair, of a torn answer, is no UTF-8; JSON has a way to write it: a backslash's escape.
    return line.encode("utf-8", "backslashreplace").decode("utf-8")


def prediction_from_line(line: str, where: str) -> Prediction:
    """Read and check one line.

    Args:
        line: The JSON text.
        where: `file:line`, to open an error message.

    Raises:
        RecordError: The line is no such record.
    """
    fields = parse_object(line, where)
    status = fields.text("status")
    if status not in STATUSES:
        raise RecordError(f"{where}: status {status!r} is not one of {', '.join(STATUSES)}")
    index = fields.integer("index")
    if index < 0:
        raise RecordError(f"{where}: index {index} is negative; it counts the samples' lines from 0 on")
    return Prediction(
        index=index,
        image=fields.text("image"),
        size_wh=_size_wh(fields, status),
        prompt=fields.text("prompt"),
        text=fields.text("text"),
        status=status,
        repairs=fields.texts("repairs", ()),
        regions=tuple(_region_from_json(item) for item in fields.objects("regions", ())),
        tokens=fields.integer("tokens", 0),
        seconds=fields.number("seconds", 0.0),
        error=fields.text("error") if fields.has("error") else None,
    )


def read_predictions(path: str | os.PathLike[str]) -> Iterator[Prediction]:
    """Read predictions.jsonl line by line.

    Yields:
        One prediction a line; memory stays flat.

    Raises:
        RecordError: The file can't be read, or a line is wrong; the message opens with `path:line`.
    """
    source = Path(path)
    try:
        with source.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield prediction_from_line(line, f"{source}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(source, error) from error


class PredictionSink:
    """Appends predictions to a file, in input order, and goes on where a stopped run ended.

    On entering, what the file holds is read; a last line that was torn by a crash is cut off.
    `done` then tells which samples need not be asked again.

        with PredictionSink("runs/x/predictions.jsonl") as sink:
            ...
            sink.write(prediction)

    Args:
        path: The file; it and its folder are made if need be.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._done: set[int] = set()
        self._last = -1
        self._stream: IO[str] | None = None

    @property
    def done(self) -> frozenset[int]:
        """The indices that the file holds, those of earlier runs included."""
        return frozenset(self._done)

    def __enter__(self) -> PredictionSink:
        """Read what is there and open the file for appending.

        Raises:
            DataError: The file can't be written.
            RecordError: A line other than a torn last one is wrong, or the order is.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._done, self._last = set(), -1
            if self.path.exists():
                _cut_torn_line(self.path)
                for prediction in read_predictions(self.path):
                    self._note(prediction.index)
            self._stream = self.path.open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            raise unwritable(self.path, error) from error
        return self

    def write(self, prediction: Prediction) -> None:
        """Append one prediction and hand it to the operating system at once.

        Raises:
            RecordError: Its index is not above the last one's.
            DataError: The file can't be written.
        """
        if self._stream is None:
            raise RecordError(f"{self.path}: the sink is closed; write inside its `with` block")
        line = prediction_to_line(prediction)
        self._note(prediction.index)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError as error:
            raise unwritable(self.path, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file; what was written stays."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _note(self, index: int) -> None:
        if index <= self._last:
            raise RecordError(
                f"{self.path}: index {index} after {self._last}; predictions stand in the samples' order, "
                "each once; delete the file to start anew"
            )
        self._done.add(index)
        self._last = index


def _cut_torn_line(path: Path) -> None:
    """Cut off what follows the last line end: a crash can stop a write in the middle of a line."""
    with path.open("rb+") as stream:
        end = stream.seek(0, os.SEEK_END)
        position = end
        while position > 0:
            start = max(0, position - 65536)
            stream.seek(start)
            found = stream.read(position - start).rfind(b"\n")
            if found >= 0:
                position = start + found + 1
                break
            position = start
        if position < end:
            stream.truncate(position)


def _size_wh(fields: Fields, status: str) -> tuple[int, int]:
    if status == "error" and fields.items("size_wh") == [0, 0]:
        return 0, 0
    return fields.size_wh("size_wh")


def _region_to_json(region: Region) -> dict[str, Any]:
    return {"label": region.label, "box_xyxy_px": list(region.box_xyxy_px), "score": region.score}


def _region_from_json(item: Fields) -> Region:
    score = item.number("score") if item.has("score") else None
    return Region(item.text("label"), item.box("box_xyxy_px"), score)
