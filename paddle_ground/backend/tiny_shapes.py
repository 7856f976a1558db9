"""Shapes of small models, by family and preset.

Numbers only: `backend.tiny` makes model folders of them. The vision tower says which family it is, since
that is where the families differ most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

from paddle_ground.errors import ModelError
from paddle_ground.families import QWEN2_5_VL


@dataclass(frozen=True)
class TextShape:
    """Shape of the language model; names follow Qwen3-VL's `text_config`."""

    hidden_size: int = 192
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 48
    intermediate_size: int = 512
    mrope_section: tuple[int, int, int] = (8, 8, 8)
    tie_word_embeddings: bool = True
    vocab_size: int = 768


@dataclass(frozen=True)
class VisionShape:
    """Shape of Qwen3-VL's vision tower; names follow its `vision_config`."""

    model_type: ClassVar[str] = "qwen3_vl"
    heads_share_width: ClassVar[bool] = False
    """Whether the decoder's heads always make up its width: the config has no head_dim of its own."""

    hidden_size: int = 128
    depth: int = 4
    num_heads: int = 4
    intermediate_size: int = 384
    deepstack_visual_indexes: tuple[int, ...] = (1, 2)
    num_position_embeddings: int = 64
    patch_size: int = 16
    spatial_merge_size: int = 2
    temporal_patch_size: int = 2


@dataclass(frozen=True)
class WindowVisionShape:
    """Shape of Qwen2.5-VL's vision tower, which looks through windows; names follow its `vision_config`."""

    model_type: ClassVar[str] = "qwen2_5_vl"
    heads_share_width: ClassVar[bool] = True

    hidden_size: int = 128
    depth: int = 4
    num_heads: int = 4
    intermediate_size: int = 256
    window_size: int = 112
    fullatt_block_indexes: tuple[int, ...] = (1, 3)
    patch_size: int = 14
    spatial_merge_size: int = 2
    temporal_patch_size: int = 2


@dataclass(frozen=True)
class TinyPreset:
    """A whole small model: shapes, image limits in pixels of area, initialisation."""

    text: TextShape = field(default_factory=TextShape)
    vision: VisionShape | WindowVisionShape = field(default_factory=VisionShape)
    min_pixels: int = 64 * 64
    max_pixels: int = 512 * 512
    initializer_range: float = 0.02

    @property
    def model_type(self) -> str:
        """The family's `model_type`."""
        return self.vision.model_type


# Data in absolute pixels is for one way to resize images; with these, data for the family suits the model.
_WINDOWED = TinyPreset(
    vision=WindowVisionShape(), min_pixels=QWEN2_5_VL.min_pixels, max_pixels=QWEN2_5_VL.max_pixels
)

PRESETS: dict[str, TinyPreset] = {
    "demo": TinyPreset(),
    "test": TinyPreset(
        text=TextShape(
            hidden_size=64, num_hidden_layers=2, head_dim=24, intermediate_size=128, mrope_section=(4, 4, 4)
        ),
        vision=VisionShape(
            hidden_size=32, depth=2, num_heads=2, intermediate_size=64, deepstack_visual_indexes=(0, 1)
        ),
    ),
    "demo_qwen2_5_vl": _WINDOWED,
    "test_qwen2_5_vl": replace(
        _WINDOWED,
        text=TextShape(
            hidden_size=64, num_hidden_layers=2, head_dim=16, intermediate_size=128, mrope_section=(2, 3, 3)
        ),
        vision=WindowVisionShape(
            hidden_size=32, depth=2, num_heads=2, intermediate_size=48, fullatt_block_indexes=(1,)
        ),
    ),
}


def smallest(model_type: str) -> TinyPreset:
    """Give the smallest preset of a family."""
    return next(p for name, p in PRESETS.items() if name.startswith("test") and p.model_type == model_type)


def preset(name: str | TinyPreset) -> TinyPreset:
    """Give a preset by its name, or shapes of one's own as they are, checked.

    Raises:
        ModelError: The name is unknown, or shapes contradict each other.
    """
    if isinstance(name, str) and name not in PRESETS:
        raise ModelError(f"unknown preset `{name}`; expected one of {', '.join(sorted(PRESETS))}")
    shapes = PRESETS[name] if isinstance(name, str) else name
    _check_text(shapes.text)
    if isinstance(shapes.vision, WindowVisionShape):
        _check_windows(shapes.text, shapes.vision)
    else:
        _check_positions(shapes.vision)
    return shapes


def _check_text(text: TextShape) -> None:
    if sum(text.mrope_section) * 2 != text.head_dim:
        raise ModelError(
            f"mrope_section {text.mrope_section} must add up to half of head_dim ({text.head_dim // 2})"
        )
    if text.num_attention_heads % text.num_key_value_heads:
        raise ModelError(
            f"num_attention_heads {text.num_attention_heads} must be a multiple of "
            f"num_key_value_heads {text.num_key_value_heads}"
        )


def _check_positions(vision: VisionShape) -> None:
    side = math.isqrt(vision.num_position_embeddings)
    if side * side != vision.num_position_embeddings or vision.hidden_size % (4 * vision.num_heads):
        raise ModelError(
            "num_position_embeddings must be a square, and the vision hidden_size a multiple of "
            f"4 x num_heads; found {vision.num_position_embeddings} and {vision.hidden_size} "
            f"with {vision.num_heads} heads"
        )


def _check_windows(text: TextShape, vision: WindowVisionShape) -> None:
    if text.head_dim * text.num_attention_heads != text.hidden_size:
        raise ModelError(
            f"head_dim {text.head_dim} x {text.num_attention_heads} heads must be hidden_size "
            f"({text.hidden_size}): Qwen2.5-VL's config has no head_dim of its own"
        )
    token = vision.patch_size * vision.spatial_merge_size
    if vision.window_size % token or vision.hidden_size % (4 * vision.num_heads):
        raise ModelError(
            f"window_size must be a multiple of {token} (patch_size x spatial_merge_size), and the vision "
            f"hidden_size of 4 x num_heads; found {vision.window_size} and {vision.hidden_size} "
            f"with {vision.num_heads} heads"
        )
