"""A small model that stands in for a large one: the same architecture, divisible in the same way.

Takes a training configuration; gives shapes for `backend.tiny`. Reads no weights.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from paddle_ground.backend.tiny_shapes import TinyPreset, smallest
from paddle_ground.errors import ModelError, TrainError
from paddle_ground.families import DEFAULT, Family, family_of
from paddle_ground.train.config import TrainConfig
from paddle_ground.train.plan.model_size import ModelSize, model_size

_KEY_HEADS = 8
# Sizes whose output layer is the embedding table again, for names that are not the published ones.
_TIED_SIZES = re.compile(r"(?i)(?<![\d.])[234]b(?![a-z0-9])")


def shapes_like(config: TrainConfig) -> TinyPreset:
    """Give shapes that part among processes as the configuration wants it.

    Args:
        config: Its tensor-parallel degree must divide what is split: heads, widths and vocabulary.

    Returns:
        The smallest shapes of the model's family that do, with the output layer tied as in the model that
        is named.

    Raises:
        TrainError: The degree does not divide the model's key heads.
    """
    name = str(config.values.get("model_name_or_path") or "")
    family, size = family_of(name) or DEFAULT, _size(name)
    degree = max(1, int(config.values.get("tensor_model_parallel_size") or 1))
    _check(config, degree, family, size.key_value_heads if size else _KEY_HEADS)
    base = smallest(family.model_type)
    heads = 2 * max(2, degree)
    tied = size.tied if size else _tied(name)
    text = replace(
        base.text, num_attention_heads=heads, num_key_value_heads=heads // 2, tie_word_embeddings=tied
    )
    if base.vision.heads_share_width:
        text = replace(text, hidden_size=heads * text.head_dim)
    return replace(base, text=text)


def _check(config: TrainConfig, degree: int, family: Family, key_heads: int) -> None:
    usable = [possible for possible in (1, 2, 4, 8) if key_heads % possible == 0]
    if degree not in usable:
        raise TrainError(
            f"{config.path}: tensor_model_parallel_size is {degree}; it must divide {family.title}'s "
            f"{key_heads} key heads: use {', '.join(map(str, usable[:-1]))} or {usable[-1]}"
        )


def _tied(model: str) -> bool:
    """Tell by a config that says little else, or by the name."""
    config_file = Path(model) / "config.json"
    if config_file.is_file():
        values: dict[str, Any] = json.loads(config_file.read_text(encoding="utf-8"))
        return bool(values.get("tie_word_embeddings", False))
    return bool(_TIED_SIZES.search(model.rpartition("/")[2]))


def _size(model: str) -> ModelSize | None:
    try:
        return model_size(model)
    except ModelError:
        return None
