"""What `prepare` may be told: every option with its default, its range and its meaning.

Takes values, gives `PrepareOptions` or an error that names the option. Reads no data.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from paddle_ground.answers import answer_format
from paddle_ground.data.choices import Ask, BoxOrder, MaxBoxesBy, PromptLanguage, Task
from paddle_ground.data.order import BOX_ORDERS
from paddle_ground.data.recognise import AUTO, find_format
from paddle_ground.data.relabel import EVERY_CLASS, ClassChoice
from paddle_ground.data.sampling import draw_splits
from paddle_ground.data.speaking import chosen_family, chosen_space
from paddle_ground.errors import ConfigError
from paddle_ground.families import DEFAULT
from paddle_ground.prompts import check_given
from paddle_ground.spaces import CoordinateSpace

if TYPE_CHECKING:
    from paddle_ground.data.augment.stage import AugmentOptions
    from paddle_ground.data.curriculum import CurriculumOptions
    from paddle_ground.data.tiling import TileOptions


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
        box_order: See `paddle_ground.data.order.BOX_ORDERS`. Any order that can be read off the image
            does; one that can't teaches the model to guess.
        model_family: Of the model that will be trained, a key of `paddle_ground.families.PREPARED`; None for
            `for_model`'s, else Qwen3-VL. It tells the coordinate space.
        for_model: That model's folder, whose processor tells how images are resized where boxes are pixels
            of resized images; None for a published model's.
        image_min_pixels: `grounding.image_min_pixels` of the training YAML, of the same use; None for
            `for_model`'s `grounding.json`, else PaddleFormers' own.
        image_max_pixels: Likewise.
        coordinate_space: To say the family's again; see `paddle_ground.spaces.coordinate_space`.
        bad_images: "stop" at a missing, broken or wrongly sized image, or "skip" and count it.
        workers: How many chunks to convert at a time; 0 for one a processor.
        ray: Address of a Ray cluster that converts them; see `paddle_ground.data.ray_pieces`.
        source_format: The source's format; see `paddle_ground.data.recognise`.
        box_units: "pixels" or "relative_1000", of boxes in the text of conversations; None to find out.
        frames: How many frames of an episode a question is asked about.
        frame_max_side: The longer side that frames are shrunk to, in pixels; None to leave them.
        task: What is asked about an image; see `paddle_ground.data.questions`.
        ask: Of task "classes": one question for all classes "together", or one for "each".
        absent_classes: How many classes that are not there a question together names too.
        language: Of the prompt around names and phrases: "en", "zh", or "mixed".
        negatives: The share of all samples that have nothing to find, 0 to less than 1; None for what
            the source gives. See `paddle_ground.data.balance.share_negatives`.
        class_choice: Which classes to keep, drop, rename or join.
        min_box_side: In pixels; see `min_side_px` of `paddle_ground.data.convert.RowOptions`.
        max_boxes: The most boxes that an answer names; None for all. The truth keeps the others.
        max_boxes_by: Which ones: the "largest", or the first in "order".
        group_by: A regular expression that finds in an image's name what it must not be torn from, as
            in `paddle_ground.data.profile.group_names`; None for the source's own groups.
        repeat_factor_threshold: Below which share of the images a class is rare, so that images of it
            are repeated in train; see `paddle_ground.data.balance.repeat_factors`. None: no repeats.
        augment: How training images are varied; None: they are not.
        tile: How large images are cut; None: they are not.
        curriculum: How training goes from objects to whole images; None: whole images only.
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
    box_order: BoxOrder = "position"
    model_family: str | None = None
    for_model: Path | None = None
    image_min_pixels: int | None = None
    image_max_pixels: int | None = None
    coordinate_space: str | None = None
    bad_images: str = "stop"
    workers: int = 0
    ray: str | None = None
    source_format: str = AUTO
    box_units: str | None = None
    frames: int = 8
    frame_max_side: int | None = None
    task: Task = "auto"
    ask: Ask = "together"
    absent_classes: int = 2
    language: PromptLanguage = "en"
    negatives: float | None = None
    class_choice: ClassChoice = EVERY_CLASS
    min_box_side: float = 0.0
    max_boxes: int | None = None
    max_boxes_by: MaxBoxesBy = "largest"
    group_by: str | None = None
    repeat_factor_threshold: float | None = None
    augment: AugmentOptions | None = None
    tile: TileOptions | None = None
    curriculum: CurriculumOptions | None = None

    @property
    def needs_profile(self) -> bool:
        """Tell whether the draw must know what rows are about."""
        wanted = (self.negatives, self.group_by, self.repeat_factor_threshold)
        return any(value is not None for value in wanted)

    @property
    def space(self) -> CoordinateSpace:
        """The coordinate space of the model; raises as `paddle_ground.data.speaking.chosen_space` does."""
        limits = (self.image_min_pixels, self.image_max_pixels)
        return chosen_space(self.model_family, self.for_model, limits, self.coordinate_space)

    @property
    def has_views(self) -> bool:
        """Tell whether one image may become several."""
        return any((self.augment, self.tile, self.curriculum))

    @property
    def of_questions(self) -> tuple[str, ...]:
        """Name the given options that shape questions of our own, which conversations don't have."""
        given = {
            "--prompt": self.prompt is not None,
            f"--language {self.language}": self.language != "en",
            "--negatives": self.negatives is not None,
            "--repeat-factor-threshold": self.repeat_factor_threshold is not None,
        }
        return tuple(option for option, is_given in given.items() if is_given)

    def settings(self) -> dict[str, str]:
        """Name the options that shape the output, for the meta file; of the later ones those in use."""
        settings = {
            "total_samples": str(self.total_samples or "all"),
            "val_ratio": repr(float(self.val_ratio)),
            "seed": str(self.seed),
            "bbox_format": self.bbox_format,
            "box_order": self.box_order,
            "keep_empty": str(self.keep_empty),
            "bad_images": self.bad_images,
        }
        # An option that is not used is not named: files that were made without it stay the same.
        for name in _NAMED_IN_USE:
            value = getattr(self, name)
            if value != getattr(_DEFAULTS, name):
                settings[name] = str(value)
        family = chosen_family(self.model_family, self.for_model)
        if family is not DEFAULT:
            settings["model_family"] = family.model_type
        if self.space.resize is not None:
            settings |= self.space.resize.settings()
        choice = self.class_choice
        listed = {"keep_classes": choice.keep, "drop_classes": choice.drop}
        listed["rename"] = tuple(f"{old}={new}" for old, new in sorted((choice.rename or {}).items()))
        settings |= {
            name: json.dumps(values, ensure_ascii=False) for name, values in listed.items() if values
        }
        if self.has_views:
            # Here, since it takes longer to import than hundreds of images to prepare.
            from paddle_ground.data.augment.expander import expander_settings

            settings |= expander_settings(self.augment, self.tile, self.curriculum)
        return settings


