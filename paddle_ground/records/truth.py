"""<stem>.truth.json: the exact pixel boxes of a samples file, as plain COCO instances JSON.

Where an image is asked about several times, it has one entry a question, told apart by `prompt`.

The integers of a sample are too coarse to score against; this file keeps the floats and the
crowd flags, and any COCO tool can read it. Takes and gives that; knows no samples, no answers.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any

from paddle_ground.errors import RecordError
from paddle_ground.files import atomic_writer
from paddle_ground.records.fields import BoxTuple, Fields, dump, quote, read_object

_AFTER_IDS = '"category_id"'


@dataclass(frozen=True, slots=True)
class TruthImage:
    """One image, or one question about it.

    Attributes:
        id: Unique in the file.
        file_name: The path that the sample's `images[0]` has too.
        size_wh: Width and height in pixels.
        prompt: The sample's prompt, where the image has several samples; "" for an entry that any
            prompt is about.
        phrase: The phrase that was asked for, where the question is one; the entry's boxes are what
            it means, whatever their class, and answers may call them what they like.
    """

    id: int
    file_name: str
    size_wh: tuple[int, int]
    prompt: str = ""
    phrase: str = ""


@dataclass(frozen=True, slots=True)
class TruthBox:
    """One annotated object.

    Attributes:
        id: Unique in the file, from 1 on (pycocotools takes 0 for "no match").
        image_id: The `TruthImage` that it belongs to.
        category_id: The `Category` that it is of.
        box_xyxy_px: x_min, y_min, x_max, y_max in pixels.
        area: Pixels squared; COCO's is the mask's area, smaller than the box's.
        is_crowd: Whether the box covers a group that scoring ignores.
    """

    id: int
    image_id: int
    category_id: int
    box_xyxy_px: BoxTuple
    area: float
    is_crowd: bool = False


@dataclass(frozen=True, slots=True)
class Category:
    """One class.

    Attributes:
        id: Unique in the file.
        name: As it stands in prompts and answers.
    """

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Truth:
    """All that is known to be in a set of images.

    Attributes:
        images: In the order of the samples file.
        annotations: In the order of the images, then of the source.
        categories: By id.
    """

    images: tuple[TruthImage, ...]
    annotations: tuple[TruthBox, ...]
    categories: tuple[Category, ...]

    def to_coco(self) -> dict[str, Any]:
        """Give the COCO instances document: bbox as x, y, width, height; `iscrowd` 0 or 1."""
        return {
            "images": [_image_to_coco(image) for image in self.images],
            "annotations": [_box_to_coco(box) for box in self.annotations],
            "categories": [{"id": category.id, "name": category.name} for category in self.categories],
        }


def read_truth(path: str | os.PathLike[str]) -> Truth:
    """Read COCO instances JSON, ours or another's; what detection doesn't need is passed over.

    Raises:
        RecordError: The file is missing or no such JSON, an id is used twice, or an annotation
            belongs to no image or no category.
    """
    fields = read_object(Path(path))
    images = tuple(_image_from_coco(item) for item in fields.objects("images"))
    categories = tuple(_category_from_coco(item) for item in fields.objects("categories"))
    image_ids = _unique((image.id for image in images), f"{path}: images")
    category_ids = _unique((category.id for category in categories), f"{path}: categories")
    items = fields.objects("annotations")
    annotations = tuple(_box_from_coco(item) for item in items)
    _unique((box.id for box in annotations), f"{path}: annotations")
    for item, box in zip(items, annotations, strict=True):
        if box.image_id not in image_ids:
            raise RecordError(f"{item.where}: image_id {box.image_id} is not among the images; add it")
        if box.category_id not in category_ids:
            raise RecordError(
                f"{item.where}: category_id {box.category_id} is not among the categories; add it"
            )
    return Truth(images, annotations, categories)


def write_truth(path: str | os.PathLike[str], truth: Truth) -> None:
    """Write COCO instances JSON, one image and one annotation a line, whole or not at all.

    Raises:
        DataError: The file can't be written.
        RecordError: A number is not finite.
    """
    with TruthWriter(path, truth.categories) as writer:
        for image in truth.images:
            writer.add_image(truth_image_to_line(image))
        for box in truth.annotations:
            writer.add_box(truth_box_to_line(box))


def truth_image_to_line(image: TruthImage) -> str:
    """Write an image as one line of COCO JSON."""
    if image.prompt or image.phrase:
        return dump(_image_to_coco(image))
    (width, height), name = image.size_wh, quote(image.file_name)
    return f'{{"id": {image.id}, "file_name": {name}, "width": {width}, "height": {height}}}'


def truth_box_to_line(box: TruthBox) -> str:
    """Write an annotation as one line of COCO JSON.

    Raises:
        RecordError: A number is not finite.
    """
    x_min, y_min, x_max, y_max = box.box_xyxy_px
    width, height, area = x_max - x_min, y_max - y_min, box.area
    # Written out: the encoder takes four times as long. It knows what to do with numpy's numbers, though,
    # and where a sum says that a number may not be finite.
    is_plain = type(width) is type(height) is type(area) is float
    if not (is_plain and math.isfinite(x_min + y_min + width + height + area)):
        return dump(_box_to_coco(box))
    return (
        f'{{"id": {box.id}, "image_id": {box.image_id}, "category_id": {box.category_id}, '
        f'"bbox": [{x_min!r}, {y_min!r}, {width!r}, {height!r}], "area": {area!r}, '
        f'"iscrowd": {int(box.is_crowd)}}}'
    )


def number_image_line(line: str, image_id: int) -> str:
    """Give an image's line another id."""
    return f'{{"id": {image_id}{line[line.index(",") :]}'


