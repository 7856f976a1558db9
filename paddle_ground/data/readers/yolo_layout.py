"""Where a YOLO data set keeps its images, labels, splits and class names.

Takes a folder or its data.yaml, gives image and label files by split. Knows the ways of Ultralytics
(`data.yaml`, images/ mirrored by labels/), Roboflow (train/images, train/labels, paths with `../` or of
another machine), Label Studio (classes.txt) and darknet (obj.names, labels beside the images). Reads no
label.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from paddle_ground.data.readers.annotation_files import root_of
from paddle_ground.data.readers.inside import find_inside, read_inside
from paddle_ground.data.readers.label_files import IMAGE_SUFFIXES
from paddle_ground.data.readers.yaml_text import parse_yaml
from paddle_ground.data.shards import TARGETS, USUAL_SPLITS
from paddle_ground.errors import DataError

_IMAGES = ("images", "Images", "imgs", "img", "JPEGImages", "obj_train_data")
_LABELS = ("labels", "Labels", "label", "Annotations", "annotations")
_NAME_FILES = ("classes.txt", "obj.names", "classes.names", "labels/classes.txt", "data.names")
_SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_YAML_FILES = 20
_OURS = re.compile(r"^[\"']?names[\"']?\s*:", re.MULTILINE)
_NO_LABELS = {"classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt", "trainval.txt", "notes.txt"}


@dataclass(frozen=True, slots=True)
class YoloImage:
    """An image and its labels.

    Attributes:
        path: Where it is.
        name: Relative to the data set's folder, with forward slashes.
        labels: Its label file; None for an image without objects.
        split: "train" or "val".
    """

    path: Path
    name: str
    labels: Path | None
    split: str


def find_yaml(path: Path) -> Path | None:
    """Find the YAML file that describes the data set: one with `names`."""
    root = root_of(path)
    if path.is_file():
        return path if path.suffix in (".yaml", ".yml") else None
    return next((file for file in _yaml_files(root) if "names" in _read_yaml(root, file)), None)


def _yaml_files(root: Path) -> list[Path]:
    files = [file for pattern in ("*.yaml", "*.yml", "*/*.yaml") for file in sorted(root.glob(pattern))]
    return files[:_YAML_FILES]


def check_yaml(path: Path) -> None:
    """Refuse a data set whose YAML files are broken, or describe different data sets.

    Raises:
        DataError: With file and line.
    """
    root = root_of(path)
    known: tuple[str, Any] | None = None
    for file in [path] if path.is_file() else _yaml_files(root):
        text, name = _text(root, file), file.relative_to(root).as_posix()
        # Others may be anybody's: only what reads like ours has to be right.
        if file == path or _OURS.search(text):
            names = parse_yaml(text, name).get("names")
            if known is not None and names is not None and names != known[1]:
                raise DataError(f"{known[0]} and {name} name different classes; give one of their folders")
            known = (name, names) if known is None and names is not None else known


def class_names(path: Path) -> tuple[tuple[str, ...] | None, str]:
    """Give the class names by number, and where they stand; None where nobody names them.

    Raises:
        DataError: They are no names.
    """
    root, file = root_of(path), find_yaml(path)
    if file is not None:
        names = _read_yaml(root, file).get("names")
        if isinstance(names, dict) and all(isinstance(key, int) for key in names):
            if sorted(names) != list(range(len(names))):
                raise DataError(f"{file.name}: names must be numbered from 0 without gaps; mend the list")
            names = [names[number] for number in range(len(names))]
        if not isinstance(names, list) or not names:
            raise DataError(f"{file.name}: `names` is {str(names)[:40]!r}; expected a list of class names")
        return tuple(str(name) for name in names), file.name
    for name in _NAME_FILES:
        if (root / name).is_file():
            lines = _text(root, root / name).rstrip().splitlines()
            return tuple(line.strip() for line in lines), name
    return None, ""


def keypoint_numbers(path: Path) -> int:
    """Give how many numbers about key points a label has behind its box, as `kpt_shape` says; 0 for none."""
    file = find_yaml(path)
    shape = _read_yaml(root_of(path), file).get("kpt_shape") if file is not None else None
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(side) is int for side in shape):
        return 0
    points, each = shape
    return points * each if points > 0 and each in (2, 3) else 0


def find_images(
    path: Path, split_map: Mapping[str, str] | None, limit: int | None = None
) -> tuple[tuple[YoloImage, ...], tuple[str, ...]]:
    """Find all images with their labels.

    Args:
        path: A folder, or its YAML file.
        split_map: Output split by source split, for those that differ from the usual names.
        limit: How many images to look at; None for all.

    Returns:
        The images that go somewhere, in the order of their names, and notes on the others.

    Raises:
        DataError: The YAML leads out of the folder, or a split has an unknown target.
    """
    root, file = root_of(path), find_yaml(path)
    known = {**USUAL_SPLITS, **{key.lower(): to for key, to in (split_map or {}).items()}}
    bad = [target for target in known.values() if target not in TARGETS]
    if bad:
        raise DataError(f"split {bad[0]!r} is not one of {', '.join(TARGETS)}; mend the split map")
    named, twice = _named_splits(root, file)
    images: list[YoloImage] = []
    left_out: dict[str, int] = {}
    for image in sorted(islice(_walk(root), limit)):
        relative = image.relative_to(root)
        source = _split_of(relative, named)
        if source is None:
            left_out["no split"] = left_out.get("no split", 0) + 1
        elif known.get(source, "train") == "none":
            left_out[source] = left_out.get(source, 0) + 1
        else:
            labels = _labels_of(root, relative)
            images.append(YoloImage(image, relative.as_posix(), labels, known.get(source, "train")))
    notes = [f"splits: {count} images of {name} left out" for name, count in sorted(left_out.items())]
    return tuple(images), (*twice, *notes)


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                yield Path(folder) / name


def _split_of(relative: Path, named: Mapping[str, str]) -> str | None:
    """Give an image's source split: by the YAML's folders, else by the words of its path."""
    if named:
        # The image itself, in a list of images, or the nearest of its folders.
        places = [relative, *relative.parents]
        return next((named[place.as_posix()] for place in places if place.as_posix() in named), None)
    words = [part.lower() for part in relative.parts[:-1] if part.lower() in USUAL_SPLITS]
    return words[-1] if words else "train"


def _named_splits(root: Path, file: Path | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """Give the source split by folder or image, relative to the root, as a YAML or obj.data has them.

    A place that several splits name, as Ultralytics' coco128.yaml does, is the first one's; the notes say so.
    """
    value = _read_yaml(root, file) if file is not None else _read_darknet(root)
    beside = file.parent if file is not None else root
    base = str(value.get("path") or "")
    found: dict[str, str] = {}
    places: dict[Path, str] = {}
    notes: list[str] = []
    for key, split in _SPLIT_KEYS.items():
        named = value.get(key)
        for one in named if isinstance(named, list) else [named]:
            place = _inside(root, beside, base, one) if isinstance(one, str) else None
            if place is None:
                continue
            first = places.setdefault(place, split)
            if first != split:
                shown = place.relative_to(root).as_posix()
                notes.append(f"splits: {shown} is named for {first} and for {split}; taken as {first}")
                continue
            if place.is_dir():
                found[place.relative_to(root).as_posix()] = split
                continue
            for line in _text(root, place).splitlines():
                image = _inside(root, place.parent, base, line.strip())
                if image is not None:
                    found[image.relative_to(root).as_posix()] = split
    return found, tuple(notes)


def _inside(root: Path, beside: Path, base: str, named: str) -> Path | None:
    """Find what a YAML or a list names: it may be relative to anything, or of another machine."""
    parts = [part for part in Path(named.replace("\\", "/")).parts if part not in ("..", ".", "/")]
    bases = [beside, beside / base] if base and not os.path.isabs(base) and ".." not in base else [beside]
    # The longest end of the path that is here: /home/me/sharks/train/images -> train/images.
    for start in range(len(parts)):
        for folder in (*bases, root):
            candidate = folder.joinpath(*parts[start:])
            if _exists(candidate) and candidate.resolve().is_relative_to(root.resolve()):
                return candidate
    return None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # A name that is too long, for one.
        return False


def _labels_of(root: Path, relative: Path) -> Path | None:
    """Find an image's label file: in the mirrored folder, or beside it."""
    parts = relative.parent.parts
    folders = []
    for place in reversed(range(len(parts))):
        if parts[place] in _IMAGES:
            folders += [root.joinpath(*parts[:place], name, *parts[place + 1 :]) for name in _LABELS]
    for folder in (*folders, root / relative.parent):
        file = folder / f"{relative.stem}.txt"
        # A broken link or a folder under this name is no missing label file: it is taken, and refused.
        if file.name.lower() not in _NO_LABELS and os.path.lexists(file):
            return file
    return None


def _read_yaml(root: Path, file: Path) -> dict[str, Any]:
    """Give what a YAML file says; nothing where it is broken (see `check_yaml`)."""
    try:
        return parse_yaml(_text(root, file), file.name)
    except DataError:
        return {}


def _read_darknet(root: Path) -> dict[str, Any]:
    """Read darknet's obj.data: `train = train.txt` and the like."""
    file = root / "obj.data"
    lines = _text(root, file).splitlines() if file.is_file() else []
    pairs = (line.partition("=") for line in lines)
    return {key.strip(): value.strip() for key, mark, value in pairs if mark}


def _text(root: Path, file: Path) -> str:
    """Read a text file of the data set, and nothing that a link leads out to."""
    name = file.relative_to(root).as_posix()
    return read_inside(find_inside(root, name, (root,), name), name).decode("utf-8-sig", errors="replace")
