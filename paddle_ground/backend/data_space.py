"""Whether training feeds a model the images that its samples' boxes were written for.

Takes a training YAML's keys; gives every contradiction in words. Upstream symptom: PaddleFormers resizes an
image and leaves the numbers of its boxes as they stand, so that absolute pixels of another size are learned
without a word. Reads metas and the model's configs only; imports neither paddle nor PaddleFormers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from paddle_ground.backend.data_sets import data_sets
from paddle_ground.backend.settings import GroundingSettings
from paddle_ground.errors import ConfigError, ModelError, RecordError
from paddle_ground.families import Family, family_of, spoken_family
from paddle_ground.records import SamplesMeta, meta_path, read_grounding, read_meta, samples_space
from paddle_ground.resize import STOCK_MAX_PIXELS, STOCK_MIN_PIXELS, Resize, read_resize

REHEARSAL = "PADDLE_GROUND_REHEARSAL"
"""Set where a small model is fed small images on purpose; nothing is compared then."""

_SETTINGS = tuple(Resize(1, 1, 1).settings())
_LIMITS = ("image_max_pixels", "image_min_pixels")


def space_problems(values: Mapping[str, Any], settings: GroundingSettings) -> Iterator[tuple[str, str, bool]]:
    """Tell where the boxes of samples are not in the numbers of the model that learns them.

    Args:
        values: The YAML's keys. Samples without a readable meta, a model of no known family and one whose
            folder is not complete are passed over: others tell of them.
        settings: Its `grounding` section.

    Yields:
        The key, what is wrong with its remedy, and that it is an error.
    """
    model = str(values.get("model_name_or_path") or "")
    family = _family(model)
    if family is None or REHEARSAL in os.environ:
        return
    told = set()
    for which in ("train", "eval"):
        try:
            sets = data_sets(values, which)
        except ConfigError:
            continue
        for path in dict.fromkeys(found.path for found in sets):
            try:
                meta = read_meta(meta_path(path))
            except RecordError:
                continue
            space = (meta.coordinate_space, *(meta.settings.get(name) for name in _SETTINGS))
            if space in told:
                continue  # Train and val of one data set are wrong together.
            told.add(space)
            for key, said in _differences(path, meta, model, family, settings):
                yield key or f"{which}_dataset_path", said, True


def refuse_other_spaces(values: Mapping[str, Any], settings: GroundingSettings) -> None:
    """Raise for the first of `space_problems`.

    Raises:
        ConfigError: The message opens with the key.
    """
    for key, said, _ in space_problems(values, settings):
        raise ConfigError(f"{key}: {said}")


def _differences(
    path: Path, meta: SamplesMeta, model: str, family: Family, settings: GroundingSettings
) -> Iterator[tuple[str, str]]:
    """Yield the `grounding` key to change, "" for the data set's own, and what is wrong."""
    spoken = _spoken(model, family)
    if meta.coordinate_space != spoken:
        yield (
            "",
            f"the boxes of {path} are {meta.coordinate_space}, but {model} ({family.title}) speaks {spoken}; "
            f"prepare the data again with --model-family {family.model_type}",
        )
        return
    try:
        prepared = samples_space(meta).resize
        if prepared is None:
            return
        fed = _fed(model, family, settings)
    except RecordError as error:
        yield "", f"{meta_path(path)}: {error}"
        return
    except ModelError:
        return
    if fed == prepared:
        return
    if (fed.factor, fed.min_pixels, fed.max_pixels) != (
        prepared.factor, prepared.min_pixels, prepared.max_pixels,
    ):  # fmt: skip
        yield (
            "",
            f"the boxes of {path} are pixels of images resized with {prepared}, but training would feed "
            f"{model} images resized with {fed}; prepare the data again for this model's folder, or name the "
            "model that it was prepared for",
        )
        return
    for name in _LIMITS:
        ours, theirs = getattr(prepared, name), getattr(fed, name)
        if ours != theirs:
            yield (
                f"grounding.{name}",
                f"training would feed images of {theirs} pixels at {_end(name)}, but the boxes of {path} are "
                f"pixels of images of {ours}; set it to {ours}, or prepare the data again with "
                f"--{name.replace('_', '-')} {theirs}",
            )


def _end(name: str) -> str:
    return "most" if "max" in name else "least"


def _family(model: str) -> Family | None:
    try:
        return spoken_family(model) if (Path(model) / "config.json").is_file() else family_of(model)
    except ModelError:
        return None


def _spoken(model: str, family: Family) -> str:
    """Give the space that a model was tuned on before; a published one speaks its family's."""
    try:
        return read_grounding(model).coordinate_space
    except RecordError:
        return family.coordinate_space


def _fed(model: str, family: Family, settings: GroundingSettings) -> Resize:
    """Tell how training resizes: by the YAML's limits or the stock ones, whatever an earlier tuning did."""
    limits = settings.image_min_pixels or STOCK_MIN_PIXELS, settings.image_max_pixels or STOCK_MAX_PIXELS
    return read_resize(model, *limits) if Path(model).is_dir() else family.resize(*limits)
