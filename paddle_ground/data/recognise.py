"""Which format a data set is in: asks every known one, and says what was recognised and why.

Takes a path and perhaps a format's name, gives the one `Format` that fits. Reads names and heads of
files only, through the formats themselves.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from paddle_ground.data.readers import Format, formats
from paddle_ground.errors import ConfigError, DataError, PaddleGroundError

AUTO = "auto"
_LOOKED_AT = 10_000  # Files of a folder that nobody recognised, to name their kinds.
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
        DataError: Nothing is there, or no format fits, or several do.
    """
    known = formats() if known is None else known
    asked = find_format(wanted, known) if wanted != AUTO else None
    if not path.exists():
        raise DataError(f"{path}: no such folder or file; give the data set's folder, or its one file")
    if asked is not None:
        return Recognised(asked, "as told")
    fitting = [Recognised(one, reason) for one in known if (reason := _ask(one, path)) is not None]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        reasons = "; ".join(f"--from {one.format.name} ({one.reason})" for one in fitting)
        raise DataError(f"{path}: several formats fit; choose one: {reasons}")
    names = ", ".join(one.name for one in known)
    kinds = _kinds(path)
    guess = next((_USUAL[kind] for kind, _ in kinds if _USUAL.get(kind) in {one.name for one in known}), None)
    closest = f"; the closest guess is --from {guess}" if guess else ""
    found = ", ".join(f"{count} {kind or 'without suffix'}" for kind, count in kinds[:4]) or "nothing"
    raise DataError(f"{path}: no known format; found {found}, expected one of {names}{closest}")


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
