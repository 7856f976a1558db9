"""Prepared data as COCO instances JSON and as YOLO txt: images, boxes, classes, and no questions.

Takes a split's truth, gives files. Several questions about one image become one image with all of their
boxes, each once. A phrase becomes no class: both formats name classes only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from paddle_ground.data.writers.losses import count_pictures
from paddle_ground.errors import DataError
from paddle_ground.files import atomic_writer, write_text
from paddle_ground.records import (
    Truth,
    TruthBox,
    TruthImage,
    TruthWriter,
    read_truth,
    truth_path,
)
from paddle_ground.records.truth import truth_box_to_line, truth_image_to_line

if TYPE_CHECKING:
    from paddle_ground.data.writers import Images, Split


def write_coco(split: Split, out: Path, images: Images) -> Counter[str]:
    """Write `annotations/instances_<split>.json` and images/; file names begin at the output folder."""
    truth, counts = _one_entry_an_image(split, areas=True, crowds=True)
    with TruthWriter(out / "annotations" / f"instances_{split.name}.json", truth.categories) as writer:
        for image in truth.images:
            images.put(split.samples_path, image.file_name, out / image.file_name)
            writer.add_image(truth_image_to_line(image))
        for box in truth.annotations:
            writer.add_box(truth_box_to_line(box))
    return counts


def write_yolo(split: Split, out: Path, images: Images) -> Counter[str]:
    """Write images/<split>/, labels/<split>/ and data.yaml. YOLO has no crowds: those boxes are left out."""
    import yaml

    truth, counts = _one_entry_an_image(split, areas=False, crowds=False)
    numbers = {category.id: number for number, category in enumerate(truth.categories)}
    boxes: dict[int, list[TruthBox]] = defaultdict(list)
    for box in truth.annotations:
        if not box.is_crowd:
            boxes[box.image_id].append(box)
    for image in truth.images:
        name = PurePosixPath(image.file_name).name
        images.put(split.samples_path, image.file_name, out / "images" / split.name / name)
        lines = [_yolo_line(box, image, numbers[box.category_id]) for box in boxes[image.id]]
        label = out / "labels" / split.name / f"{PurePosixPath(name).stem}.txt"
        if label.exists():
            raise DataError(
                f"{split.samples_path}: two images are called {PurePosixPath(name).stem}; rename one"
            )
        with atomic_writer(label) as stream:
            stream.writelines(lines)
    config = out / "data.yaml"
    known = yaml.safe_load(config.read_text(encoding="utf-8")) if config.is_file() else {}
    names = [category.name for category in truth.categories]
    known |= {split.name: f"images/{split.name}", "nc": len(names), "names": names}
    write_text(config, yaml.safe_dump(known, allow_unicode=True, sort_keys=False))
    return counts


def _yolo_line(box: TruthBox, image: TruthImage, number: int) -> str:
    """Write class, middle and size as parts of the sides, to ten digits."""
    (width, height), (left, top, right, bottom) = image.size_wh, box.box_xyxy_px
    parts = (
        (left + right) / 2 / width,
        (top + bottom) / 2 / height,
        (right - left) / width,
        (bottom - top) / height,
    )
    return f"{number} " + " ".join(f"{part:.10g}" for part in parts) + "\n"


def _one_entry_an_image(split: Split, areas: bool, crowds: bool) -> tuple[Truth, Counter[str]]:
    path = truth_path(split.samples_path)
    if not path.is_file():
        raise DataError(f"{path}: missing, so there are no exact boxes to write; prepare the data again")
    truth = read_truth(path)
    counts = count_pictures(split.samples_path, truth, areas, crowds)
    if not truth.images:
        raise DataError(
            f"{split.samples_path}: none of its answers is about boxes alone; this format holds no others"
        )
    first: dict[str, TruthImage] = {}
    new_id: dict[int, int] = {}
    for image in truth.images:
        kept = first.setdefault(image.file_name, TruthImage(image.id, image.file_name, image.size_wh))
        new_id[image.id] = kept.id
    seen: set[tuple[object, ...]] = set()
    boxes = []
    for box in truth.annotations:
        own = TruthBox(box.id, new_id[box.image_id], box.category_id, box.box_xyxy_px, box.area, box.is_crowd)
        key = (own.image_id, own.category_id, own.box_xyxy_px)
        if len(first) == len(truth.images) or key not in seen:
            seen.add(key)
            boxes.append(own)
    counts.update(images=len(first), boxes=sum(crowds or not box.is_crowd for box in boxes))
    return Truth(tuple(first.values()), tuple(boxes), truth.categories), +counts
