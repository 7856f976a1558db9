"""The parameters of a Qwen2.5-VL: every name and shape, from its config alone.

Takes the contents of `config.json`; gives the names of the published files with torch's shapes. No
weights, no Paddle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# What PaddleFormers and HF transformers take where `vision_config` leaves a key out, as configs written by
# transformers 4.49 do.
_VISION_DEFAULTS: dict[str, Any] = {
    "depth": 32, "hidden_size": 3584, "intermediate_size": 3420, "num_heads": 16, "in_channels": 3,
    "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31], "out_hidden_size": 3584,
}  # fmt: skip


def text_section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the language model's settings: the published configs hold them at the top, newer ones apart."""
    section = config.get("text_config")
    return section if isinstance(section, Mapping) else config


def is_tied(config: Mapping[str, Any]) -> bool:
    """Tell whether the output layer is the embedding table again."""
    return bool(config.get("tie_word_embeddings", text_section(config).get("tie_word_embeddings", False)))


def vision_section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the vision tower's settings, whole."""
    return {**_VISION_DEFAULTS, **config["vision_config"]}


def parameter_shapes(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield every parameter's published name and shape for a Qwen2.5-VL config.

    Args:
        config: The contents of `config.json`.

    Yields:
        Name and shape, in the file's order. Linear weights are (out, in), as torch keeps them.
    """
    yield from _vision_shapes(vision_section(config))
    text = text_section(config)
    hidden, wide = text["hidden_size"], text["intermediate_size"]
    key_value = hidden // text["num_attention_heads"] * text["num_key_value_heads"]
    yield "model.embed_tokens.weight", (text["vocab_size"], hidden)
    for i in range(text["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        yield f"{layer}.input_layernorm.weight", (hidden,)
        yield from _affine(f"{layer}.self_attn.q_proj", (hidden, hidden))
        yield from _affine(f"{layer}.self_attn.k_proj", (key_value, hidden))
        yield from _affine(f"{layer}.self_attn.v_proj", (key_value, hidden))
        yield f"{layer}.self_attn.o_proj.weight", (hidden, hidden)
        yield f"{layer}.post_attention_layernorm.weight", (hidden,)
        yield f"{layer}.mlp.gate_proj.weight", (wide, hidden)
        yield f"{layer}.mlp.up_proj.weight", (wide, hidden)
        yield f"{layer}.mlp.down_proj.weight", (hidden, wide)
    yield "model.norm.weight", (hidden,)
    if not is_tied(config):
        yield "lm_head.weight", (text["vocab_size"], hidden)


def _vision_shapes(vision: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, wide = vision["hidden_size"], vision["intermediate_size"]
    merged, side = hidden * vision["spatial_merge_size"] ** 2, vision["patch_size"]
    patch = (vision["in_channels"], vision["temporal_patch_size"], side, side)
    yield "visual.patch_embed.proj.weight", (hidden, *patch)
    for i in range(vision["depth"]):
        block = f"visual.blocks.{i}"
        yield f"{block}.norm1.weight", (hidden,)
        yield f"{block}.norm2.weight", (hidden,)
        yield from _affine(f"{block}.attn.qkv", (3 * hidden, hidden))
        yield from _affine(f"{block}.attn.proj", (hidden, hidden))
        yield from _affine(f"{block}.mlp.gate_proj", (wide, hidden))
        yield from _affine(f"{block}.mlp.up_proj", (wide, hidden))
        yield from _affine(f"{block}.mlp.down_proj", (hidden, wide))
    yield "visual.merger.ln_q.weight", (hidden,)
    yield from _affine("visual.merger.mlp.0", (merged, merged))
    yield from _affine("visual.merger.mlp.2", (vision["out_hidden_size"], merged))


def _affine(name: str, weight: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", weight
    yield f"{name}.bias", (weight[0],)
