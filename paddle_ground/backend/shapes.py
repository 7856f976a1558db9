"""What `config.json` tells of a model: its settings by part, and every parameter's name and shape.

Takes the contents of `config.json`; gives Hugging Face's names with torch's shapes. No weights, no Paddle.
The families keep their settings in different places; the table at the end says where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from paddle_ground.backend.qwen2_5_vl import shapes as qwen2_5_vl

Settings = Mapping[str, Any]
Shapes = Iterator[tuple[str, tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class ConfigLayout:
    """Where a family's `config.json` says what.

    Attributes:
        sections: What can't be missing.
        text: Gives the language model's settings.
        vision: Gives the vision tower's, whole.
        tied: Whether the output layer is the embedding table again.
        parameters: Yields every name and shape.
    """

    sections: tuple[str, ...]
    text: Callable[[Settings], Settings]
    vision: Callable[[Settings], Settings]
    tied: Callable[[Settings], bool]
    parameters: Callable[[Settings], Shapes]


def config_layout(config: Settings) -> ConfigLayout:
    """Give the layout of a config; Qwen3-VL's where it names no `model_type`.

    Raises:
        KeyError: The `model_type` is of no family here.
    """
    return _LAYOUTS[config.get("model_type", "qwen3_vl")]


def parameter_shapes(config: Settings) -> Shapes:
    """Yield every parameter's Hugging Face name and shape.

    Args:
        config: The contents of `config.json`.

    Yields:
        Name and shape, in the file's order. Linear weights are (out, in), as torch keeps them.

    Raises:
        KeyError: A setting is missing, or the `model_type` is of no family here.
    """
    return config_layout(config).parameters(config)


def _qwen3_vl(config: Settings) -> Shapes:
    yield from _vision_shapes(config["vision_config"])
    text = config["text_config"]
    hidden, head = text["hidden_size"], text["head_dim"]
    query, key_value = text["num_attention_heads"] * head, text["num_key_value_heads"] * head
    prefix = "model.language_model"
    yield f"{prefix}.embed_tokens.weight", (text["vocab_size"], hidden)
    for i in range(text["num_hidden_layers"]):
        layer = f"{prefix}.layers.{i}"
        yield f"{layer}.input_layernorm.weight", (hidden,)
        yield f"{layer}.self_attn.q_proj.weight", (query, hidden)
        yield f"{layer}.self_attn.k_proj.weight", (key_value, hidden)
        yield f"{layer}.self_attn.v_proj.weight", (key_value, hidden)
        yield f"{layer}.self_attn.o_proj.weight", (hidden, query)
        yield f"{layer}.self_attn.q_norm.weight", (head,)
        yield f"{layer}.self_attn.k_norm.weight", (head,)
        yield f"{layer}.post_attention_layernorm.weight", (hidden,)
        yield f"{layer}.mlp.gate_proj.weight", (text["intermediate_size"], hidden)
        yield f"{layer}.mlp.up_proj.weight", (text["intermediate_size"], hidden)
        yield f"{layer}.mlp.down_proj.weight", (hidden, text["intermediate_size"])
    yield f"{prefix}.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (text["vocab_size"], hidden)


def _vision_shapes(vision: Settings) -> Shapes:
    hidden, wide = vision["hidden_size"], vision["intermediate_size"]
    merged = hidden * vision["spatial_merge_size"] ** 2
    patch = (vision["in_channels"], vision["temporal_patch_size"], vision["patch_size"], vision["patch_size"])
    yield from _affine("model.visual.patch_embed.proj", (hidden, *patch))
    yield "model.visual.pos_embed.weight", (vision["num_position_embeddings"], hidden)
    for i in range(vision["depth"]):
        block = f"model.visual.blocks.{i}"
        yield from _affine(f"{block}.norm1", (hidden,))
        yield from _affine(f"{block}.norm2", (hidden,))
        yield from _affine(f"{block}.attn.qkv", (3 * hidden, hidden))
        yield from _affine(f"{block}.attn.proj", (hidden, hidden))
        yield from _affine(f"{block}.mlp.linear_fc1", (wide, hidden))
        yield from _affine(f"{block}.mlp.linear_fc2", (hidden, wide))
    mergers = [("model.visual.merger", hidden)]
    mergers += [
        (f"model.visual.deepstack_merger_list.{i}", merged)
        for i in range(len(vision["deepstack_visual_indexes"]))
    ]
    for name, norm in mergers:
        yield from _affine(f"{name}.norm", (norm,))
        yield from _affine(f"{name}.linear_fc1", (merged, merged))
        yield from _affine(f"{name}.linear_fc2", (vision["out_hidden_size"], merged))


def _affine(name: str, weight: tuple[int, ...]) -> Shapes:
    yield f"{name}.weight", weight
    yield f"{name}.bias", (weight[0],)


_LAYOUTS = {
    "qwen3_vl": ConfigLayout(
        sections=("text_config", "vision_config"),
        text=lambda config: config["text_config"],
        vision=lambda config: config["vision_config"],
        tied=lambda config: bool(config.get("tie_word_embeddings", False)),
        parameters=_qwen3_vl,
    ),
    "qwen2_5_vl": ConfigLayout(
        sections=("vision_config",),
        text=qwen2_5_vl.text_section,
        vision=qwen2_5_vl.vision_section,
        tied=qwen2_5_vl.is_tied,
        parameters=qwen2_5_vl.parameter_shapes,
    ),
}
MODEL_TYPES = tuple(_LAYOUTS)
