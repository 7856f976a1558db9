"""Mends of PaddleFormers 1.2's Qwen2.5-VL, each with the upstream symptom.

Takes PaddleFormers' classes, by wrapping their methods. Every function may be called twice. Knows no
machine and no data.
"""

from __future__ import annotations

from typing import Any


def apply() -> None:
    """Put every mend of this file in place."""
    save_attention_biases_by_their_names()


def save_attention_biases_by_their_names() -> None:
    """Save the biases of queries, keys and values as the published files name them.

    Symptom: none when saving. A model that was trained is written with
    `model.language_model.layers.0.self_attn.q_proj.bias` beside `model.layers.0.self_attn.q_proj.weight`;
    read back, PaddleFormers looks for `model.layers.0.self_attn.q_proj.bias`, does not find it, and the
    biases start from zero. Its rules for saving split the fused bias and forget to rename the parts.
    """
    from paddleformers.transformers.qwen2_5_vl.modeling import Qwen2_5_VLPretrainedModel

    stock = Qwen2_5_VLPretrainedModel._gen_inv_aoa_config.__func__
    if getattr(stock, "_paddle_ground", False):
        return

    def gen_inv_aoa_config(cls: Any, config: Any) -> dict[str, Any]:
        rules: dict[str, Any] = stock(cls, config)
        rules["aoa_statements"] = [_renamed(rule) for rule in rules["aoa_statements"]]
        return rules

    gen_inv_aoa_config._paddle_ground = True  # type: ignore[attr-defined]
    Qwen2_5_VLPretrainedModel._gen_inv_aoa_config = classmethod(gen_inv_aoa_config)


def _renamed(rule: str) -> str:
    """Give `a.qkv_proj.bias -> a.q_proj.bias, ...` the names of the files behind its arrow."""
    source, arrow, targets = rule.partition("->")
    if not source.strip().endswith("qkv_proj.bias"):
        return rule
    prefix = source.strip().split("layers.", 1)[0]
    return source + arrow + targets.replace(f"{prefix}layers.", "model.layers.")
