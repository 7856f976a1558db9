"""A small model that stands in for a large one: the same architecture, divisible in the same way.

Takes a training configuration; gives shapes for `backend.tiny`. Reads no weights.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from paddle_ground.backend.tiny import PRESETS, TinyPreset
from paddle_ground.errors import TrainError
from paddle_ground.train.config import TrainConfig

# The published sizes whose output layer is the embedding table again.
_TIED_SIZES = re.compile(r"(?i)(?<![\d.])[24]b(?![a-z0-9])")


def shapes_like(config: TrainConfig) -> TinyPreset:
    """Give shapes that part among processes as the configuration wants it.

    Args:
        config: Its tensor-parallel degree must divide what is split: heads, widths and vocabulary.

    Returns:
        The smallest shapes that do, with the output layer tied as in the model that is named.

    Raises:
        TrainError: The degree does not divide the key heads of the published models.
    """
    degree = max(1, int(config.values.get("tensor_model_parallel_size") or 1))
    if degree not in (1, 2, 4, 8):
        raise TrainError(
            f"{config.path}: tensor_model_parallel_size is {degree}; it must divide Qwen3-VL's 8 key heads: "
            "use 1, 2, 4 or 8"
        )
    heads = max(2, degree)
    base = PRESETS["test"]
    tied = _tied(str(config.values.get("model_name_or_path") or ""))
    text = replace(
        base.text, num_attention_heads=2 * heads, num_key_value_heads=heads, tie_word_embeddings=tied
    )
    return replace(base, text=text)


def _tied(model: str) -> bool:
    config_file = Path(model) / "config.json"
    if config_file.is_file():
        values: dict[str, Any] = json.loads(config_file.read_text(encoding="utf-8"))
        return bool(values.get("tie_word_embeddings", False))
    return bool(_TIED_SIZES.search(model.rpartition("/")[2]))
