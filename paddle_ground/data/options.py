"""What `prepare` may be told: every option with its default, its range and its meaning.

Takes values, gives `PrepareOptions` or an error that names the option. Reads no data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paddle_ground.answers import answer_format
from paddle_ground.boxes import coordinate_space
from paddle_ground.data.recognise import AUTO, find_format
from paddle_ground.data.sampling import draw_splits
from paddle_ground.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """What to prepare, and how.

    Attributes:
        output_dir: Where the result goes. Its images/ and samples are replaced as a whole.
        source: The data set's folder, or its one file; None to download `dataset_repo`.
        dataset_repo: The data set's name on the hub, or a folder on this machine.
        total_samples: How many images to draw, over both splits; None for all.
        val_ratio: The part of them that goes to val; see `sampling.draw_splits`.
        seed: Of the draw.
        split_map: Output split ("train", "val" or "none") by source split; None for the usual names.
        bbox_format: "auto", "xyxy" or "xywh".
        answer_format: "tokens" or "json".
        prompt: What the user asks; None for the tutorial's prompt with tokens, and for Qwen3-VL's own
            with JSON, which names the classes.
        classes: A file with one class name a line; None for what the source declares, and for COCO
            parquet that declares none COCO's.
        keep_empty: Whether images without boxes become samples. A model that never sees one learns
            to find something everywhere.
        box_order: "position" (top to bottom, then left to right) or "source". Any order that can be
            read off the image does; one that can't teaches the model to guess.
        coordinate_space: The model's; see `paddle_ground.boxes.coordinate_space`.
        bad_images: "stop" at a missing, broken or wrongly sized image, or "skip" and count it.
        workers: How many chunks to convert at a time; 0 for one a processor.
        source_format: The source's format; see `paddle_ground.data.recognise`.
    """

    output_dir: Path
    source: Path | None = None
    dataset_repo: str = "detection-datasets/coco"
    total_samples: int | None = None
    val_ratio: float = 0.1
    seed: int = 42
    split_map: Mapping[str, str] | None = None
    bbox_format: str = "auto"
    answer_format: str = "tokens"
    prompt: str | None = None
    classes: Path | None = None
    keep_empty: bool = True
    box_order: str = "position"
    coordinate_space: str = "relative_1000"
    bad_images: str = "stop"
    workers: int = 0
    source_format: str = AUTO


def check_options(options: PrepareOptions) -> None:
    """Refuse options that can't work, before anything is read or fetched.

    Raises:
        PaddleGroundError: An option is out of its range.
    """
    choices = {
        "bbox_format": (options.bbox_format, ("auto", "xyxy", "xywh")),
        "box_order": (options.box_order, ("position", "source")),
        "bad_images": (options.bad_images, ("stop", "skip")),
    }
    for name, (value, known) in choices.items():
        if value not in known:
            raise ConfigError(f"{name} is {value!r}; it must be {', '.join(known[:-1])} or {known[-1]}")
    if options.workers < 0:
        raise ConfigError(f"workers is {options.workers}; it must be 1 or more, or 0 for one a processor")
    if options.seed < 0:
        raise ConfigError(f"seed is {options.seed}; it must be 0 or more")
    answer_format(options.answer_format)
    coordinate_space(options.coordinate_space)
    if options.source_format != AUTO:
        find_format(options.source_format)
    # Bad numbers shall not wait for a download to be found out.
    draw_splits(np.ones(1, np.bool_), np.zeros(1, np.bool_), options.total_samples, options.val_ratio, 0)
