"""Rows of JSON files that may be larger than memory: one object a line, or one list of objects.

Takes a file, gives its objects one at a time with their places, and reads single ones again by place.
Which of the two layouts it is shows in the first character, not in the suffix. Knows no format.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from paddle_ground.errors import DataError

MAX_ROW_BYTES = 64 << 20
"""Longer rows are refused: a file whose quotes are broken would else be read as one row."""

_BLOCK = 1 << 20
_HEAD_BYTES = 1 << 20
_SURROGATE = b"\\ud"  # How JSON writes halves of a pair: the only way that one can come in.
_BLANK = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class JsonRow:
    """One object and where it stands.

    Attributes:
        value: What the JSON parser gave.
        line: From 1 on: where the object begins.
        start: The byte that it begins at.
        size: Its length in bytes.
    """

    value: dict[str, Any]
    line: int
    start: int
    size: int


def scan_rows(path: Path, name: str) -> Iterator[JsonRow]:
    """Read all objects of a file in order; memory stays flat.

    Args:
        path: The file.
        name: What messages call it.

    Raises:
        DataError: The file can't be read, is not UTF-8, or holds something else than objects.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(4096).removeprefix(codecs.BOM_UTF8).lstrip()
            skip = len(codecs.BOM_UTF8) if _has_bom(stream) else 0
            stream.seek(skip)
            scan = _scan_list if start.startswith(b"[") else _scan_lines
            yield from scan(stream, skip, name)
    except OSError as error:
        raise DataError(f"{name}: cannot read this ({error.strerror or error}); check the file") from error


def read_row(stream: IO[bytes], start: int, size: int, where: str) -> dict[str, Any]:
    """Read one object again that `scan_rows` found.

    Args:
        stream: The file, opened for bytes.
        start: As in `JsonRow`.
        size: As in `JsonRow`.
        where: `file:line`, to open a message.

    Raises:
        DataError: It is no longer there: the file was changed meanwhile.
    """
    try:
        stream.seek(start)
        value = json.loads(stream.read(size))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{where}: the file changed while it was read; start again") from error
    if not isinstance(value, dict):
        raise DataError(f"{where}: the file changed while it was read; start again")
    return value


def first_row(path: Path) -> dict[str, Any] | None:
    """Read a file's first object, from its first megabyte alone.

    Returns:
        None where it begins with no object, or that is not whole in there.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        text = head.decode("utf-8-sig", errors="ignore").lstrip()
        if text.startswith("["):
            text = text[1:].lstrip()
        elif "\n" in text:
            text = text[: text.index("\n")]  # One object over many lines is no row of a file of lines.
        elif len(head) == _HEAD_BYTES:
            return None
        value, _ = json.JSONDecoder().raw_decode(text)
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _has_bom(stream: IO[bytes]) -> bool:
    stream.seek(0)
    return stream.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8


def _scan_lines(stream: IO[bytes], start: int, name: str) -> Iterator[JsonRow]:
    line = 0
    while data := stream.readline(MAX_ROW_BYTES + 1):
        line += 1
        if len(data) > MAX_ROW_BYTES:
            raise _too_long(name, line)
        if data.strip():
            yield JsonRow(_parse(data, f"{name}:{line}"), line, start, len(data))
        start += len(data)


def _parse(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", None) or str(error)
        raise DataError(
            f"{where}: not valid JSON ({reason}); expected one object a line, or one list of objects"
        ) from error
    return _object(value, where, _SURROGATE in data.lower())


def _object(value: Any, where: str, has_escapes: bool = True) -> dict[str, Any]:
    """Refuse what is no object, and text that no file can hold: half a pair of surrogates."""
    if has_escapes:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{where}: a text holds half a surrogate pair; it is no valid Unicode") from error
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected a JSON object, found {repr(value)[:40]}; repair or remove it")
    return value


def _too_long(name: str, line: int) -> DataError:
    return DataError(
        f"{name}:{line}: a row longer than {MAX_ROW_BYTES >> 20} MB, or JSON that is broken there; repair it"
    )


def _scan_list(stream: IO[bytes], start: int, name: str) -> Iterator[JsonRow]:
    walk = _ListWalk(stream, start, name)
    walk.expect("[")
    if walk.next_character() == "]":
        return
    while True:
        yield walk.take_object()
        mark = walk.next_character()
        if mark not in (",", "]"):
            raise DataError(
                f"{name}:{walk.line}: found {mark or 'the end'!r} after an object; expected , or ]"
            )
        walk.expect(mark)
        if mark == "]":
            return


class _ListWalk:
    """A window on the text of a long list, with the byte and the line where it stands."""

    def __init__(self, stream: IO[bytes], start: int, name: str) -> None:
        self._stream, self._name = stream, name
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder()
        self._text, self._at, self._at_end = "", 0, False
        self._byte = start
        self.line = 1

    def next_character(self) -> str:
        """Give the next character that is not blank, without taking it; "" at the end of the file."""
        while True:
            blank = _BLANK.match(self._text, self._at)
            self._move(blank.end() if blank else self._at)
            if self._at < len(self._text) or not self._fill():
                return self._text[self._at : self._at + 1]

    def expect(self, character: str) -> None:
        """Take a character that `next_character` will give."""
        self.next_character()
        self._move(self._at + len(character))

    def take_object(self) -> JsonRow:
        """Take one object."""
        if self.next_character() != "{":
            found = self._text[self._at : self._at + 20] or "the end of the file"
            raise DataError(f"{self._name}:{self.line}: expected a JSON object, found {found!r}; repair it")
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                # Perhaps the rest has not been read yet. Twice as much each time keeps this linear.
                length = len(self._text) - self._at
                ahead = getattr(error, "pos", self._at) - self._at  # Reading on shifts the text.
                if length > MAX_ROW_BYTES:
                    raise _too_long(self._name, self.line) from error
                if self._fill(length):
                    continue
                raise self._broken(error, ahead) from error
            line, start = self.line, self._byte
            has_escapes = _SURROGATE.decode() in self._text[self._at : end].lower()
            self._move(end)
            row = _object(value, f"{self._name}:{line}", has_escapes)
            return JsonRow(row, line, start, self._byte - start)

    def _broken(self, error: Exception, ahead: int) -> DataError:
        line = self.line + self._text.count("\n", self._at, self._at + ahead)
        reason = getattr(error, "msg", None) or str(error)
        return DataError(
            f"{self._name}:{line}: not valid JSON ({reason}), in the object of line {self.line}; repair it"
        )

    def _fill(self, at_least: int = 0) -> bool:
        """Read more; give False where there is no more."""
        if self._at_end:
            return False
        data = self._stream.read(max(_BLOCK, at_least))
        self._at_end = not data
        try:
            self._text = self._text[self._at :] + self._decoder.decode(data, final=self._at_end)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self._name}: not UTF-8 text after line {self.line}; save the file as UTF-8"
            ) from error
        self._at = 0
        return not self._at_end

    def _move(self, to: int) -> None:
        taken = self._text[self._at : to]
        self._byte += len(taken.encode())
        self.line += taken.count("\n")
        self._at = to
