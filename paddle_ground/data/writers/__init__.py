"""Prepared data in the formats of others: one small writer a format, one registry.

Takes a folder that `prepare` wrote, gives a folder in another format, whole or not at all. Images are linked
or copied, byte for byte.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from paddle_ground.errors import ConfigError, DataError
from paddle_ground.files import unwritable
from paddle_ground.records import resolve_image

# The module and the function of each writer.
_WRITERS = {
    "swift": ("conversations", "write_swift"),
    "llamafactory": ("conversations", "write_llamafactory"),
    "coco": ("detections", "write_coco"),
    "yolo": ("detections", "write_yolo"),
}
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
    """

    def __init__(self, link: bool) -> None:
        self._link = link

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
            if self._link:
                try:
                    os.link(source.resolve(), target)
                    return
                except OSError:
                    pass  # Another file system: then a copy it is.
            shutil.copyfile(source, target)
        except FileNotFoundError as error:
            raise DataError(f"{samples_path}: image {image!r} is missing; prepare the data again") from error
        except OSError as error:
            raise unwritable(target, error) from error


def convert(
    prepared: str | os.PathLike[str], output_dir: str | os.PathLike[str], to: str, link: bool = True
) -> ConvertReport:
    """Write prepared data in another format.

    Args:
        prepared: The folder that `prepare` wrote.
        output_dir: A new or empty folder.
        to: A name in `WRITER_NAMES`.
        link: Whether images are hard links where that is possible.

    Raises:
        ConfigError: Nobody knows that format.
        DataError: There is no prepared data, or the output can't be written.
    """
    if to not in _WRITERS:
        raise ConfigError(f"unknown format {to!r}; known: {', '.join(WRITER_NAMES)}")
    module, name = _WRITERS[to]
    write: WriteFormat = getattr(import_module(f"{__name__}.{module}"), name)
    splits = _splits(Path(prepared))
    out = Path(output_dir)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: expected a new or empty folder; remove it or name another")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise unwritable(out, error) from error
    counts: dict[str, int] = {}
    try:
        for split in splits:
            found = write(split, work, Images(link))
            counts.update({f"{split.name} {kind}": number for kind, number in sorted(found.items())})
        os.chmod(work, 0o755)
        if out.exists():
            out.rmdir()
        os.replace(work, out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return ConvertReport(out, counts)


def _splits(prepared: Path) -> Iterable[Split]:
    found = [Split(name, prepared / f"{name}.jsonl") for name in ("train", "val")]
    there = [split for split in found if split.samples_path.is_file()]
    if not there:
        raise DataError(
            f"{prepared}: neither train.jsonl nor val.jsonl in it; "
            "give a folder that `paddle-ground prepare` wrote"
        )
    return there
