"""The published models by name: what a plan needs of their `config.json`.

Numbers only, so that a run can be planned for a model that is not on this machine.
"""

from __future__ import annotations

import re
from typing import Any

# hidden, layers, heads, intermediate, tied; vision: depth, hidden, intermediate, DeepStack layers.
_QWEN3_VL: dict[str, tuple[tuple[int, int, int, int, bool], tuple[int, int, int, tuple[int, ...]]]] = {
    "2b": ((2048, 28, 16, 6144, True), (24, 1024, 4096, (5, 11, 17))),
    "4b": ((2560, 36, 32, 9728, True), (24, 1024, 4096, (5, 11, 17))),
    "8b": ((4096, 36, 32, 12288, False), (27, 1152, 4304, (8, 16, 24))),
}
# hidden, layers, heads, key heads, intermediate, vocabulary, tied; all have one vision tower.
_QWEN2_5_VL: dict[str, tuple[int, int, int, int, int, int, bool]] = {
    "3b": (2048, 36, 16, 2, 11008, 151_936, True),
    "7b": (3584, 28, 28, 4, 18944, 152_064, False),
}
_NAMES = {
    "qwen3_vl": re.compile(r"(?i)qwen3-?vl-([248]b)(?![a-z0-9])"),
    "qwen2_5_vl": re.compile(r"(?i)qwen2\.5-?vl-([37]b)(?![a-z0-9])"),
}
NAMED = "Qwen3-VL-2B, -4B, -8B, Qwen2.5-VL-3B or -7B"


def config_of_name(model: str) -> dict[str, Any] | None:
    """Give what a plan needs of a published model's config; None where the name is no such model's."""
    for model_type, pattern in _NAMES.items():
        found = pattern.search(model)
        if found:
            return published_config(found[1].lower(), model_type)
    return None


def published_config(size: str, model_type: str = "qwen3_vl") -> dict[str, Any]:
    """Give what a plan needs of a published model's config.

    Args:
        size: `2b`, `4b` or `8b` of Qwen3-VL, `3b` or `7b` of Qwen2.5-VL.
        model_type: The family.
    """
    return {"qwen3_vl": _qwen3_vl, "qwen2_5_vl": _qwen2_5_vl}[model_type](size)


def _qwen3_vl(size: str) -> dict[str, Any]:
    (hidden, layers, heads, wide, tied), (depth, vision_hidden, vision_wide, levels) = _QWEN3_VL[size]
    return {
        "model_type": "qwen3_vl", "tie_word_embeddings": tied,
        "text_config": {
            "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
            "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": wide, "vocab_size": 151_936,
        },
        "vision_config": {
            "depth": depth, "hidden_size": vision_hidden, "intermediate_size": vision_wide,
            "deepstack_visual_indexes": list(levels), "num_position_embeddings": 2304, "patch_size": 16,
            "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3, "out_hidden_size": hidden,
        },
    }  # fmt: skip


def _qwen2_5_vl(size: str) -> dict[str, Any]:
    hidden, layers, heads, key_heads, wide, vocabulary, tied = _QWEN2_5_VL[size]
    return {
        "model_type": "qwen2_5_vl", "tie_word_embeddings": tied,
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": key_heads, "intermediate_size": wide, "vocab_size": vocabulary,
        "vision_config": {
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "patch_size": 14,
            "spatial_merge_size": 2, "temporal_patch_size": 2, "in_chans": 3, "out_hidden_size": hidden,
            "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
        },
    }  # fmt: skip
