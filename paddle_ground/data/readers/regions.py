"""Boxes with class names or phrases, row by row, and the `SourceRow`s that they make together.

Takes what one row of a referring or grounding format says, gives one `SourceRow` for all rows about the same
image: equal boxes once, equal phrases once. Reads no file.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from paddle_ground.boxes import FloatArray
from paddle_ground.data.layout import BoxLayout
from paddle_ground.data.source import Referral, SourceRow
from paddle_ground.errors import DataError

RawBox = tuple[float, float, float, float]

# COCO's names: twelve digits, and in RefCOCO's copies the object's number behind them.
_COCO_NAME = re.compile(r"^(?P<image>.*?(?P<id>\d{12}))(?:_\d+)?(?P<suffix>\.[A-Za-z]+)?$")


@dataclass(frozen=True, slots=True)
class RegionRow:
    """What one row says of its image.

    Attributes:
        image: The image as the row names it.
        size_wh: Its size in pixels, where the row says so.
        boxes: Four numbers each, in the format's layout.
        labels: The class name of each box; `dialogue.ANY_OBJECT` where it has none.
        phrases: Each with the places of its boxes.
        is_crowd: Of each box; () for no crowd at all.
    """

    image: str
    size_wh: tuple[int, int] | None
    boxes: tuple[RawBox, ...]
    labels: tuple[str, ...]
    phrases: tuple[tuple[str, tuple[int, ...]], ...] = ()
    is_crowd: tuple[bool, ...] = ()


@dataclass
class _Gathered:
    """Boxes and phrases of one image; equal ones once."""

    boxes: dict[tuple[RawBox, str], int] = field(default_factory=dict)
    crowd: list[bool] = field(default_factory=list)
    phrases: dict[str, set[int]] = field(default_factory=dict)

    def add(self, row: RegionRow) -> None:
        places = []
        for number, (box, label) in enumerate(zip(row.boxes, row.labels, strict=True)):
            # NaN equals nothing: a broken box is counted as often as it stands there.
            place = self.boxes.setdefault((box, label), len(self.boxes))
            if place == len(self.crowd):
                self.crowd.append(bool(row.is_crowd) and row.is_crowd[number])
            places.append(place)
        for phrase, boxes in row.phrases:
            self.phrases.setdefault(phrase, set()).update(places[box] for box in boxes)


def source_row(
    rows: Sequence[RegionRow],
    layout: BoxLayout,
    class_ids: Mapping[str, int],
    read_image: Callable[[], bytes | memoryview],
    where: str,
) -> SourceRow:
    """Put the rows about one image together.

    Args:
        rows: At least one.
        layout: Of their boxes.
        class_ids: By class name.
        read_image: As `SourceRow.read_image`.
        where: The place of the first row.

    Raises:
        DataError: A class is unknown, or the rows disagree about the image's size.
    """
    gathered = _Gathered()
    sizes = {row.size_wh for row in rows if row.size_wh is not None}
    if len(sizes) > 1:
        told = " and ".join(f"{width} x {height}" for width, height in sorted(sizes))
        raise DataError(f"{where}: rows about {rows[0].image!r} say {told}; an image has one size")
    for row in rows:
        gathered.add(row)
    unknown = [label for _, label in gathered.boxes if label not in class_ids]
    if unknown:
        raise DataError(
            f"{where}: category {unknown[0]!r} is not among the {len(class_ids)} classes; pass the data "
            "set's own class names with --classes"
        )
    boxes = np.array([box for box, _ in gathered.boxes], dtype=np.float64).reshape(-1, 4)
    return SourceRow(
        image_id=image_number(rows[0].image),
        read_image=read_image,
        size_wh=next(iter(sizes), None),
        boxes_xyxy_px=corners(boxes, layout),
        category_ids=np.array([class_ids[label] for _, label in gathered.boxes], dtype=np.int64),
        areas_px=np.full(len(boxes), np.nan),
        is_crowd=np.array(gathered.crowd, dtype=np.bool_),
        where=where,
        referrals=tuple(Referral(phrase, tuple(sorted(own))) for phrase, own in gathered.phrases.items()),
        name=rows[0].image,
    )


def corners(boxes: FloatArray, layout: BoxLayout) -> FloatArray:
    """Give boxes as corners; what is wrong with them is found out, and counted, later."""
    if layout == "xyxy":
        return boxes
    with np.errstate(over="ignore", invalid="ignore"):
        return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def image_number(name: str) -> int:
    """Give an image's number: COCO's id where its name holds one, else one made of the name."""
    stem = name.replace("\\", "/").rpartition("/")[2]
    match = _COCO_NAME.match(stem)
    return int(match["id"]) if match else zlib.crc32(name.encode("utf-8", errors="replace"))


def without_object_number(name: str) -> str:
    """Give the image's file name of RefCOCO's ids: COCO_train2014_000000580957_4 -> ..._000000580957.jpg."""
    match = _COCO_NAME.match(name)
    return match["image"] + (match["suffix"] or ".jpg") if match else name
