"""Which format a data set is in: asks every known one, and says what was recognised and why.

Takes a path and perhaps a format's name, gives the one `Format` that fits. Reads names and heads of
files only, through the formats themselves. A folder of several data sets is not taken for one of them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from paddle_ground.data.readers import Format, formats
from paddle_ground.data.readers.annotation_files import broken_files
from paddle_ground.errors import ConfigError, DataError, PaddleGroundError

AUTO = "auto"
_LOOKED_AT = 10_000  # Files of a folder that nobody recognised, to name their kinds.
_PARTS = 24  # Folders in it that are asked about on their own.
_SHOWN = 4
# Which format people mean when they have such files; for a guess only.
_USUAL = {
    ".parquet": "coco_parquet",
    ".xml": "voc",
    ".txt": "yolo",
    ".yaml": "yolo",
    ".jsonl": "swift",
    ".json": "coco_json",
}


@dataclass(frozen=True, slots=True)
class Recognised:
    """A format, and what speaks for it.

    Attributes:
        format: The one that fits.
        reason: A clause, such as "12 *.parquet with the columns image and objects".
    """

    format: Format
    reason: str

    def __str__(self) -> str:
        """Word it for the user."""
        return f"format: {self.format.title}, by --from {self.format.name} ({self.reason})"


def recognise(path: Path, wanted: str = AUTO, known: Sequence[Format] | None = None) -> Recognised:
    """Find out which format lies at a path.

    Args:
        path: A folder or a file.
        wanted: A format's name, to be taken without asking; "auto" to ask all.
        known: The formats to ask; None for all that there are.

    Raises:
        ConfigError: Nobody knows the wanted format.
        DataError: Nothing is there, or no format fits, or several do, or folders in it are data sets of
            other formats.
    """
    known = formats() if known is None else known
    asked = find_format(wanted, known) if wanted != AUTO else None
    if not path.exists():
        raise DataError(f"{path}: no such folder or file; give the data set's folder, or its one file")
    if asked is not None:
        return Recognised(asked, "as told")
    fitting = _fitting(path, known)
    parts = _parts(path, known)
    if len(fitting) == 1:
        name = fitting[0].format.name
        others = {part: names for part, names in parts.items() if name not in names}
        if others:
            raise DataError(
                f"{path}: several data sets in it: {_say_parts(parts)}; give one of these folders, or "
                f"--from {name} for what of it is {name}"
            )
        return fitting[0]
    within = f"; in it are data sets: {_say_parts(parts)}; give one of these folders" if parts else ""
    if fitting:
        reasons = "; ".join(f"--from {one.format.name} ({one.reason})" for one in fitting)
        raise DataError(f"{path}: several formats fit; choose one: {reasons}{within}")
    raise DataError(f"{path}: no known format; {_say_kinds(path, known)}{within}")


def find_format(name: str, known: Sequence[Format] | None = None) -> Format:
    """Look a format up by its name.

    Raises:
        ConfigError: Nobody knows it; the message names the nearest one.
    """
    by_name = {one.name: one for one in (formats() if known is None else known)}
    if name in by_name:
        return by_name[name]
    near = get_close_matches(name, by_name, 1, 0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"unknown format {name!r}; {hint}known: {AUTO}, {', '.join(by_name)}")


def _fitting(path: Path, known: Sequence[Format]) -> list[Recognised]:
    return [Recognised(one, reason) for one in known if (reason := _ask(one, path)) is not None]


def _parts(path: Path, known: Sequence[Format]) -> dict[str, tuple[str, ...]]:
    """Give the formats of the folders that are data sets on their own."""
    if not path.is_dir():
        return {}
    with os.scandir(path) as entries:
        names = sorted(
            entry.name
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
        )
    found = {name: tuple(one.format.name for one in _fitting(path / name, known)) for name in names[:_PARTS]}
    return {name: own for name, own in found.items() if own}


def _say_parts(parts: Mapping[str, tuple[str, ...]]) -> str:
    shown = [f"{name} ({' or '.join(own)})" for name, own in parts.items()][:_SHOWN]
    more = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return ", ".join(shown) + more


def _say_kinds(path: Path, known: Sequence[Format]) -> str:
    """Word what is there instead: a broken file, or files of other kinds."""
    broken = broken_files(path)
    if broken:
        return broken[0]
    names = ", ".join(one.name for one in known)
    kinds = _kinds(path)
    guess = next((_USUAL[kind] for kind, _ in kinds if _USUAL.get(kind) in {one.name for one in known}), None)
    closest = f"; the closest guess is --from {guess}" if guess else ""
    found = ", ".join(f"{count} {kind or 'without suffix'}" for kind, count in kinds[:_SHOWN]) or "nothing"
    return f"found {found}, expected one of {names}{closest}"


def _ask(one: Format, path: Path) -> str | None:
    try:
        return one.recognise(path)
    except (OSError, ValueError, PaddleGroundError):
        return None  # What it can't even look at is not its own; opening it would say why.


def _kinds(path: Path) -> list[tuple[str, int]]:
    """Count the files by suffix, most frequent first."""
    if path.is_file():
        return [(path.suffix.lower(), 1)]
    files = (name for _, _, names in os.walk(path) for name in names if not name.startswith("."))
    counts = Counter(Path(name).suffix.lower() for name in islice(files, _LOOKED_AT))
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
