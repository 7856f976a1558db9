"""Where a YOLO data set keeps its images, labels, splits and class names.

Takes a folder or its data.yaml, gives image and label files by split. Knows the ways of Ultralytics
(`data.yaml`, images/ mirrored by labels/), Roboflow (train/images, train/labels, paths with `../` or of
another machine), Label Studio (classes.txt) and darknet (obj.names, labels beside the images). Reads no
label.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from paddle_ground.data.readers.annotation_files import root_of
from paddle_ground.data.readers.label_files import IMAGE_SUFFIXES
from paddle_ground.data.shards import TARGETS, USUAL_SPLITS
from paddle_ground.errors import DataError

_IMAGES = ("images", "Images", "imgs", "img", "JPEGImages", "obj_train_data")
_LABELS = ("labels", "Labels", "label", "Annotations", "annotations")
_NAME_FILES = ("classes.txt", "obj.names", "classes.names", "labels/classes.txt", "data.names")
_YAML_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
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
    files = [file for pattern in ("*.yaml", "*.yml", "*/*.yaml") for file in sorted(root.glob(pattern))]
    return next((file for file in files[:20] if "names" in _read_yaml(file)), None)


def class_names(path: Path) -> tuple[tuple[str, ...] | None, str]:
    """Give the class names by number, and where they stand; None where nobody names them.

    Raises:
        DataError: They are no names.
    """
    root, file = root_of(path), find_yaml(path)
    if file is not None:
        names = _read_yaml(file).get("names")
        if isinstance(names, dict) and all(isinstance(key, int) for key in names):
            if sorted(names) != list(range(len(names))):
                raise DataError(f"{file.name}: names must be numbered from 0 without gaps; mend the list")
            names = [names[number] for number in range(len(names))]
        if not isinstance(names, list) or not names:
            raise DataError(f"{file.name}: `names` is {str(names)[:40]!r}; expected a list of class names")
        return tuple(str(name) for name in names), file.name
    for name in _NAME_FILES:
        if (root / name).is_file():
            lines = (root / name).read_text(encoding="utf-8-sig", errors="replace").rstrip().splitlines()
            return tuple(line.strip() for line in lines), name
    return None, ""


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
    named = _yaml_splits(root, file) if file is not None else {}
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
    return tuple(images), tuple(notes)


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                yield Path(folder) / name


def _split_of(relative: Path, named: Mapping[str, str]) -> str | None:
    """Give an image's source split: by the YAML's folders, else by the words of its path."""
    if named:
        hits = [folder for folder in named if relative.as_posix().startswith(folder + "/") or folder == "."]
        return named[max(hits, key=len)] if hits else None
    words = [part.lower() for part in relative.parts[:-1] if part.lower() in USUAL_SPLITS]
    return words[-1] if words else "train"


def _yaml_splits(root: Path, file: Path) -> dict[str, str]:
    """Give the source split by folder, relative to the root, as the YAML has them."""
    value = _read_yaml(file)
    base = str(value.get("path") or "")
    found: dict[str, str] = {}
    for key, split in _YAML_SPLITS.items():
        named = value.get(key)
        for one in named if isinstance(named, list) else [named]:
            folder = _inside(root, file.parent, base, one) if isinstance(one, str) else None
            if folder is not None:
                found[folder.relative_to(root).as_posix()] = split
    return found


def _inside(root: Path, beside: Path, base: str, named: str) -> Path | None:
    """Find the folder that a YAML names: it may be relative to anything, or of another machine."""
    parts = [part for part in Path(named.replace("\\", "/")).parts if part not in ("..", ".", "/")]
    bases = [beside, beside / base] if base and not os.path.isabs(base) and ".." not in base else [beside]
    # The longest end of the path that is here: /home/me/sharks/train/images -> train/images.
    for start in range(len(parts)):
        for folder in (*bases, root):
            candidate = folder.joinpath(*parts[start:])
            if candidate.is_dir() and candidate.resolve().is_relative_to(root.resolve()):
                return candidate
    return None


def _labels_of(root: Path, relative: Path) -> Path | None:
    """Find an image's label file: in the mirrored folder, or beside it."""
    parts = relative.parent.parts
    folders = []
    for place in reversed(range(len(parts))):
        if parts[place] in _IMAGES:
            folders += [root.joinpath(*parts[:place], name, *parts[place + 1 :]) for name in _LABELS]
    for folder in (*folders, root / relative.parent):
        file = folder / f"{relative.stem}.txt"
        if file.name.lower() not in _NO_LABELS and file.is_file():
            return file
    return None


def _read_yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8-sig", errors="replace")[: 1 << 20])
    except (OSError, yaml.YAMLError, RecursionError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
