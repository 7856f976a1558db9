"""Where label files lie that stand one beside each image, which split each is of, and where its image may be.

Takes a path and a suffix, gives files in order and folders. Reads no label file itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from paddle_ground.data.readers.annotation_files import root_of
from paddle_ground.data.shards import TARGETS, USUAL_SPLITS
from paddle_ground.errors import DataError

IMAGE_FOLDERS = ("JPEGImages", "images", "Images", "imgs", "img", "image")


@dataclass(frozen=True, slots=True)
class LabelFile:
    """One label file.

    Attributes:
        path: Where it is.
        name: Relative to the data set's folder, with forward slashes; for messages.
        split: "train" or "val".
    """

    path: Path
    name: str
    split: str


def files_with(path: Path, suffix: str) -> Iterator[Path]:
    """List the files with a suffix: the file itself, or those of a folder and all below it.

    Hidden files and folders are passed over, such as a notebook's checkpoints.

    Raises:
        DataError: A file is a link out of the folder.
    """
    if path.is_file():
        yield from [path] if path.suffix.lower() == suffix else []
        return
    real_root = path.resolve()
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.lower().endswith(suffix) or name.startswith("."):
                continue
            file = Path(folder, name)
            if file.is_symlink() and not file.resolve().is_relative_to(real_root):
                shown = file.relative_to(path).as_posix()
                raise DataError(f"{shown}: a link out of {path.name or path}; put the file itself there")
            yield file


def choose_files(
    path: Path, suffix: str, is_ours: Callable[[Path], bool], title: str
) -> tuple[list[Path], tuple[str, ...]]:
    """List the files with a suffix that are of a format.

    Args:
        path: A folder or a file.
        suffix: With its dot, in lower case.
        is_ours: Tells whether a file is of the format.
        title: What the format is called.

    Returns:
        The files, and a note on those that are something else.

    Raises:
        DataError: A file is a link out of the folder.
    """
    ours: list[Path] = []
    others: list[Path] = []
    for file in files_with(path, suffix):
        (ours if is_ours(file) else others).append(file)
    if not others:
        return ours, ()
    first = others[0].relative_to(root_of(path)).as_posix()
    return ours, (f"files: {len(others)} *{suffix} left out, no {title} (the first: {first!r})",)


def image_folders(path: Path, names: Iterable[str] = IMAGE_FOLDERS) -> Callable[[LabelFile], list[Path]]:
    """Say where the images of label files may be.

    Beside the file; in a folder for images beside the file's own folder, or beside one above it and then
    under the same names (`images/train` for `annotations/train`); above; in the root.

    Args:
        path: What the user named.
        names: What folders for images are called.
    """
    root, known = root_of(path), tuple(names)
    found: dict[Path, list[Path]] = {}

    def look(file: LabelFile) -> list[Path]:
        beside = file.path.parent
        if beside not in found:
            found[beside] = _folders_for(root, beside, known)
        return found[beside]

    return look


def _folders_for(root: Path, beside: Path, names: tuple[str, ...]) -> list[Path]:
    if beside == root:
        return [root, *(root / name for name in names)]
    folders, above = [beside], beside.parent
    inner: tuple[str, ...] = ()
    while True:
        folders += [above.joinpath(name, *inner) for name in names]
        if above == root:
            return list(dict.fromkeys([*folders, beside.parent, root]))
        inner, above = (beside.relative_to(above.parent).parts[1:]), above.parent


def split_files(
    path: Path, paths: Iterable[Path], named: Mapping[str, str], split_map: Mapping[str, str] | None
) -> tuple[list[LabelFile], tuple[str, ...]]:
    """Give label files their splits.

    Args:
        path: What the user named.
        paths: The label files.
        named: Source split by stem, where a list says so; other files take the name of the innermost folder
            that is called like a split, and without one they are train.
        split_map: Output split by source split, for those that differ from the usual names.

    Returns:
        The files that go somewhere, in the order of their names, and notes on the others.

    Raises:
        DataError: The split map names an unknown output split.
    """
    root = root_of(path)
    known = {**USUAL_SPLITS, "trainval": "train", **{k.lower(): to for k, to in (split_map or {}).items()}}
    taken: list[LabelFile] = []
    left_out: dict[str, int] = {}
    for file in sorted(paths):
        name = file.relative_to(root).as_posix()
        words = [part.lower() for part in name.split("/")[:-1] if part.lower() in known]
        source = named.get(file.stem) or (words[-1] if words else "train")
        split = known.get(source, "train")
        if split not in TARGETS:
            raise DataError(f"{name}: split {split!r} is not one of {', '.join(TARGETS)}; mend the split map")
        if split == "none":
            left_out[source] = left_out.get(source, 0) + 1
        else:
            taken.append(LabelFile(file, name, split))
    notes = tuple(
        f"splits: {count} files of {name} left out (--split-map {name}=val takes them)"
        for name, count in sorted(left_out.items())
    )
    return taken, notes