def number_box_line(line: str, box_id: int, image_id: int) -> str:
    """Give an annotation's line another id and another image."""
    # Far cheaper than reading and writing the line; no text of a user's stands before the category.
    return f'{{"id": {box_id}, "image_id": {image_id}, {line[line.index(_AFTER_IDS) :]}'


class TruthWriter:
    """Writes COCO instances JSON piece by piece, so that memory stays flat.

    One image and one annotation a line: such a file can be read, searched and compared by line. It
    appears under its name when the `with` block ends well.

    Args:
        path: The file.
        categories: By id.
    """

    def __init__(self, path: str | os.PathLike[str], categories: Iterable[Category]) -> None:
        self._categories = tuple(categories)
        self._path = Path(path)
        self._stack = ExitStack()

    def __enter__(self) -> TruthWriter:
        """Open the file.

        Raises:
            DataError: It can't be written.
        """
        self._images = self._stack.enter_context(atomic_writer(self._path))
        # Images come first in the file, but both grow at once: annotations wait in a file of their own.
        self._boxes = self._stack.enter_context(TemporaryFile("w+", encoding="utf-8", dir=self._path.parent))
        self._images.write('{\n"images": [')
        self._between_images, self._between_boxes = "\n", "\n"
        return self

    def add_image(self, line: str) -> None:
        """Append an image.

        Args:
            line: As `truth_image_to_line` gives it.
        """
        self._images.write(self._between_images + line)
        self._between_images = ",\n"

    def add_box(self, line: str) -> None:
        """Append an annotation.

        Args:
            line: As `truth_box_to_line` gives it.
        """
        self._boxes.write(self._between_boxes + line)
        self._between_boxes = ",\n"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the parts together and the file in its place, or leave nothing."""
        if error is None:
            self._boxes.seek(0)
            self._images.write('\n],\n"annotations": [')
            copyfileobj(self._boxes, self._images)
            rows = (dump({"id": category.id, "name": category.name}) for category in self._categories)
            self._images.write('\n],\n"categories": [\n' + ",\n".join(rows) + "\n]\n}\n")
        self._stack.__exit__(kind, error, trace)


def _image_to_coco(image: TruthImage) -> dict[str, Any]:
    width, height = image.size_wh
    document = {"id": image.id, "file_name": image.file_name, "width": width, "height": height}
    if image.prompt:
        document["prompt"] = image.prompt
    if image.phrase:
        document["phrase"] = image.phrase
    return document


def _box_to_coco(box: TruthBox) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = box.box_xyxy_px
    return {
        "id": box.id,
        "image_id": box.image_id,
        "category_id": box.category_id,
        "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
        "area": box.area,
        "iscrowd": int(box.is_crowd),
    }


def _image_from_coco(item: Fields) -> TruthImage:
    size_wh = (item.integer("width"), item.integer("height"))
    if min(size_wh) < 1:
        raise RecordError(f"{item.where}: size {size_wh[0]} x {size_wh[1]}; expected 1 x 1 or more")
    prompt, phrase = item.text("prompt", ""), item.text("phrase", "")
    return TruthImage(item.integer("id"), item.text("file_name"), size_wh, prompt, phrase)


def _category_from_coco(item: Fields) -> Category:
    return Category(item.integer("id"), item.text("name"))


def _box_from_coco(item: Fields) -> TruthBox:
    x_min, y_min, width, height = item.box("bbox")
    if width < 0 or height < 0:
        raise RecordError(f"{item.where}: bbox has a negative size; expected COCO's x, y, width, height")
    return TruthBox(
        id=item.integer("id"),
        image_id=item.integer("image_id"),
        category_id=item.integer("category_id"),
        box_xyxy_px=(x_min, y_min, x_min + width, y_min + height),
        area=item.number("area", width * height),
        is_crowd=item.integer("iscrowd", 0) != 0,
    )


def _unique(ids: Iterable[int], where: str) -> set[int]:
    seen: set[int] = set()
    for value in ids:
        if value in seen:
            raise RecordError(f"{where}: id {value} is used twice; ids must be unique")
        seen.add(value)
    return seen
