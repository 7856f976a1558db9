"""How the families' vision towers differ for a plan: what a block keeps and attends among, LoRA's targets.

Takes settings of a vision tower; gives numbers for the formulas of `memory` and `duration`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Settings = Mapping[str, Any]
_IMAGE_SIDE = 768
"""Pixels; attention among the patches of an image is counted for a square one of this side."""


@dataclass(frozen=True, slots=True)
class Tower:
    """What the formulas need of a family's vision tower.

    Attributes:
        kept_width: Bytes that a trained block keeps of a patch for each number of its width, in bf16.
        kept_wide: The same for each number of its MLP's width.
        mergers: Counts those that write features for the decoder.
        context: Patches that a patch attends among, averaged over the blocks.
        lora_targets: The weights that PaddleFormers' `get_lora_target_modules` names.
    """

    kept_width: int
    kept_wide: int
    mergers: Callable[[Settings], int]
    context: Callable[[Settings], float]
    lora_targets: re.Pattern[str]


def _patches(vision: Settings) -> int:
    token = vision["patch_size"] * vision["spatial_merge_size"]
    return int((_IMAGE_SIDE // token * vision["spatial_merge_size"]) ** 2)


def _windowed(vision: Settings) -> float:
    whole, depth = len(vision["fullatt_block_indexes"]), vision["depth"]
    window = (vision["window_size"] // vision["patch_size"]) ** 2
    return float((whole * _patches(vision) + (depth - whole) * window) / depth)


TOWERS = {
    # Two LayerNorms, queries, keys and values, rotated ones, attention, GELU.
    "qwen3_vl": Tower(
        kept_width=22,
        kept_wide=4,
        mergers=lambda vision: 1 + len(vision["deepstack_visual_indexes"]),
        context=_patches,
        lora_targets=re.compile(
            r"language_model\..*(q|k|v|o|gate|up|down)_proj\.weight$"
            r"|visual\.blocks\..*(attn\.(qkv|proj)|mlp\.linear_fc[12])\.weight$"
            r"|visual\.(merger|deepstack_merger_list\.\d+)\.linear_fc[12]\.weight$"
        ),
    ),
    # Two RMSNorms with float32 copies as in the decoder (16 instead of 8), and SwiGLU.
    "qwen2_5_vl": Tower(
        kept_width=30,
        kept_wide=8,
        mergers=lambda vision: 1,
        context=_windowed,
        lora_targets=re.compile(
            r"(model\.layers|visual\.blocks)\..*(q|k|v|o|gate|up|down)_proj\.weight$"
            r"|visual\.blocks\..*attn\.(qkv|proj)\.weight$"
            r"|visual\.merger\.mlp\.[02]\.weight$"
        ),
    ),
}
