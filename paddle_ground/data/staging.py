"""An output folder that is being filled: pieces that survive a crash, and a result that appears at once.

Takes an output folder and the fingerprint of a job, gives places to write to. What is unfinished
stands in `<output>/.prepare.part`; finished pieces in it are found again by a later run of the same
job and thrown away by one of another job. Publishing moves the result into place; one that was
interrupted is completed by the next run. Knows file names, nothing of what is in them.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from paddle_ground.errors import DataError
from paddle_ground.files import PART_SUFFIX, unwritable, write_text

FOLDER_NAME = f".prepare{PART_SUFFIX}"
IMAGES = "images"
# Samples last: with them in place a result looks finished.
FILE_NAMES = tuple(
    f"{split}.{kind}" for kind in ("truth.json", "meta.json", "jsonl") for split in ("val", "train")
)
_JOB = "job.json"
_COMPLETE = "complete.json"


class Staging:
    """The unfinished result of one job.

    Args:
        root: The output folder, locked by `lock_output`.
        fingerprint: What the job depends on. Pieces of another job are thrown away.
        lock: The open file that holds the lock, for processes that are forked to close.

    Attributes:
        folder: Where files are written until the result is published.
        images: Where image files are written until then.

    Raises:
        DataError: The folder can't be written, or holds a result that is not ours.
    """

    def __init__(self, root: Path, fingerprint: str, lock: int | None = None) -> None:
        refuse_foreign(root)
        self._root, self.lock = root, lock
        self.folder = root / FOLDER_NAME
        self.images = self.folder / IMAGES
        try:
            if _text(self.folder / _JOB) != fingerprint:
                shutil.rmtree(self.folder, ignore_errors=True)
            self.images.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(root, error) from error
        write_text(self.folder / _JOB, fingerprint)

    def piece(self, index: int) -> Path:
        """Give the path of a piece's notes; the file is there once the piece is done."""
        return self.folder / f"piece-{index:06d}.txt"

    def discard(self) -> None:
        """Throw everything away: the source has to be mended first, so nothing here can be used again."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def publish(self, files: Sequence[str]) -> None:
        """Move the finished result into place, over what an earlier run left there.

        Args:
            files: Which of `FILE_NAMES` are in `folder`.

        Raises:
            DataError: A file can't be moved.
        """
        write_text(self.folder / _COMPLETE, json.dumps(list(files)))
        _publish(self._root)


@contextmanager
def lock_output(root: Path) -> Iterator[int]:
    """Keep an output folder for this process; complete what a run before left half published.

    Args:
        root: The output folder; made if need be.

    Yields:
        The open file that holds the lock.

    Raises:
        DataError: The folder can't be written, or another process is writing it.
    """
    is_new = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        # The lock belongs to the open folder and dies with the process, however that ends.
        handle = os.open(root, os.O_RDONLY)
    except OSError as error:
        raise unwritable(root, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"{root}: another run is writing here; wait for it or choose another folder"
            ) from error
        if (root / FOLDER_NAME / _COMPLETE).is_file():
            _publish(root)
        yield handle
    finally:
        os.close(handle)
        if is_new and not any(root.iterdir()):
            root.rmdir()


def _publish(root: Path) -> None:
    """Move all that is still in the staging folder; may be done again after it was interrupted."""
    folder = root / FOLDER_NAME
    try:
        files = json.loads((folder / _COMPLETE).read_text(encoding="utf-8"))
        # An older result goes first, and its samples before its images: at no time do samples stand
        # beside images of another run. A new file that is no longer in staging is in its place.
        for name in reversed(FILE_NAMES):
            if name not in files or (folder / name).exists():
                (root / name).unlink(missing_ok=True)
        if (folder / IMAGES).exists():
            if (root / IMAGES).exists():
                os.replace(root / IMAGES, folder / "replaced")
            os.replace(folder / IMAGES, root / IMAGES)
        for name in FILE_NAMES:
            if (folder / name).exists():
                os.replace(folder / name, root / name)
        # The note goes last, so that an interrupted clean-up is taken up again too.
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _COMPLETE:
                path.unlink()
        shutil.rmtree(folder)
    except OSError as error:
        raise unwritable(root, error) from error


def withdraw(root: Path) -> bool:
    """Remove a published result that is no longer right; its samples first, so that nothing looks finished.

    Args:
        root: The output folder, locked by `lock_output`, which holds nothing foreign (see `refuse_foreign`).

    Returns:
        Whether there was one.

    Raises:
        DataError: A file can't be removed.
    """
    there = [root / name for name in reversed(FILE_NAMES) if (root / name).exists()]
    try:
        for path in there:
            path.unlink()
        if (root / IMAGES).is_dir():
            shutil.rmtree(root / IMAGES)
    except OSError as error:
        raise unwritable(root, error) from error
    return bool(there)


def refuse_foreign(root: Path) -> None:
    """Refuse a folder whose images/ or samples no run of ours wrote, since publishing replaces them.

    Raises:
        DataError: Such files are there.
    """
    if any((root / name).exists() for name in FILE_NAMES if name.endswith("meta.json")):
        return
    for path in (root / IMAGES, *(root / name for name in FILE_NAMES)):
        if path.exists():
            raise DataError(
                f"{path}: prepare did not make this but would replace it; choose another output folder"
            )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None
