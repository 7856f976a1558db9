"""Files inside a data set's folder, and none outside of it.

Takes a root and the paths that a data set's own files name, gives files. Every reader opens what an
annotation names through this module: such a path may be absolute, climb out by "..", or be a link.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from paddle_ground.errors import DataError


def find_inside(root: Path, named: str, folders: Iterable[Path], where: str) -> Path:
    """Find the file that an annotation names.

    Args:
        root: The data set's folder, which nothing may leave.
        named: The path as written; backslashes count as slashes.
        folders: Where to look, first hit wins; all of them inside `root`.
        where: `file:line` of the annotation, to open a message.

    Returns:
        The path as found, its links not resolved.

    Raises:
        DataError: The path is absolute or leads out of the root, by itself or by a link, or no such
            file is there.
    """
    relative = _relative(root, named, where)
    real_root = root.resolve()
    for folder in folders:
        file = folder / relative
        try:
            found = file.is_file()
        except OSError as error:  # A name that is too long, for one.
            raise DataError(
                f"{where}: path {_shown(named)} can't be opened ({error.strerror or error})"
            ) from error
        if found:
            # A link may lead anywhere on the machine; only what it leads to counts.
            if not file.resolve().is_relative_to(real_root):
                raise DataError(
                    f"{where}: {_shown(named)} is a link out of {root.name or root}; put the file there"
                )
            return file
    raise DataError(
        f"{where}: no file {_shown(named)} in {root.name or root}; put it there, or remove the entry"
    )


def read_inside(file: Path, where: str) -> bytes:
    """Read a whole file that `find_inside` found.

    Raises:
        DataError: It can't be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{where}: cannot read {file.name} ({error.strerror or error}); check its permissions"
        ) from error


def list_inside(root: Path, named: str, folders: Iterable[Path], where: str) -> list[str]:
    """List the files in a folder that an annotation names.

    Args:
        root: The data set's folder, which nothing may leave.
        named: The folder as written; backslashes count as slashes.
        folders: Where to look for it, first hit wins; all of them inside `root`.
        where: `file:line` of the annotation, to open a message.

    Returns:
        Paths relative to `root`, with forward slashes, in the order of their names; empty where no such
        folder is there.

    Raises:
        DataError: The path is absolute or leads out of the root, by itself or by a link.
    """
    relative = _relative(root, named, where)
    for folder in (parent / relative for parent in folders):
        try:
            found = folder.is_dir()
        except OSError as error:  # A name that is too long, for one.
            raise DataError(
                f"{where}: path {_shown(named)} can't be opened ({error.strerror or error})"
            ) from error
        if found:
            if not folder.resolve().is_relative_to(root.resolve()):
                raise DataError(
                    f"{where}: {_shown(named)} is a link out of {root.name or root}; put the folder there"
                )
            files = sorted(file for file in folder.iterdir() if file.is_file())
            return [file.relative_to(root).as_posix() for file in files]
    return []


def _shown(named: str) -> str:
    """Quote a path for a message of one line, however long it is."""
    return repr(named) if len(named) <= 200 else f"{named[:200]!r}..."


def _relative(root: Path, named: str, where: str) -> str:
    relative = os.path.normpath(named.replace("\\", "/")) if "\0" not in named else ""
    if not named or not relative:
        raise DataError(f"{where}: {_shown(named)} is no path; name a file inside the data set")
    if os.path.isabs(relative) or relative[1:2] == ":" or relative.split("/")[0] == os.pardir:
        raise DataError(
            f"{where}: path {_shown(named)} leads out of the data set; use paths inside {root.name or root}"
        )
    return relative
