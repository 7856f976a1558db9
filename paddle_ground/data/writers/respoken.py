"""Prepared data for a model of another family: the same samples with their boxes in its numbers.

Takes a split and a model's coordinate space; gives samples and meta of that space, the truth byte for byte.
Boxes come from the exact truth where it has them, so nothing is rounded twice.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from paddle_ground.answers import answer_format
from paddle_ground.data.dialogue import DialogueOptions, convert_dialogue
from paddle_ground.data.headers import read_header
from paddle_ground.data.writers.pairs import exact_pairs
from paddle_ground.errors import DataError
from paddle_ground.families import DEFAULT
from paddle_ground.files import sha256_file
from paddle_ground.records import (
    Sample,
    SamplesMeta,
    TruthImage,
    meta_path,
    read_meta,
    truth_path,
    write_meta,
    write_samples,
)
from paddle_ground.resize import RESIZE_SETTINGS
from paddle_ground.spaces import CoordinateSpace

if TYPE_CHECKING:
    from paddle_ground.data.writers import Images, Split


@dataclass(frozen=True, slots=True)
class Speaking:
    """For which model samples are written.

    Attributes:
        family: Its `model_type`.
        space: The numbers in which it speaks of boxes.
    """

    family: str
    space: CoordinateSpace


def write_respoken(split: Split, out: Path, images: Images, speaking: Speaking) -> Counter[str]:
    """Write `<split>.jsonl` in a model's numbers, and what stands beside it.

    Raises:
        DataError: A meta file or an image is missing, or a box can't be said in these numbers.
        RecordError: A file is wrong.
    """
    meta = read_meta(meta_path(split.samples_path))
    counts: Counter[str] = Counter()
    target = out / f"{split.name}.jsonl"
    write_samples(target, _samples(split, meta, out, images, speaking, counts))
    if truth_path(split.samples_path).is_file():
        shutil.copyfile(truth_path(split.samples_path), truth_path(target))
    settings = {name: text for name, text in meta.settings.items() if name not in _ABOUT_SPACE}
    if speaking.family != DEFAULT.model_type:
        settings["model_family"] = speaking.family
    if speaking.space.resize is not None:
        settings |= speaking.space.resize.settings()
    write_meta(
        meta_path(target),
        replace(
            meta,
            coordinate_space=speaking.space.name,
            samples_sha256=sha256_file(target),
            settings=settings,
        ),
    )
    return counts


# The fingerprint is of the job by which `prepare` wrote the samples as they were.
_ABOUT_SPACE = {"model_family", "fingerprint", *RESIZE_SETTINGS}


def _samples(
    split: Split, meta: SamplesMeta, out: Path, images: Images, speaking: Speaking, counts: Counter[str]
) -> Iterator[Sample]:
    fmt = answer_format(meta.answer_format)
    options = DialogueOptions(speaking.space, fmt, meta.class_names or ("object",), "source")
    for sample, row in exact_pairs(split, speaking.space):
        for name in sample.images:
            images.put(split.samples_path, name, out / name)
        # Without boxes there is nothing that a size would change.
        sizes = [
            read_header(read()).size_wh if len(row.boxes_xyxy_px) else (1, 1) for read in row.read_images
        ]
        named = [TruthImage(0, name, size) for name, size in zip(sample.images, sizes, strict=True)]
        converted = convert_dialogue(row, named, 1, options)
        if converted.sample is None:
            raise DataError(
                f"{split.samples_path.parent}/{row.where}: its boxes can't be said in "
                f"{speaking.space.name} ({converted.skipped[0][0]}); run `paddle-ground check` on the data"
            )
        counts.update(samples=1, boxes=len(row.boxes_xyxy_px))
        if converted.merged_boxes:
            counts["boxes that fall together"] += converted.merged_boxes
        yield converted.sample
