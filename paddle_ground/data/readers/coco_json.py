"""Reads COCO instances JSON: COCO's own folders, Roboflow's, or one file beside its images.

Takes a file, or a folder with `annotations/instances_*.json`, `train/_annotations.coco.json` and the like,
gives one `SourceRow` an image. Boxes are x, y, width, height as COCO says, unless the numbers show corners,
which is then said. An annotation with a segmentation alone gets the box around it. Category ids may have
gaps. Supercategories are not asked for; a category 0 that no box has and others stand under (Roboflow lists
the project's name so) is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from paddle_ground.boxes import FloatArray, IntArray, valid_mask
from paddle_ground.data.classes import check_classes
from paddle_ground.data.layout import BoxLayout, LayoutEvidence
from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.readers.annotation_files import (
    AnnotationFile,
    candidates,
    open_files,
    root_of,
    say_files,
)
from paddle_ground.data.readers.coco_instances import Instances, read_instances
from paddle_ground.data.readers.pictures import Pictures
from paddle_ground.data.readers.regions import corners
from paddle_ground.data.source import Chunk, ChunkFacts, Source, SourceRow
from paddle_ground.errors import DataError
from paddle_ground.files import sha256_file

_CHUNK_IMAGES = 256
_HEAD_BYTES = 1 << 16
_SMALL_BYTES = 4 << 20
_OTHERS = ("captions", "panoptic", "image_info", "person_keypoints", "stuff", "labels_")


class CocoJson:
    """COCO instances files, open for reading; a `paddle_ground.data.source.Source`.

    Args:
        path: What the user named.
        files: The instances files in it.
        options: What the user said.
        notes: What to say before what is found here.

    Raises:
        DataError: A file can't be read, or the files disagree about their classes.
    """

    def __init__(
        self, path: Path, files: tuple[AnnotationFile, ...], options: ReaderOptions, notes: tuple[str, ...]
    ) -> None:
        root = root_of(path)
        self.name = options.name or (root.resolve().name if path.is_dir() else path.name)
        parts = [read_instances(file) for file in files]
        self.class_names, self._class_ids, more = _classes(parts, options, self.name)
        self._layout, said = _layout(parts, options.layout)
        found = Pictures(root)
        self._parts, self._pictures = parts, [found.near(part.file.path) for part in parts]
        for part, pictures in zip(parts, self._pictures, strict=True):
            pictures.settle(part.image_names)
        dropped = sum((part.dropped for part in parts), Counter[str]())
        self.notes = (
            *notes, *more, *said, *(note for pictures in self._pictures for note in pictures.notes),
            *(f"boxes: {count} left out, {kind}" for kind, count in sorted(dropped.items())),
            # Both may be meant, or one was copied and forgotten: nothing here can tell.
            *(f"boxes: {len(part.repeated)} of {part.file.name} have the id of another annotation "
              f"(the first: {part.repeated[0]}); they are kept" for part in parts if part.repeated),
            *(f"images: {part.listed_again} of {part.file.name} are listed again under another id; the boxes "
              "of each file are put together" for part in parts if part.listed_again),
        )  # fmt: skip
        self._rows = [
            (number, start, min(start + _CHUNK_IMAGES, len(part.image_ids)))
            for number, part in enumerate(parts)
            for start in range(0, len(part.image_ids), _CHUNK_IMAGES)
        ]
        if not self._rows:
            raise DataError(f"{path}: no images in {', '.join(file.name for file in files)}; check the files")
        self.chunks = tuple(
            Chunk(index, parts[number].file.split, stop - start, (stop - start) << 10)
            for index, (number, start, stop) in enumerate(self._rows)
        )
        self.fingerprint = self._stamp()

    def survey(self, chunk: Chunk) -> ChunkFacts:
        """Tell what the files say; see `paddle_ground.data.source.Source`."""
        number, start, stop = self._rows[chunk.index]
        part = self._parts[number]
        boxes = slice(part.first[start], part.first[stop])
        usable = valid_mask(self._corners(part, boxes)) & ~part.is_crowd[boxes]
        counts = np.diff(part.first[start : stop + 1])
        image = np.repeat(np.arange(stop - start), counts)
        usable_counts = np.bincount(image[usable], minlength=stop - start).astype(np.int64)
        return ChunkFacts(part.image_ids[start:stop], counts.astype(np.int64), usable_counts)

    def read(self, chunk: Chunk, rows: IntArray) -> Iterator[SourceRow]:
        """Give rows; no image before it is asked for; see `paddle_ground.data.source.Source`."""
        number, start, _ = self._rows[chunk.index]
        part, pictures = self._parts[number], self._pictures[number]
        for place in (rows + start).tolist():
            boxes = slice(part.first[place], part.first[place + 1])
            width, height = part.sizes_wh[place].tolist()
            name, where = part.image_names[place], f"{part.file.name}: image {part.image_ids[place]}"
            yield SourceRow(
                image_id=int(part.image_ids[place]),
                read_image=partial(pictures.read, name, where),
                size_wh=(width, height) if width else None,
                boxes_xyxy_px=self._corners(part, boxes),
                category_ids=np.array(
                    [self._class_ids[part.names[one]] for one in part.category_ids[boxes].tolist()], np.int64
                ),
                areas_px=part.areas_px[boxes],
                is_crowd=part.is_crowd[boxes],
                where=where,
                name=name,
            )

    def _corners(self, part: Instances, boxes: slice) -> FloatArray:
        own, made = part.boxes[boxes], part.has_corners[boxes]
        return np.where(made[:, None], own, corners(own, self._layout))

    def _stamp(self) -> str:
        digest = hashlib.sha256(f"{self._layout} {self.class_names}".encode(errors="replace"))
        for part, pictures in zip(self._parts, self._pictures, strict=True):
            said = f"{part.file.name} {part.file.split} {sha256_file(part.file.path)}\n"
            digest.update(said.encode(errors="replace"))
            for name in part.image_names:
                digest.update(f"{name} {pictures.stamp(name)}\n".encode(errors="replace"))
        return digest.hexdigest()


def _classes(
    parts: list[Instances], options: ReaderOptions, name: str
) -> tuple[tuple[str, ...], dict[str, int], tuple[str, ...]]:
    """Give the classes in the order of COCO's ids, and what was left out of them."""
    by_id: dict[int, str] = {}
    for part in parts:
        for number, own in part.names.items():
            if by_id.setdefault(number, own) != own:
                raise DataError(
                    f"{part.file.name}: category {number} is {own!r} here and {by_id[number]!r} in "
                    "another file; use one list of categories"
                )
    used = {number for part in parts for number in part.category_ids.tolist()}
    above = frozenset[str]().union(*(part.above for part in parts))
    # Roboflow lists the project's name as category 0, above the real ones; LabelMe's exporter the ground.
    roots = [
        number
        for number, own in by_id.items()
        if number == 0 and number not in used and (own in above or own.startswith("_"))
    ]
    names = tuple(by_id[number] for number in sorted(by_id) if number not in roots)
    notes = tuple(f"classes: {by_id[number]!r} left out, no box has it" for number in roots)
    if options.classes is not None:
        unknown = sorted({by_id[number] for number in used} - set(options.classes))
        if unknown:
            raise DataError(
                f"{name}: category {unknown[0]!r} is not among the {len(options.classes)} of --classes; "
                "add it there, or leave --classes out"
            )
        names = options.classes
    check_classes(names, f"{name}: categories")
    return names, {own: number for number, own in enumerate(names)}, notes


