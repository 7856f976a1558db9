"""Typed access to one JSON object: each wrong field becomes one line that says where and what.

Takes a parsed JSON value and the place it came from, gives checked Python values. Knows no record.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paddle_ground.errors import RecordError

BoxTuple = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max."""


quote: Callable[[str], str] = json.encoder.encode_basestring
"""Writes a text as `dump` does."""

# Made once: json.dumps would build an encoder for every line.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


class Fields:
    """One JSON object that is being read.

    Args:
        value: What the JSON parser gave.
        where: `file` or `file:line`, with the path inside the object after it; opens every message.

    Raises:
        RecordError: The value is not an object; so do all methods for a field of the wrong kind.
    """

    __slots__ = ("_value", "where")

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise RecordError(f"{where}: expected a JSON object, found {_kind(value)}")
        self._value: dict[str, Any] = value
        self.where = where

    def has(self, name: str) -> bool:
        """Tell whether the field is there and not null."""
        return self._value.get(name) is not None

    def names(self) -> tuple[str, ...]:
        """Give the names of all fields."""
        return tuple(self._value)

    def value(self, name: str) -> Any:
        """Give the field as the parser gave it, or None."""
        return self._value.get(name)

    def text(self, name: str, default: str | None = None) -> str:
        """Read a string."""
        value = self._get(name, default)
        if isinstance(value, str):
            return value
        raise self._wrong(name, "a string", value)

    def integer(self, name: str, default: int | None = None) -> int:
        """Read a whole number (true and false are none)."""
        value = self._get(name, default)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise self._wrong(name, "a whole number", value)

    def number(self, name: str, default: float | None = None) -> float:
        """Read a finite number."""
        value = self._get(name, default)
        if is_number(value):
            return float(value)
        raise self._wrong(name, "a finite number", value)

    def items(self, name: str, default: Sequence[Any] | None = None) -> list[Any]:
        """Read a list, of whatever."""
        value = self._get(name, default)
        if isinstance(value, list | tuple):
            return list(value)
        raise self._wrong(name, "a list", value)

    def texts(self, name: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """Read a list of strings."""
        values = self.items(name, default)
        for value in values:
            if not isinstance(value, str):
                raise self._wrong(name, "a list of strings", value)
        return tuple(values)

    def integers_by_name(self) -> dict[str, int]:
        """Read this whole object as a map from names to whole numbers."""
        return {name: self.integer(name) for name in self._value}

    def texts_by_name(self) -> dict[str, str]:
        """Read this whole object as a map from names to strings."""
        return {name: self.text(name) for name in self._value}

    def size_wh(self, name: str) -> tuple[int, int]:
        """Read an image size: [width, height], whole and positive."""
        values = self.items(name)
        if len(values) == 2 and all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values):
            return values[0], values[1]
        raise self._wrong(name, "[width, height] in pixels", values)

    def box(self, name: str) -> BoxTuple:
        """Read four finite numbers."""
        values = self.items(name)
        if len(values) == 4 and all(map(is_number, values)):
            return float(values[0]), float(values[1]), float(values[2]), float(values[3])
        raise self._wrong(name, "4 finite numbers", values)

    def inner(self, name: str) -> Fields:
        """Read an object inside this one."""
        return Fields(self._get(name, None), f"{self.where}: `{name}`")

    def objects(self, name: str, default: Sequence[Any] | None = None) -> list[Fields]:
        """Read a list of objects."""
        values = self.items(name, default)
        return [Fields(value, f"{self.where}: {name}[{i}]") for i, value in enumerate(values)]

    def _get(self, name: str, default: Any) -> Any:
        value = self._value.get(name)
        if value is not None:
            return value
        if default is not None:
            return default
        found = "is null" if name in self._value else "is missing"
        raise RecordError(f"{self.where}: `{name}` {found}; add it or make the file again")

    def _wrong(self, name: str, expected: str, value: Any) -> RecordError:
        return RecordError(f"{self.where}: `{name}` should be {expected}, found {_kind(value)}")


def parse_object(text: str, where: str) -> Fields:
    """Parse one JSON object.

    Raises:
        RecordError: The text is not JSON, or not an object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where}: not valid JSON ({error}); repair or remove it") from error
    return Fields(value, where)


def read_object(path: Path) -> Fields:
    """Read a file that holds one JSON object.

    Raises:
        RecordError: The file is missing, unreadable, not UTF-8 or not a JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    return parse_object(text, str(path))


def unreadable(path: Path, error: OSError | UnicodeDecodeError) -> RecordError:
    """Word the one message for a file that can't be read."""
    if isinstance(error, FileNotFoundError):
        return RecordError(f"{path}: no such file; check the path, or run the step that writes it")
    if isinstance(error, UnicodeDecodeError):
        return RecordError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8")
    return RecordError(f"{path}: cannot read this ({error.strerror or error}); check its permissions")


def dump(value: Any) -> str:
    """Write compact JSON on one line, Chinese as characters, never NaN.

    Raises:
        RecordError: A number is not finite.
    """
    try:
        return _ENCODER.encode(value)
    except ValueError as error:
        raise RecordError(f"cannot write a number that is not finite: {error}") from error


def is_number(value: Any) -> bool:
    """Tell whether this is a finite int or float (true and false are none)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # An integer beyond the range of float.
        return False


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    text = repr(value)
    shown = text if len(text) <= 60 else text[:57] + "..."
    return f"{names.get(type(value), 'a number')} ({shown})"
