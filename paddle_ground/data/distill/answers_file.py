"""What a teacher said, as it came: one line an image, appended as answers come in, found again later.

Takes and gives `ImageAnswers`; the file is `answers.jsonl` beside `job.json`, which says what shaped the
answers. A line that a crash tore is cut off; all others hold, so no image is asked about twice. Knows nothing
of what answers mean.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from paddle_ground.data.distill.client import Reply
from paddle_ground.data.distill.options import AskOptions, Endpoint
from paddle_ground.errors import ConfigError, RecordError
from paddle_ground.files import unwritable, write_text
from paddle_ground.records.fields import Fields, dump, parse_object, read_object

ANSWERS, JOB = "answers.jsonl", "job.json"
_ONLY_READING = ("class_names", "space")  # How answers are understood: they stay the same.


@dataclass(frozen=True, slots=True)
class ImageAnswers:
    """All answers about one image.

    Attributes:
        file: Its path in the folder of images, with forward slashes.
        sha256: Of its content when it was asked about.
        size_wh: In pixels, as stored.
        sent_size_wh: The size in which the teacher saw it.
        replies: By question, then by sampling.
        time: When the last answer came, in UTC, as ISO 8601.
    """

    file: str
    sha256: str
    size_wh: tuple[int, int]
    sent_size_wh: tuple[int, int]
    replies: tuple[tuple[Reply, ...], ...]
    time: str


class AnswersFile:
    """The answers of one job, open for more of them; made by `open_answers`."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        """Read where each image's answers are, and cut a torn line off."""
        self._path, self._stream = path, stream
        self._found: dict[
            str, tuple[str, int, int]
        ] = {}  # Hash and line of the image, and where that begins.
        stream.seek(0)
        start = line = 0
        for line, data in enumerate(stream, 1):
            if not data.endswith(b"\n"):
                stream.truncate(start)
                break
            answers = self._parse(data, line)
            self._found[answers.file] = (answers.sha256, line, start)
            start += len(data)

    def __len__(self) -> int:
        """Count the images that were asked about."""
        return len(self._found)

    def has(self, file: str, sha256: str) -> bool:
        """Tell whether the image was asked about, with this content."""
        return self._found.get(file, ("",))[0] == sha256

    def add(self, answers: ImageAnswers) -> None:
        """Append an image's answers and hand them to the operating system at once.

        Raises:
            DataError: The file can't be written.
        """
        row = {
            "file": answers.file,
            "sha256": answers.sha256,
            "size_wh": answers.size_wh,
            "sent_size_wh": answers.sent_size_wh,
            "replies": [[asdict(reply) for reply in replies] for replies in answers.replies],
            "time": answers.time,
        }
        try:
            start = self._stream.seek(0, os.SEEK_END)
            self._stream.write(dump(row).encode() + b"\n")
            self._stream.flush()
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._found[answers.file] = (answers.sha256, 0, start)

    def get(self, file: str) -> ImageAnswers:
        """Read an image's answers again.

        Raises:
            KeyError: It was not asked about.
        """
        _, line, start = self._found[file]
        self._stream.seek(start)
        return self._parse(self._stream.readline(), line)

    def _parse(self, data: bytes, line: int) -> ImageAnswers:
        where = f"{self._path.name}:{line}"
        try:
            fields = parse_object(data.decode(), where)
        except UnicodeDecodeError as error:
            raise RecordError(f"{where}: not UTF-8 text; remove the line") from error
        replies = [
            tuple(_reply(Fields(reply, where)) for reply in _list(said, where))
            for said in fields.items("replies")
        ]
        return ImageAnswers(
            fields.text("file"),
            fields.text("sha256"),
            fields.size_wh("size_wh"),
            fields.size_wh("sent_size_wh"),
            tuple(replies),
            fields.text("time"),
        )


@contextmanager
def open_answers(folder: Path, asking: AskOptions, endpoint: Endpoint) -> Iterator[AnswersFile]:
    """Open the answers of a job, new or begun.

    Args:
        folder: Where they are; made if need be.
        asking: What shapes the answers.
        endpoint: Whose model shapes them too.

    Raises:
        ConfigError: The answers there are of another job.
        DataError: The file can't be written.
        RecordError: A line of it is wrong.
    """
    job = {"model": endpoint.model, **asdict(asking)}
    for name in _ONLY_READING:
        del job[name]
    _settle_job(folder, json.loads(dump(job)))
    path = folder / ANSWERS
    try:
        with path.open("ab+") as stream:
            yield AnswersFile(path, stream)
    except OSError as error:
        raise unwritable(path, error) from error


def _settle_job(folder: Path, job: Mapping[str, Any]) -> None:
    path = folder / JOB
    if not path.exists():
        if (folder / ANSWERS).exists():
            raise ConfigError(f"{folder}: {ANSWERS} has no {JOB} beside; choose another output folder")
        write_text(path, json.dumps(job, ensure_ascii=False, indent=2) + "\n")
        return
    before = read_object(path)
    differing = [name for name in job if before.value(name) != job[name]]
    if differing:
        name = differing[0]
        raise ConfigError(
            f"{path}: the answers there were asked for with {name} {_short(before.value(name))}, and not "
            f"{_short(job[name])}; choose another output folder, or delete {folder.name}/ to ask anew"
        )


def _short(value: Any) -> str:
    text = dump(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise RecordError(f"{where}: `replies` should be lists of answers; remove the line")
    return value


def _reply(fields: Fields) -> Reply:
    return Reply(fields.text("text"), fields.text("finish"), fields.text("model"))