def _layout(parts: list[Instances], told: BoxLayout | None) -> tuple[BoxLayout, tuple[str, ...]]:
    evidence = sum((part.weigh() for part in parts), LayoutEvidence())
    if evidence.are_fractions:
        raise DataError(
            f"{parts[0].file.name}: all {evidence.boxes} boxes lie within 0..1, but COCO's are pixels; "
            "multiply them by the image's width and height first"
        )
    seen = evidence.verdict()
    if told is not None:
        against = evidence.contradicts(told)
        return told, (f"boxes: taken as {told}, but {against} contradict it ({evidence})",) if against else ()
    if seen == "xyxy":
        return "xyxy", (
            f"boxes: xyxy, although COCO's are xywh ({evidence}); --bbox-format xywh overrules it",
        )
    return "xywh", ()


def _is_ours(file: Path) -> bool:
    name = file.name.lower()
    if name.startswith(_OTHERS):
        return False
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            head = stream.read(_SMALL_BYTES if size <= _SMALL_BYTES else _HEAD_BYTES)
    except OSError:
        return False
    if size > _SMALL_BYTES:
        # Whole COCO is 450 MB: its name and its first keys have to do.
        return head.lstrip()[:1] == b"{" and (b'"images"' in head or b'"annotations"' in head) and (
            "instances" in name or "coco" in name or b'"file_name"' in head or b'"image_id"' in head
            or b'"categories"' in head or b'"licenses"' in head
        )  # fmt: skip
    if not all(key in head for key in (b'"images"', b'"annotations"', b'"categories"')):
        return False
    try:
        value = json.loads(head)
    except (ValueError, RecursionError):
        return True  # Broken, and then said so.
    lists = (
        [value.get(key) for key in ("images", "annotations", "categories")] if isinstance(value, dict) else []
    )
    if not lists or not all(isinstance(one, list) for one in lists):
        return False
    first = lists[1][0] if lists[1] else {"bbox": []}
    return isinstance(first, dict) and ("bbox" in first or "segmentation" in first) and "caption" not in first


def _instances_files(path: Path) -> list[Path]:
    found = [file for file in candidates(path) if _is_ours(file)]
    named = [file for file in found if file.name.startswith("instances")]
    # Beside COCO's instances lie keypoints and others about the same images.
    return named or found


def _recognise(path: Path) -> str | None:
    return say_files(_instances_files(path), "images, annotations with boxes, and categories")


def _open(path: Path, options: ReaderOptions) -> Source:
    files, notes = open_files(path, _instances_files(path), options.split_map)
    return CocoJson(path, files, options, notes)


FORMAT = Format("coco_json", "COCO instances JSON", _recognise, _open)
