"""One training step of a stock model, with our kernels or without, for the tests that compare them."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle


def comparable(model: Any) -> Any:
    """Let a stock model compute what a CPU can, and what row indices mean."""
    for layer in model.sublayers(include_self=True):
        config = getattr(layer, "config", None)
        if config is not None:
            config.fuse_rms_norm = False  # stock's other way; the fused kernel does not exist on a CPU
            config._attn_implementation = "eager"  # stock sdpa ignores row indices
    model.train()
    return model


def run(model: Any, batch: dict[str, Any]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Give the logits where `mask` is 1, and every gradient by its parameter's name."""
    inputs = {k: v for k, v in batch.items() if k != "mask"}
    places, _ = model.model.get_rope_index(
        inputs["input_ids"], inputs["image_grid_thw"], attention_mask=paddle.to_tensor(batch["mask"])
    )
    out = model(position_ids=places, **inputs)
    out.loss.backward()
    grads = {name: p.grad.numpy().copy() for name, p in model.named_parameters() if p.grad is not None}
    model.clear_gradients(set_to_zero=False)
    return out.logits.numpy()[batch["mask"] == 1], grads


def worst(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Give the largest difference, as a part of the largest number."""
    return float(np.abs(mine - theirs).max() / max(np.abs(theirs).max(), 1e-6))
