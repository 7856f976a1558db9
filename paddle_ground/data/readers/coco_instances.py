"""One COCO instances JSON, checked and packed into arrays.

Takes a file, gives its images and boxes; a wrong field is named by its annotation's id. Reads no image.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from paddle_ground.boxes import BoolArray, FloatArray, IntArray
from paddle_ground.data.layout import LayoutEvidence, weigh_layout
from paddle_ground.data.readers.annotation_files import AnnotationFile
from paddle_ground.data.readers.boxes_of import read_box, read_size
from paddle_ground.data.readers.coco_masks import box_around
from paddle_ground.data.readers.inside import read_inside
from paddle_ground.errors import DataError, RecordError
from paddle_ground.records.fields import Fields


@dataclass(frozen=True, slots=True)
class Instances:
    """What one file holds.

    Attributes:
        file: Where it came from.
        names: The class of each category id, those without a use included.
        above: What categories name as their supercategory.
        image_ids: Shape (I,): COCO's own.
        image_names: Of each image, as written.
        sizes_wh: Shape (I, 2), 0 where the file does not say.
        boxes: Shape (B, 4), ordered by image; as written, or corners where `has_corners`.
        has_corners: Shape (B,): whether the box was made from a segmentation.
        category_ids: Shape (B,): COCO's own.
        areas_px: Shape (B,), NaN where the file does not say.
        is_crowd: Shape (B,).
        first: Shape (I + 1,): where each image's boxes begin.
        dropped: What was left out, a kind and how often.
        repeated: Ids, as text, of annotations whose id another had before; they are kept.
        listed_again: How many images stand there once more, under another id; their boxes are put together.
    """

    file: AnnotationFile
    names: dict[int, str]
    above: frozenset[str]
    image_ids: IntArray
    image_names: tuple[str, ...]
    sizes_wh: IntArray
    boxes: FloatArray
    has_corners: BoolArray
    category_ids: IntArray
    areas_px: FloatArray
    is_crowd: BoolArray
    first: IntArray
    dropped: Counter[str]
    repeated: tuple[str, ...]
    listed_again: int

    def weigh(self) -> LayoutEvidence:
        """Look for boxes that only one layout allows."""
        own = ~self.has_corners
        image = np.repeat(np.arange(len(self.image_ids)), np.diff(self.first))
        sizes = np.where(self.sizes_wh > 0, self.sizes_wh, np.nan)[image].reshape(-1, 2)
        # A mask is smaller than its box, so a stated area never tells more than the sides do.
        return weigh_layout(self.boxes[own], sizes[own], np.full(int(own.sum()), np.nan))


def read_instances(file: AnnotationFile) -> Instances:
    """Read a file.

    Raises:
        DataError: It can't be read, or is no instances JSON; with the place.
    """
    try:
        value = json.loads(read_inside(file.path, file.name))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file.name}: not valid JSON ({error}); repair it or make it again") from error
    try:
        return _read(Fields(value, file.name), file)
    except RecordError as error:
        raise DataError(str(error)) from error


def _read(fields: Fields, file: AnnotationFile) -> Instances:
    categories = fields.objects("categories")
    names = {_id(one): one.text("name") for one in categories}
    if len(names) < len(categories):
        raise DataError(f"{file.name}: two of the {len(categories)} categories have one id; ids must differ")
    images, places, again = _read_images(fields)
    dropped: Counter[str] = Counter()
    rows, repeated = [], []
    ids: set[int | str] = set()
    for item in fields.items("annotations"):
        own = item.get("id") if isinstance(item, dict) else None
        if isinstance(own, int | str):
            if own in ids:
                repeated.append(str(own)[:20])
            ids.add(own)
        found = _annotation(item, file.name, names, places, dropped)
        if found is not None:
            rows.append(found)
    # What is said of such an image twice is one thing: nobody can score against a box that is there twice.
    once = dict.fromkeys(row for row in rows if row[0] in again)
    rows = [*(row for row in rows if row[0] not in again), *once]
    rows.sort(key=lambda row: row[0])  # Stable: an image's boxes stay in the file's order.
    counts = Counter(row[0] for row in rows)
    return Instances(
        file=file,
        names=names,
        above=frozenset(str(one.value("supercategory")) for one in categories),
        image_ids=np.array([_id(image) for image in images], dtype=np.int64),
        image_names=tuple(map(_image_name, images)),
        sizes_wh=np.array([read_size(image) or (0, 0) for image in images], dtype=np.int64).reshape(-1, 2),
        boxes=np.array([row[1] for row in rows], dtype=np.float64).reshape(-1, 4),
        has_corners=np.array([row[2] for row in rows], dtype=np.bool_),
        category_ids=np.array([row[3] for row in rows], dtype=np.int64),
        areas_px=np.array([row[4] for row in rows], dtype=np.float64),
        is_crowd=np.array([row[5] for row in rows], dtype=np.bool_),
        first=np.cumsum([0, *(counts[place] for place in range(len(images)))]),
        dropped=dropped,
        repeated=tuple(repeated),
        listed_again=len(places) - len(images),
    )


def _read_images(fields: Fields) -> tuple[list[Fields], dict[int, int], set[int]]:
    """Give the images, each file once; the place of each id among them; and places that have several ids.

    Some tools list an image anew for each of its annotations.
    """
    images: list[Fields] = []
    places: dict[int, int] = {}
    by_name: dict[str, int] = {}
    again: set[int] = set()
    for image in fields.objects("images"):
        number = _id(image)
        if number in places:
            raise DataError(f"{image.where}: image id {number} is used twice; ids must differ")
        place = by_name.setdefault(_image_name(image), len(images))
        if place == len(images):
            images.append(image)
        else:
            again.add(place)
        places[number] = place
    return images, places, again


def _image_name(image: Fields) -> str:
    if image.has("coco_url") and not image.has("file_name"):
        # LVIS names its images by COCO's addresses alone: .../val2017/000000397133.jpg
        return "/".join(image.text("coco_url").split("/")[-2:])
    return image.text("file_name")


def _id(fields: Fields) -> int:
    value = fields.integer("id")
    if abs(value) >= 1 << 63:
        raise DataError(f"{fields.where}: an id of {len(str(abs(value)))} digits; ids must fit 64 bits")
    return value


_Row = tuple[int, tuple[float, float, float, float], bool, int, float, bool]


def _annotation(
    value: Any, name: str, names: dict[int, str], places: dict[int, int], dropped: Counter[str]
) -> _Row | None:
    told = value.get("id") if isinstance(value, dict) else None
    item = Fields(value, f"{name}: annotation {str(told)[:20]}")
    place = places.get(item.integer("image_id"))
    if place is None:
        dropped["annotations of images that are not listed"] += 1
        return None
    category = item.integer("category_id")
    if category not in names:
        raise DataError(
            f"{item.where}: category_id {category} is not among the {len(names)} categories; add it"
        )
    has_box = item.has("bbox") and item.value("bbox") != []
    if has_box:
        box = read_box(item.value("bbox"), item.where)
    else:
        around = box_around(item.value("segmentation"), item.where) if item.has("segmentation") else None
        if around is None:
            dropped["annotations with neither box nor segmentation"] += 1
            return None
        box = around
    area = item.number("area", -1.0) if has_box else -1.0
    return place, box, not has_box, category, area if area > 0 else np.nan, item.integer("iscrowd", 0) != 0
