"""The registry of formats: one small module a format, each with a `FORMAT` record.

Takes a path, finds out by cheap evidence which format lies there, and opens it as a `Source`.
A new format is one module beside this one and one line in `_MODULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from paddle_ground.data.layout import BoxLayout
from paddle_ground.data.source import Source
from paddle_ground.spaces import CoordinateSpace

# In the order in which they are asked: what names itself without doubt comes first.
_MODULES: tuple[str, ...] = (
    "coco_parquet",
    "paddle",
    "coco_json",
    "swift",
    "llamafactory",
    "qwen_finetune",
    "openeqa",
    "odvg",
    "refcoco",
    "voc",
    "labelme",
    "yolo",
)


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """What a reader may be told.

    Attributes:
        classes: Names by category id, where the user gave some; None: as the data set declares.
        layout: How its boxes are written, where the user said so.
        split_map: Output split ("train", "val" or "none") by source split, where it differs from the usual.
        name: The data set's name for the meta file; None: the folder's name.
        box_units: Of boxes that stand in the text of answers, where the numbers don't tell: "pixels" or
            "relative_1000".
        frames: How many frames of an episode a question is asked about, of a set of frames.
        frame_max_side: Frames whose longer side has more pixels are made smaller; None to leave them.
        space: That boxes will be written in; None where what texts say of them is no matter.
    """

    classes: tuple[str, ...] | None = None
    layout: BoxLayout | None = None
    split_map: Mapping[str, str] | None = None
    name: str | None = None
    box_units: str | None = None
    frames: int = 8
    frame_max_side: int | None = None
    space: CoordinateSpace | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """One format that data sets come in.

    Attributes:
        name: As `--from` takes it, such as "yolo".
        title: As people call it, such as "YOLO txt (Ultralytics)".
        recognise: Given the path, says in a clause why this is the format ("data.yaml and 12 label
            files beside their images"), or None if it is not. Looks at names and heads of files only.
        open: Opens it.
    """

    name: str
    title: str
    recognise: Callable[[Path], str | None]
    open: Callable[[Path, ReaderOptions], Source]


def formats() -> tuple[Format, ...]:
    """Give every known format, in the order in which they are asked."""
    found = (import_module(f"{__name__}.{module}").FORMAT for module in _MODULES)
    return tuple(found)
