"""The model families that we train and ask: one record each, and how to tell which one a model is of.

Takes a `model_type`, a model's name or its folder; gives facts. What differs between families stands here,
and the code for it in one place each; nobody else asks which family it is. Knows no boxes and no Paddle.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from paddle_ground.errors import ConfigError, ModelError
from paddle_ground.resize import STOCK_MAX_PIXELS, STOCK_MIN_PIXELS, Resize


@dataclass(frozen=True, slots=True)
class Family:
    """Facts of one family.

    Attributes:
        model_type: As in `config.json`.
        title: Its name among people.
        published: What the names of the published models look like.
        template: PaddleFormers' chat template for models that answer at once.
        thinking_template: The one for models that think first; none where there are no such models.
        coordinate_space: In which published models speak of boxes; a name that `spaces` knows.
        patch: Side of a vision patch, in pixels.
        merge: Patches a side of one visual token.
        min_pixels: Area below which the published processor enlarges an image.
        max_pixels: Area above which it shrinks one.
        in_paddlefleet: Whether PaddleFormers has a second implementation of it, on paddlefleet.
        default_system: What the template puts in front of samples without a system turn; none for nothing.
    """

    model_type: str
    title: str
    published: re.Pattern[str]
    template: str
    thinking_template: str | None
    coordinate_space: str
    patch: int
    merge: int
    min_pixels: int
    max_pixels: int
    in_paddlefleet: bool
    default_system: str | None = None

    @property
    def factor(self) -> int:
        """Pixels a side of one visual token; resized images have sides that are multiples of it."""
        return self.patch * self.merge

    def resize(
        self, image_min_pixels: int = STOCK_MIN_PIXELS, image_max_pixels: int = STOCK_MAX_PIXELS
    ) -> Resize:
        """Tell how images come to a published model.

        Args:
            image_min_pixels: Area below which training enlarges them first.
            image_max_pixels: Area above which it shrinks them first.
        """
        return Resize(self.factor, self.min_pixels, self.max_pixels, image_min_pixels, image_max_pixels)

    @property
    def templates(self) -> tuple[str, ...]:
        """The chat templates that models of the family know."""
        return (self.template, self.thinking_template) if self.thinking_template else (self.template,)


QWEN3_VL = Family(
    model_type="qwen3_vl",
    title="Qwen3-VL",
    published=re.compile(r"(?i)qwen3[-_.]?vl"),
    template="qwen3_vl_nothink",
    thinking_template="qwen3_vl",
    coordinate_space="relative_1000",
    patch=16,
    merge=2,
    min_pixels=65_536,
    max_pixels=16_777_216,
    in_paddlefleet=True,
)
QWEN2_5_VL = Family(
    model_type="qwen2_5_vl",
    title="Qwen2.5-VL",
    published=re.compile(r"(?i)qwen2[._]5[-_.]?vl"),
    template="qwen2_vl",
    thinking_template=None,
    coordinate_space="absolute_resized",
    default_system="You are a helpful assistant.",
    patch=14,
    merge=2,
    min_pixels=3_136,
    max_pixels=12_845_056,
    in_paddlefleet=False,
)
QWEN2_VL = Family(
    model_type="qwen2_vl",
    title="Qwen2-VL",
    published=re.compile(r"(?i)qwen2[-_.]?vl"),
    default_system="You are a helpful assistant.",
    template="qwen2_vl",
    thinking_template=None,
    coordinate_space="relative_1000",
    patch=14,
    merge=2,
    min_pixels=3_136,
    max_pixels=12_845_056,
    in_paddlefleet=False,
)
FAMILIES: dict[str, Family] = {family.model_type: family for family in (QWEN3_VL, QWEN2_5_VL)}
PREPARED: dict[str, Family] = {**FAMILIES, QWEN2_VL.model_type: QWEN2_VL}
"""Of these data can be prepared and checked; of the last ones only that, we don't run them."""
DEFAULT = QWEN3_VL
# What differs from a family in nothing that matters to data.
_ALSO = {"qwen3_vl_moe": QWEN3_VL}


def family(model_type: str) -> Family:
    """Give a family by its `model_type`.

    Raises:
        ConfigError: There is none.
    """
    if model_type not in FAMILIES:
        raise ConfigError(f"unknown model family `{model_type}`; expected one of {', '.join(FAMILIES)}")
    return FAMILIES[model_type]


def prepared_family(model_type: str) -> Family:
    """Give a family that data can be prepared for.

    Raises:
        ConfigError: There is none of that name.
    """
    if model_type not in PREPARED:
        raise ConfigError(f"unknown model family `{model_type}`; expected one of {', '.join(PREPARED)}")
    return PREPARED[model_type]


def spoken_family(model_dir: str | os.PathLike[str]) -> Family | None:
    """Tell which family's coordinates a model folder speaks, whether we run the model or not.

    Returns:
        None where we don't know the family.

    Raises:
        ModelError: There is no `config.json` that says what the model is.
    """
    path = Path(model_dir) / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: cannot be read as a model's config; name a model folder") from error
    return PREPARED.get(str(found)) or _ALSO.get(str(found))


def family_of(model: str | os.PathLike[str]) -> Family | None:
    """Tell which family a model is of.

    Args:
        model: Its folder, whose `config.json` is read; or the name of a published one.

    Returns:
        None where neither says so.
    """
    path = Path(model) / "config.json"
    if path.is_file():
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        found = config.get("model_type") if isinstance(config, dict) else None
        return FAMILIES.get(found) if isinstance(found, str) else None
    name = os.fspath(model).rstrip("/").rpartition("/")[2]
    return next((one for one in FAMILIES.values() if one.published.search(name)), None)