_DEFAULTS = PrepareOptions(Path())
_NAMED_IN_USE = (
    *("box_units", "frames", "frame_max_side"),
    *("task", "ask", "absent_classes", "language", "negatives", "min_box_side", "max_boxes", "max_boxes_by"),
    *("group_by", "repeat_factor_threshold"),
)


def check_options(options: PrepareOptions) -> None:
    """Refuse options that can't work, before anything is read or fetched.

    Raises:
        PaddleGroundError: An option is out of its range.
    """
    choices = {
        "bbox_format": (options.bbox_format, ("auto", "xyxy", "xywh")),
        "box_order": (options.box_order, BOX_ORDERS),
        "task": (options.task, get_args(Task)),
        "ask": (options.ask, get_args(Ask)),
        "language": (options.language, get_args(PromptLanguage)),
        "max_boxes_by": (options.max_boxes_by, get_args(MaxBoxesBy)),
        "bad_images": (options.bad_images, ("stop", "skip")),
    }
    if options.box_units is not None:
        choices["box_units"] = (options.box_units, ("pixels", "relative_1000"))
    for name, (value, known) in choices.items():
        if value not in known:
            raise ConfigError(f"{name} is {value!r}; it must be {', '.join(known[:-1])} or {known[-1]}")
    if options.workers < 0:
        raise ConfigError(f"workers is {options.workers}; it must be 1 or more, or 0 for one a processor")
    if options.seed < 0:
        raise ConfigError(f"seed is {options.seed}; it must be 0 or more")
    _check_numbers(options)
    if options.prompt is not None and options.task in ("classes", "refer"):
        raise ConfigError(
            f"a prompt is given, but task {options.task!r} makes its own from names or phrases; leave it out"
        )
    if options.prompt is not None:
        check_given(options.prompt)
    answer_format(options.answer_format)
    _ = options.space
    if options.source_format != AUTO:
        find_format(options.source_format)
    # Bad numbers shall not wait for a download to be found out.
    draw_splits(np.ones(1, np.bool_), np.zeros(1, np.bool_), options.total_samples, options.val_ratio, 0)


def _check_numbers(options: PrepareOptions) -> None:
    if options.absent_classes < 0:
        raise ConfigError(f"absent_classes is {options.absent_classes}; it must be 0 or more")
    if options.negatives is not None and not 0 <= options.negatives < 1:
        raise ConfigError(f"negatives is {options.negatives:g}; it must be 0 or more, and less than 1")
    if not 0 <= options.min_box_side < math.inf:
        raise ConfigError(f"min_box_side is {options.min_box_side:g}; it must be 0 or more pixels")
    if options.max_boxes is not None and options.max_boxes < 1:
        raise ConfigError(f"max_boxes is {options.max_boxes}; it must be 1 or more, or left out for all")
    threshold = options.repeat_factor_threshold
    if threshold is not None and not 0 < threshold <= 1:
        raise ConfigError(f"repeat_factor_threshold is {threshold:g}; it must be above 0, and at most 1")
    if options.frames < 1:
        raise ConfigError(f"frames is {options.frames}; it must be 1 or more")
    if options.frame_max_side is not None and options.frame_max_side < 1:
        raise ConfigError(f"frame_max_side is {options.frame_max_side}; it must be 1 or more pixels")
    if options.group_by is not None:
        try:
            re.compile(options.group_by)
        except re.error as error:
            raise ConfigError(f"group_by {options.group_by!r} is no regular expression ({error})") from error
