"""What stands beside samples.jsonl and in a model folder, so that stages can't drift apart.

`<stem>.meta.json` tells how a samples file was made; `grounding.json` in a model folder tells
how the model was trained and must be asked. Takes and gives these two; knows no samples.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from paddle_ground.files import write_text
from paddle_ground.records.fields import read_object

GROUNDING_FILE = "grounding.json"


@dataclass(frozen=True, slots=True)
class SamplesMeta:
    """How a samples file came to be.

    Attributes:
        source: Where the data came from: a repository's name or a folder's.
        converter_version: The paddle_ground version that wrote it.
        coordinate_space: Name of the space of the boxes; see `paddle_ground.boxes.coordinate_space`.
        answer_format: "tokens" or "json".
        prompt: What the user asks in each sample.
        class_names: Names by category id; empty where there are no fixed classes.
        counts: `kept` (samples), and `skipped_<reason>` (samples or boxes) for each reason seen.
        samples_sha256: Hash of the JSONL's bytes.
        settings: The further options that shaped the file, as text, by name.
    """

    source: str
    converter_version: str
    coordinate_space: str
    answer_format: str
    prompt: str
    class_names: tuple[str, ...]
    counts: Mapping[str, int]
    samples_sha256: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def answers(self) -> Literal["boxes", "text", "mixed"]:
        """Tell what the samples answer with: boxes, words, or some with the one and some with the other.

        Words and boxes in one answer count as words: no format covers them, so nothing may force one.
        """
        unscored = self.counts.get("unscored", 0)
        if not unscored:
            return "boxes"
        return "text" if unscored == self.counts.get("kept") and not self.counts.get("boxes") else "mixed"


@dataclass(frozen=True, slots=True)
class GroundingConfig:
    """How a checkpoint was trained to point, and so how it must be asked.

    Attributes:
        coordinate_space: Name of the space of the boxes that it speaks.
        answer_format: "tokens" or "json".
        prompt: The detection prompt that it was trained with.
        min_pixels: Smallest image area that it is fed, in pixels; smaller images are enlarged.
        max_pixels: Largest image area that it is fed, in pixels; larger images are shrunk.
        class_names: Names that it was trained on; empty where there are no fixed classes.
    """

    coordinate_space: str
    answer_format: str
    prompt: str
    min_pixels: int
    max_pixels: int
    class_names: tuple[str, ...] = ()


def meta_path(samples_path: str | os.PathLike[str]) -> Path:
    """Give the path of a samples file's meta: `train.jsonl` -> `train.meta.json`."""
    return Path(samples_path).with_suffix(".meta.json")


def truth_path(samples_path: str | os.PathLike[str]) -> Path:
    """Give the path of a samples file's truth: `train.jsonl` -> `train.truth.json`."""
    return Path(samples_path).with_suffix(".truth.json")


def read_meta(path: str | os.PathLike[str]) -> SamplesMeta:
    """Read a `.meta.json`.

    Args:
        path: The meta file itself (see `meta_path`).

    Raises:
        RecordError: The file is missing, or a field is missing or wrong.
    """
    fields = read_object(Path(path))
    settings = fields.inner("settings").texts_by_name() if fields.has("settings") else {}
    return SamplesMeta(
        source=fields.text("source"),
        converter_version=fields.text("converter_version"),
        coordinate_space=fields.text("coordinate_space"),
        answer_format=fields.text("answer_format"),
        prompt=fields.text("prompt"),
        class_names=fields.texts("class_names"),
        counts=fields.inner("counts").integers_by_name(),
        samples_sha256=fields.text("samples_sha256"),
        settings=settings,
    )


def write_meta(path: str | os.PathLike[str], meta: SamplesMeta) -> None:
    """Write a `.meta.json`, whole or not at all.

    Raises:
        DataError: The file can't be written.
    """
    document = {
        "source": meta.source,
        "converter_version": meta.converter_version,
        "coordinate_space": meta.coordinate_space,
        "answer_format": meta.answer_format,
        "prompt": meta.prompt,
        "class_names": list(meta.class_names),
        "counts": dict(meta.counts),
        "samples_sha256": meta.samples_sha256,
        "settings": dict(meta.settings),
    }
    if meta.answers != "boxes":  # For people and other programs: it follows from the counts.
        document["answers"] = meta.answers
    write_text(path, json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def read_grounding(model_dir: str | os.PathLike[str]) -> GroundingConfig:
    """Read a model folder's `grounding.json`.

    Raises:
        RecordError: The file is missing (a foreign checkpoint), or a field is missing or wrong.
    """
    fields = read_object(Path(model_dir) / GROUNDING_FILE)
    return GroundingConfig(
        coordinate_space=fields.text("coordinate_space"),
        answer_format=fields.text("answer_format"),
        prompt=fields.text("prompt"),
        min_pixels=fields.integer("min_pixels"),
        max_pixels=fields.integer("max_pixels"),
        class_names=fields.texts("class_names", ()),
    )


def write_grounding(model_dir: str | os.PathLike[str], config: GroundingConfig) -> None:
    """Write `grounding.json` into a model folder.

    Raises:
        DataError: The file can't be written.
    """
    document = {
        "coordinate_space": config.coordinate_space,
        "answer_format": config.answer_format,
        "prompt": config.prompt,
        "min_pixels": config.min_pixels,
        "max_pixels": config.max_pixels,
        "class_names": list(config.class_names),
    }
    write_text(Path(model_dir) / GROUNDING_FILE, json.dumps(document, ensure_ascii=False, indent=2) + "\n")
