"""The parameters of a Qwen3-VL: every name and shape, from its config alone.

Takes the contents of `config.json`; gives Hugging Face's names with torch's shapes. No weights, no Paddle.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def parameter_shapes(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield every parameter's Hugging Face name and shape for a Qwen3-VL config.

    Args:
        config: The contents of `config.json`.

    Yields:
        Name and shape, in the file's order. Linear weights are (out, in), as torch keeps them.
    """
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


def _vision_shapes(vision: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
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


def _affine(name: str, weight: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", weight
    yield f"{name}.bias", (weight[0],)
