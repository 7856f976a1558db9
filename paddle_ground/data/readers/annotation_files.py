"""Which files of a data set hold rows of a format, and which split each belongs to.

Takes a path and a test for one row, gives the files that pass, with names and splits. Reads heads only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from paddle_ground.data.readers.inside import find_inside
from paddle_ground.data.readers.json_rows import first_row, scan_rows
from paddle_ground.data.shards import TARGETS, USUAL_SPLITS
from paddle_ground.errors import DataError

RowTest = Callable[[dict[str, Any]], bool]

SUFFIXES = (".json", ".jsonl", ".ndjson")
# What stands beside data and is none itself.
_NOT_ROWS = ("dataset_info.json", ".meta.json", ".truth.json", "package.json", "_report.json")
HEADS = 40
"""How many files to look into to recognise a folder; one of thousands of label files is not read through."""
_SMALL_BYTES = (
    4 << 20
)  # Such a file is read whole to tell whether it is broken, or one object over many lines.
_TEST_SPLITS = {"testa": "none", "testb": "none"}  # RefCOCO's.


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """A file of rows.

    Attributes:
        path: Where it is.
        name: Relative to the data set's folder, with forward slashes; for messages.
        split: "train" or "val": the output split of its rows.
    """

    path: Path
    name: str
    split: str


def root_of(path: Path) -> Path:
    """Give the data set's folder: the path itself, or the folder of the file that it is."""
    return path.parent if path.is_file() else path


def candidates(path: Path) -> list[Path]:
    """List the files that may hold rows: the file itself, or those of a folder and the folders in it."""
    if path.is_file():
        return [path] if path.suffix.lower() in SUFFIXES else []
    if not path.is_dir():
        return []
    found, inner = _look_into(path)
    for folder in sorted(inner):
        found += _look_into(folder)[0]
    return sorted(found, key=lambda file: (len(file.parts), file.as_posix()))


def matching(path: Path, test: RowTest, limit: int | None = None) -> list[Path]:
    """List the files whose first row passes a test.

    Args:
        path: A folder or a file.
        test: Given the first row; called with objects only.
        limit: How many files to look into; None for all.
    """
    files = islice(candidates(path), limit)
    return [file for file in files if (row := _first_row(file)) is not None and test(row)]


def broken_files(path: Path, limit: int = HEADS) -> list[str]:
    """Say of files that may hold rows which of them break in their first row, and at which line.

    Args:
        path: A folder or a file.
        limit: How many files to look into.
    """
    root = root_of(path)
    found = (_broken(root, file) for file in islice(candidates(path), limit))
    return [message for message in found if message]


def say_files(files: list[Path], what: str) -> str | None:
    """Word for `Format.recognise` which files speak for a format, or give None."""
    if not files:
        return None
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{files[0].name}{more} with {what}"


def open_files(
    path: Path, files: list[Path], split_map: Mapping[str, str] | None
) -> tuple[tuple[AnnotationFile, ...], tuple[str, ...]]:
    """Give files their splits, by the words in their names: `val` in refcoco_val.json or val/a.jsonl.

    A name without such a word is train. A file that the user named is taken, test or not.

    Args:
        path: What the user named.
        files: The files in it.
        split_map: Output split by source split, for those that differ from the usual names.

    Returns:
        The files that go somewhere, and notes on those that don't.

    Raises:
        DataError: There are no files, or every one is left out, or one is a link out of the folder.
    """
    root = root_of(path)
    broken = [] if path.is_file() and files else broken_files(path)
    if not files:
        raise DataError(
            broken[0]
            if broken
            else f"{path}: no file with rows of this format; check the path or choose another --from"
        )
    if broken:
        raise DataError(f"{broken[0]}; or move it elsewhere")
    known = {**USUAL_SPLITS, **_TEST_SPLITS, **{key.lower(): to for key, to in (split_map or {}).items()}}
    taken, left_out = [], []
    for file in files:
        name = file.relative_to(root).as_posix()
        if file != path:  # What the user named may be a link; what a folder holds may lead anywhere.
            find_inside(root, name, (root,), name)
        words = [word for word in re.split(r"[^a-z]+", name.lower()) if word in known]
        split = known[words[-1]] if words else "train"
        if split == "none" and path.is_file() and not split_map:
            split = "val"
        if split not in TARGETS:
            raise DataError(f"{name}: split {split!r} is not one of {', '.join(TARGETS)}; mend the split map")
        if split == "none":
            left_out.append((words[-1], name))
        else:
            taken.append(AnnotationFile(file, name, split))
    notes = [f"splits: {', '.join(name for _, name in left_out)} left out"] if left_out else []
    if left_out:
        notes[0] += f" (--split-map {left_out[0][0]}=val takes it)"
    if not taken:
        raise DataError(f"{path}: every file is of a test split; --split-map {left_out[0][0]}=val takes it")
    return tuple(taken), tuple(notes)


def _look_into(folder: Path) -> tuple[list[Path], list[Path]]:
    """List a folder's files that may hold rows, and its folders."""
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.name.lower().endswith(SUFFIXES):
                if not entry.name.endswith(_NOT_ROWS) and entry.is_file():
                    files.append(folder / entry.name)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(folder / entry.name)
    return files, folders


def _broken(root: Path, file: Path) -> str | None:
    if _first_row(file) is not None:
        return None
    name = file.relative_to(root).as_posix()
    try:
        find_inside(root, name, (root,), name)
        if not _is_one_object(file):
            next(scan_rows(file, name), None)
    except DataError as error:
        return str(error)
    return None


def _is_one_object(file: Path) -> bool:
    """Tell whether a file is JSON of another kind: one object over many lines, a list of numbers."""
    try:
        if file.stat().st_size > _SMALL_BYTES:
            with file.open("rb") as stream:
                return file.suffix.lower() == ".json" and not stream.read(64).lstrip().startswith(b"[")
        json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return True


def _first_row(file: Path) -> dict[str, Any] | None:
    try:
        state = file.stat()
    except OSError:
        return None
    return _remembered_row(file, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _remembered_row(file: Path, size: int, changed_ns: int) -> dict[str, Any] | None:
    """Remember heads: every format asks for the same ones."""
    return first_row(file)
