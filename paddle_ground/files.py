"""Whole files or none: write under a temporary name in the same folder, then rename.

Takes paths, gives open files and hashes. Knows nothing of what is in them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from paddle_ground.errors import UnwritableError

PART_SUFFIX = ".part"
"""What an unfinished file's name ends with."""


@contextmanager
def atomic_writer(path: str | os.PathLike[str], binary: bool = False) -> Iterator[IO[Any]]:
    """Open a file that appears under its name only when the block ends well.

    Args:
        path: The final name. Missing parent folders are made.
        binary: Bytes instead of UTF-8 text with `\\n` line ends.

    Yields:
        The open file, under a temporary name in the same folder.

    Raises:
        UnwritableError: The folder or the file can't be written.
    """
    final = Path(path)
    # The process id keeps two writers of one name from mixing their bytes.
    part = final.with_name(f".{final.name}.{os.getpid()}{PART_SUFFIX}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        stream = part.open("wb") if binary else part.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise unwritable(final, error) from error
    try:
        with stream:
            yield stream
        try:
            os.replace(part, final)
        except OSError as error:
            raise unwritable(final, error) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole text file, UTF-8, or leave what was there untouched.

    Raises:
        UnwritableError: The folder or the file can't be written.
    """
    with atomic_writer(path) as stream:
        stream.write(text)


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hash a file's content in pieces, memory flat.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def unwritable(path: str | os.PathLike[str], error: OSError) -> UnwritableError:
    """Word the one message for a place that can't be written."""
    reason = error.strerror or str(error)
    return UnwritableError(
        f"{os.fspath(path)}: cannot write here ({reason}); choose a folder you may write to"
    )
