"""For which model data is prepared: its family, and so the numbers that its boxes are in.

Takes what the user said of the model; gives a coordinate space. Of absolute pixels it asks how images come
to the model: by training's limits, then by the processor's. Knows no data.
"""

from __future__ import annotations

from pathlib import Path

from paddle_ground.errors import ConfigError, RecordError
from paddle_ground.families import DEFAULT, Family, prepared_family, spoken_family
from paddle_ground.records import read_grounding
from paddle_ground.resize import STOCK_MAX_PIXELS, STOCK_MIN_PIXELS, Resize, read_resize
from paddle_ground.spaces import ABSOLUTE_RESIZED, CoordinateSpace, coordinate_space


def chosen_space(
    family: str | None,
    model_dir: Path | None,
    image_limits: tuple[int | None, int | None] = (None, None),
    name: str | None = None,
) -> CoordinateSpace:
    """Give the coordinate space that a model speaks.

    Args:
        family: Its `model_type`; None for the folder's, else Qwen3-VL.
        model_dir: A model's folder, whose processor is asked how it resizes; None for a published model's.
        image_limits: Areas between which training brings images, `grounding.image_min_pixels` and
            `grounding.image_max_pixels` of the YAML; None for the folder's `grounding.json`, else
            PaddleFormers' own.
        name: Of the space, where the user says it.

    Raises:
        ConfigError: Family, folder and space contradict each other, or a limit is none.
        ModelError: The folder is no model's.
        BoxError: Nobody knows the space.
    """
    found = chosen_family(family, model_dir)
    for limit in image_limits:
        if limit is not None and limit < 1:
            raise ConfigError(f"image limit {limit}; it must be an area of 1 pixel or more")
    if name is not None and coordinate_space(name, found.resize()).name != found.coordinate_space:
        raise ConfigError(
            f"coordinate_space is {name}, but {found.title} speaks {found.coordinate_space}; "
            "name another model family"
        )
    if found.coordinate_space != ABSOLUTE_RESIZED:
        return coordinate_space(found.coordinate_space)
    return coordinate_space(found.coordinate_space, _resize(found, model_dir, image_limits))


def chosen_family(family: str | None, model_dir: Path | None) -> Family:
    """Give the family; raises as `chosen_space` does."""
    told = None if family is None else prepared_family(family)
    if model_dir is None:
        return told or DEFAULT
    found = spoken_family(model_dir)
    if found is None or (told is not None and told is not found):
        what = "of no known family" if found is None else found.title
        expected = "one of a known family" if told is None else told.title
        raise ConfigError(f"{model_dir}: the model is {what}, expected {expected}; name another folder")
    return found


def _resize(family: Family, model_dir: Path | None, limits: tuple[int | None, int | None]) -> Resize:
    least, most = limits
    if model_dir is None:
        return family.resize(least or STOCK_MIN_PIXELS, most or STOCK_MAX_PIXELS)
    try:
        tuned = read_grounding(model_dir)
        least, most = least or tuned.min_pixels, most or tuned.max_pixels
    except RecordError:
        pass  # A model that was not tuned by us.
    return read_resize(model_dir, least or STOCK_MIN_PIXELS, most or STOCK_MAX_PIXELS)
