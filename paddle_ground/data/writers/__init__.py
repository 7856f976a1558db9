"""Prepared data in the formats of others: one small writer a format, one registry.

Takes a folder that `prepare` wrote, gives a folder in another format, whole or not at all. Images are linked
or copied, byte for byte.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from paddle_ground.data.pieces import Progress
from paddle_ground.data.staging import lock_output
from paddle_ground.data.writers.register import INFO, entries, folder_name, read_register, write_register
from paddle_ground.errors import ConfigError, DataError
from paddle_ground.files import unwritable
from paddle_ground.records import resolve_image

if TYPE_CHECKING:
    from paddle_ground.data.writers.respoken import Speaking

# The module and the function of each writer.
_WRITERS = {
    "swift": ("conversations", "write_swift"),
    "llamafactory": ("conversations", "write_llamafactory"),
    "coco": ("detections", "write_coco"),
    "yolo": ("detections", "write_yolo"),
    "paddle": ("same", "write_paddle"),
}
_REGISTERED = "llamafactory"  # Finds its data sets in a register, to which more can be added.
WRITER_NAMES = tuple(_WRITERS)


@dataclass(frozen=True, slots=True)
class Split:
    """One split of prepared data.

    Attributes:
        name: "train" or "val".
        samples_path: Its samples; meta and truth lie beside.
    """

    name: str
    samples_path: Path


@dataclass(frozen=True, slots=True)
class ConvertReport:
    """What was written.

    Attributes:
        output_dir: Where.
        counts: By split and kind, such as "train images"; what the format can't say too.
    """

    output_dir: Path
    counts: dict[str, int]


WriteFormat = Callable[["Split", Path, "Images"], Counter[str]]
"""Writes one split into a folder that may hold the other split already; gives counts."""


class Images:
    """Puts image files into the output.

    Args:
        link: Whether by hard links where the file system allows, so that no byte is stored twice.
        prefix: What stands before their names in files whose paths begin at another folder: "" or "folder/".
        progress: Told the number of images that are there, and of all.
        total: All.
    """

    def __init__(
        self, link: bool, prefix: str = "", progress: Progress | None = None, total: int = 0
    ) -> None:
        self._link, self.prefix = link, prefix
        self._progress, self._done, self._total = progress, 0, total

    def put(self, samples_path: Path, image: str, target: Path) -> None:
        """Put one image of a samples file where it belongs; one that is there already stays.

        Raises:
            DataError: It is missing, or can't be written.
        """
        # Asked first: it refuses a path that leads out, which would also be a target outside.
        source = resolve_image(samples_path, image)
        if target.exists():
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not (self._link and _linked(source, target)):
                shutil.copyfile(source, target)
        except FileNotFoundError as error:
            raise DataError(f"{samples_path}: image {image!r} is missing; prepare the data again") from error
        except OSError as error:
            raise unwritable(target, error) from error
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, max(self._done, self._total))


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source.resolve(), target)
    except OSError:
        return False  # Another file system, or nothing there: the copy will tell.
    return True


def convert(
    prepared: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    to: str,
    link: bool = True,
    name: str | None = None,
    progress: Progress | None = None,
    speaking: Speaking | None = None,
) -> ConvertReport:
    """Write prepared data in another format, or for another model.

    Args:
        prepared: The folder that `prepare` wrote.
        output_dir: A new or empty folder; or LLaMA-Factory's folder of data sets, which gets one more.
        to: A name in `WRITER_NAMES`.
        link: Whether images are hard links where that is possible.
        name: Of the data set among LLaMA-Factory's; None: the folder's name.
        progress: Told the number of images that are there, and of all.
        speaking: For which model; None: for the one that the data was prepared for.

    Raises:
        ConfigError: Nobody knows that format, or it is of no model's numbers.
        DataError: There is no prepared data, or the output can't be written.
    """
    if speaking is not None and to != "paddle":
        raise ConfigError(
            f"a model family is named, but only samples `--to paddle` are written anew in its numbers; "
            f"convert that folder --to {to} afterwards"
        )
    out, source = Path(output_dir), Path(prepared)
    own = folder_name(name or source.resolve().name)
    is_added = check_target(out, to, own)
    splits = _splits(source)
    if not is_added:
        return _fill(out, splits, to, _images(source, link, "", progress), speaking)
    with lock_output(out):
        check_target(out, to, own)
        report = _fill(out / own, splits, to, _images(source, link, f"{own}/", progress))
        try:
            found = entries(own, f"{own}/", [split.name for split in splits])
            write_register(out, read_register(out) | found)
        except BaseException:
            shutil.rmtree(out / own, ignore_errors=True)
            raise
    return report


def check_target(out: Path, to: str, name: str) -> bool:
    """Refuse an output that can't be written, before anything is read.

    Args:
        out: As for `convert`.
        to: Likewise.
        name: Of the data set.

    Returns:
        Whether the data set is added to others of LLaMA-Factory's.

    Raises:
        ConfigError: Nobody knows the format.
        DataError: Something else is there.
    """
    if to not in _WRITERS:
        raise ConfigError(f"unknown format {to!r}; known: {', '.join(WRITER_NAMES)}")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if to != _REGISTERED or not (out / INFO).is_file():
        others = f", or a LLaMA-Factory folder with its {INFO}" if to == _REGISTERED else ""
        raise DataError(f"{out}: expected a new or empty folder{others}; remove it or name another")
    twice = [key for key in entries(name, "", ("train", "val")) if key in read_register(out)]
    if twice or (out / name).exists():
        what = f"{INFO} describes {twice[0]!r}" if twice else f"it holds {name!r}"
        raise DataError(f"{out}: {what} already; give the new data set another --name")
    return True


def _images(prepared: Path, link: bool, prefix: str, progress: Progress | None) -> Images:
    folder = prepared / "images"
    total = sum(1 for _ in os.scandir(folder)) if folder.is_dir() else 0
    return Images(link, prefix, progress, total)


def _writer(to: str, speaking: Speaking | None) -> WriteFormat:
    if speaking is not None:
        from paddle_ground.data.writers.respoken import write_respoken

        return partial(write_respoken, speaking=speaking)
    module, function = _WRITERS[to]
    write: WriteFormat = getattr(import_module(f"{__name__}.{module}"), function)
    return write


def _fill(
    out: Path, splits: list[Split], to: str, images: Images, speaking: Speaking | None = None
) -> ConvertReport:
    """Write a new folder, whole or not at all."""
    write = _writer(to, speaking)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise unwritable(out, error) from error
    counts: dict[str, int] = {}
    try:
        for split in splits:
            found = write(split, work, images)
            counts.update({f"{split.name} {kind}": number for kind, number in _in_order(found)})
        if to == _REGISTERED and not images.prefix:
            write_register(work, entries("paddle_ground", "", [split.name for split in splits]))
        os.chmod(work, 0o755)
        if out.exists():
            out.rmdir()
        os.replace(work, out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return ConvertReport(out, counts)


def _in_order(counts: Counter[str]) -> list[tuple[str, int]]:
    """Put what is there before what is lost."""
    return sorted(counts.items(), key=lambda item: (" " in item[0], item[0]))


def _splits(prepared: Path) -> list[Split]:
    found = [Split(name, prepared / f"{name}.jsonl") for name in ("train", "val")]
    there = [split for split in found if split.samples_path.is_file()]
    if not there:
        raise DataError(
            f"{prepared}: neither train.jsonl nor val.jsonl in it; "
            "give a folder that `paddle-ground prepare` wrote"
        )
    return there
