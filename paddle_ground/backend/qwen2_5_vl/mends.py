"""Mends of PaddleFormers 1.2's Qwen2.5-VL, each with the upstream symptom.

Takes PaddleFormers' classes, by wrapping their methods. Every function may be called twice. Knows no
machine and no data.
"""

from __future__ import annotations

from typing import Any

# The layers that PaddleFormers adapts, each under the name of its part.
_TARGETS = [
    *(f"model.language_model.*{name}.*" for name in ("qkv_proj", "o_proj", "up_gate_proj", "down_proj")),
    *(f"model.visual.blocks.*{name}.*" for name in ("attn.qkv", "attn.proj")),
    *(f"model.visual.blocks.*{name}.*" for name in ("gate_proj", "up_proj", "down_proj")),
    r"model.visual.merger.mlp\.[02].*",
]


def apply() -> None:
    """Put in place what loading and saving need."""
    save_attention_biases_by_their_names()


def apply_for_training() -> None:
    """Put every mend of this file in place."""
    apply()
    keep_adapters_off_frozen_parts()


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


def keep_adapters_off_frozen_parts() -> None:
    """Let `freeze_config` take adapters away from the parts that it freezes.

    Symptom: with LoRA and `freeze_config: freeze_vision freeze_aligner` the vision tower and the merger get
    adapters and are trained all the same. PaddleFormers drops the targets that hold a frozen part's name
    (`model.visual`), and this family's are written without it (`.*attn.qkv.*`).
    """
    from paddleformers.cli.train.sft import workflow

    stock = workflow.get_lora_target_modules
    if getattr(stock, "_paddle_ground", False):
        return

    def get_lora_target_modules(model: Any) -> list[str]:
        return list(_TARGETS) if model.config.model_type == "qwen2_5_vl" else stock(model)

    get_lora_target_modules._paddle_ground = True  # type: ignore[attr-defined]
    workflow.get_lora_target_modules = get_lora_target_modules


def _renamed(rule: str) -> str:
    """Give `a.qkv_proj.bias -> a.q_proj.bias, ...` the names of the files behind its arrow."""
    source, arrow, targets = rule.partition("->")
    if not source.strip().endswith("qkv_proj.bias"):
        return rule
    prefix = source.strip().split("layers.", 1)[0]
    return source + arrow + targets.replace(f"{prefix}layers.", "model.layers.")
