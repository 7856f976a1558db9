"""Recomputation of the vision tower, mended.

Takes PaddleFormers' vision model, by replacing one method; gives one that is called with the arguments
that its caller passes. Knows no machine.
"""

from __future__ import annotations

from typing import Any


def accept_row_indices_in_vision_recompute() -> None:
    """Let the vision tower recompute its blocks.

    Symptom: with `recompute_granularity: full` and a vision tower that is trained, `TypeError:
    Qwen3VLVisionModel.recompute_training_full() got an unexpected keyword argument
    'attn_mask_startend_row_indices'`, in the first step. With a frozen tower nothing is recomputed there,
    which is why the published recipes don't show it.
    """
    from paddle.distributed.fleet.utils import recompute
    from paddleformers.transformers.qwen3_vl.modeling import Qwen3VLVisionModel

    def recompute_training_full(
        self: Any,
        layer_module: Any,
        hidden_states: Any,
        cu_seqlens: Any,
        rotary_pos_emb: Any = None,
        position_embeddings: Any = None,
        attn_mask_startend_row_indices: Any = None,
    ) -> Any:
        def block(*inputs: Any) -> Any:
            return layer_module(*inputs)

        return recompute(
            block,
            hidden_states,
            cu_seqlens,
            rotary_pos_emb,
            position_embeddings,
            attn_mask_startend_row_indices,
        )

    Qwen3VLVisionModel.recompute_training_full = recompute_training_full
