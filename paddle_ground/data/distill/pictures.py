"""The images in a folder, all the way down, that may be sent to a teacher.

Takes a folder, gives the names of image files in it, in the order of their names. Leaves no root: a link
that leads out of the folder is left out, and said.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from paddle_ground.data.readers.inside import find_inside
from paddle_ground.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """A folder of images.

    Attributes:
        root: The folder.
        files: Relative to it, with forward slashes.
        left_out: Why some files are not among them, one message each.
    """

    root: Path
    files: tuple[str, ...]
    left_out: tuple[str, ...]


def find_images(root: Path, apart_from: Path) -> ImageFolder:
    """Find the image files in a folder and the folders in it; hidden ones don't count.

    Args:
        root: The folder.
        apart_from: A folder that is not looked into: the output.

    Raises:
        DataError: It is no folder, or there is no image in it.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give the folder of the images")
    skipped = apart_from.resolve()
    files, left_out = [], []
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name for name in folders if not name.startswith(".") and Path(folder, name).resolve() != skipped
        ]
        for name in names:
            if name.startswith(".") or not name.lower().endswith(SUFFIXES):
                continue
            file = Path(folder, name).relative_to(root).as_posix()
            problem = _problem(root, file)
            if problem:
                left_out.append(problem)
            else:
                files.append(file)
    if not files:
        more = f" ({left_out[0]})" if left_out else ""
        raise DataError(f"{root}: no image in it{more}; expected files such as *.jpg or *.png")
    return ImageFolder(root, tuple(sorted(files)), tuple(sorted(left_out)))


def _problem(root: Path, file: str) -> str:
    try:
        file.encode()
    except UnicodeEncodeError:
        return f"{file.encode('utf-8', 'replace').decode()}: its name is not UTF-8"
    if not file.isprintable() or "\\" in file:
        return f"{file!r}: its name holds a control character or a backslash"
    try:
        find_inside(root, file, (root,), file)
    except DataError as error:
        return str(error)
    return ""
