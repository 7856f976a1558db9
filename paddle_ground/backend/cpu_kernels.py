"""Forward passes of PaddleFormers' models, written for a CPU's kernels: Qwen3-VL, norms and MLPs of all.

Takes: PaddleFormers' own layers, by replacing their `forward`. Gives: the same numbers
(to float32 rounding; tests compare outputs and gradients with the stock ones), several
times faster. Does not know: data, training arguments, GPUs (nothing here is applied there).

Upstream symptoms mended:
- `RMSNorm` calls `fused_rms_norm_ext`, which has no CPU kernel, or `pow`, ten times slower than a product.
- The patch embedding is a Conv3D: see `patch_embedding`.
- Vision attention builds a dense mask over all patches of the batch; an image attends only to itself.
- Rotary embedding slices and concatenates along the last axis; a product with a constant matrix is faster.
- Positions and rotary angles of an image grid are computed with hundreds of small operators a step.
- Image features are scattered with boolean masks, and `masked_scatter` gathers number by number (its
  gradient took 29 ms of a step); flat indices do it in one `scatter`.
- Gradients of norms, gates, rotations and repeated heads: see `cpu_gradients`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddleformers.nn import mlp as pf_mlp
from paddleformers.nn import norm as pf_norm
from paddleformers.nn.attention.interface import ALL_ATTENTION_FUNCTIONS
from paddleformers.transformers.qwen3_vl import modeling as qwen3_vl

from paddle_ground.backend import patch_embedding
from paddle_ground.backend.cpu_attention import rotate, text_attention_interface
from paddle_ground.backend.cpu_gradients import GatedUnit, LayerNorm, RootMeanSquareNorm
from paddle_ground.backend.cpu_layers import attend_runs, grids, rope_positions, rot_pos_emb, text_attention
from paddle_ground.backend.positions import table_weights
from paddle_ground.backend.qwen2_5_vl import kernels as qwen2_5_vl


def rms_norm(x: paddle.Tensor, weight: paddle.Tensor, epsilon: float) -> paddle.Tensor:
    """Normalise by the root mean square over the last axis (arXiv 1910.07467)."""
    return RootMeanSquareNorm.apply(x.astype("float32"), weight.astype("float32"), epsilon).astype(
        weight.dtype
    )


def rms_norm_forward(self: Any, hidden_states: paddle.Tensor) -> paddle.Tensor:
    """Do what `RMSNorm.forward` does."""
    return rms_norm(hidden_states, self.weight, self.variance_epsilon)


def layer_norm_forward(self: Any, input: paddle.Tensor) -> paddle.Tensor:
    """Do what `paddle.nn.LayerNorm.forward` does; over the last axis with a gradient of our own."""
    plain = len(self._normalized_shape) == 1 and self.weight is not None and self.bias is not None
    if not plain or input.dtype != self.weight.dtype or not paddle.is_grad_enabled():
        stock: paddle.Tensor = self._stock_forward(input)
        return stock
    normal: paddle.Tensor = LayerNorm.apply(input, self.weight, self.bias, self._epsilon)
    return normal


def mlp_forward(self: Any, x: paddle.Tensor) -> paddle.Tensor:
    """Gate with `silu(gate) * up` on two halves, without the fused swiglu (slower on a CPU)."""
    if self.fuse_up_gate:
        gate, up = paddle.split(getattr(self, self.gate_up_proj_name)(x), 2, axis=-1)
    else:
        gate, up = self.gate_proj(x), self.up_proj(x)
    gated = GatedUnit.apply(gate, up) if self.act_type == "silu" else self.act_fn(gate) * up
    return self.down_proj(gated)


def _turn(
    self: Any, query: paddle.Tensor, key: paddle.Tensor, embeddings: Any
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Norm Qwen3-VL's queries and keys, and rotate them."""
    query = rms_norm(query, self.q_norm.weight, self.q_norm.variance_epsilon)
    key = rms_norm(key, self.k_norm.weight, self.k_norm.variance_epsilon)
    cos, sin = embeddings
    return rotate(query, cos, sin), rotate(key, cos, sin)


text_attention_forward = text_attention(_turn)


def vision_attention_forward(
    self: Any,
    hidden_states: paddle.Tensor,
    cu_seqlens: paddle.Tensor,
    rotary_pos_emb: paddle.Tensor | None = None,
    position_embeddings: Any = None,
    attn_mask_startend_row_indices: paddle.Tensor | None = None,
    **kwargs: Any,
) -> paddle.Tensor:
    """Attend image by image: (patches, hidden) in, the same out. Images of one size go as one batch."""
    patches = int(hidden_states.shape[0])
    lengths = np.diff(cu_seqlens.numpy()).tolist()
    cos, sin = position_embeddings
    mixed = self.qkv(hidden_states)
    if len(set(lengths)) == 1:
        out = attend_runs(self, mixed, cos, sin, len(lengths))
    else:
        parts = zip(*(t.split(lengths) for t in (mixed, cos, sin)), strict=True)
        out = paddle.concat([attend_runs(self, m, c, s, 1) for m, c, s in parts])
    return self.proj(out.reshape([patches, -1]))


def fast_pos_embed_interpolate(self: Any, grid_thw: paddle.Tensor) -> paddle.Tensor:
    """Interpolate the learned position table bilinearly to every grid; (patches, hidden)."""
    images, merge, side = grids(grid_thw), self.spatial_merge_size, self.num_grid_per_side
    # Same grid, same rows: one product for each distinct grid, then a gather.
    tables = {
        grid: paddle.matmul(paddle.to_tensor(table_weights(grid, merge, side)), self.pos_embed.weight)
        for grid in dict.fromkeys(images)
    }
    if len(tables) == 1:
        (table,) = tables.values()
        return table.tile([len(images), 1])
    return paddle.concat([tables[grid] for grid in images])


def deepstack_process(
    self: Any, hidden_states: paddle.Tensor, visual_pos_masks: paddle.Tensor, visual_embeds: paddle.Tensor
) -> paddle.Tensor:
    """Add one level of visual features at the image tokens, by flat index."""
    if self.config.sequence_parallel:
        stock: paddle.Tensor = self._stock__deepstack_process(hidden_states, visual_pos_masks, visual_embeds)
        return stock
    shape = hidden_states.shape
    index = _flat_index(visual_pos_masks)
    flat = hidden_states.reshape([-1, shape[-1]])
    added = paddle.zeros_like(flat).scatter(index, visual_embeds.astype(flat.dtype), overwrite=True)
    return (flat + added).reshape(shape)


def masked_scatter(
    self: paddle.Tensor, mask: paddle.Tensor, value: paddle.Tensor, name: str | None = None
) -> paddle.Tensor:
    """Do what `Tensor.masked_scatter` does; whole rows of (B, L, width), as images fill them, by index."""
    whole = mask.numpy() if self.ndim == 3 and mask.shape == self.shape else None
    if whole is None or not (whole == whole[..., :1]).all():
        stock: paddle.Tensor = self._stock_masked_scatter(mask, value, name)
        return stock
    rows = np.flatnonzero(whole[..., 0])
    flat, value = self.reshape([-1, self.shape[-1]]), value.reshape([-1, self.shape[-1]])
    if len(rows) > value.shape[0]:
        raise ValueError(f"{len(rows)} image tokens have {value.shape[0]} image features")
    return flat.scatter(paddle.to_tensor(rows), value[: len(rows)], overwrite=True).reshape(self.shape)


def _flat_index(mask: paddle.Tensor) -> paddle.Tensor:
    return paddle.to_tensor(np.flatnonzero(mask.numpy()))


def get_rope_index(
    self: Any,
    input_ids: paddle.Tensor | None = None,
    image_grid_thw: paddle.Tensor | None = None,
    video_grid_thw: paddle.Tensor | None = None,
    attention_mask: paddle.Tensor | None = None,
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Give three-axis positions (3, B, L) and the offset of the next one (B, 1), computed in numpy.

    Videos, and calls without ids, take the stock way.
    """
    if input_ids is None or video_grid_thw is not None:
        stock: tuple[paddle.Tensor, paddle.Tensor] = self._stock_get_rope_index(
            input_ids, image_grid_thw, video_grid_thw, attention_mask
        )
        return stock
    return rope_positions(self, input_ids, image_grid_thw, attention_mask)


PATCHES: tuple[tuple[Any, str, Any], ...] = (
    (pf_norm.RMSNorm, "forward", rms_norm_forward),
    (pf_mlp.MLP, "forward", mlp_forward),
    (paddle.nn.LayerNorm, "forward", layer_norm_forward),
    (paddle.Tensor, "masked_scatter", masked_scatter),
    patch_embedding.QWEN3_VL,
    (qwen3_vl.Qwen3VLVisionAttention, "forward", vision_attention_forward),
    (qwen3_vl.Qwen3VLVisionModel, "rot_pos_emb", rot_pos_emb),
    (qwen3_vl.Qwen3VLVisionModel, "fast_pos_embed_interpolate", fast_pos_embed_interpolate),
    (qwen3_vl.Qwen3VLTextAttention, "forward", text_attention_forward),
    (qwen3_vl.Qwen3VLTextModel, "_deepstack_process", deepstack_process),
    (qwen3_vl.Qwen3VLModelDeprecated, "get_rope_index", get_rope_index),
)


_STOCK_ATTENTION: dict[str, Any] = {}


def apply() -> None:
    """Put the CPU forward passes in place of the stock ones. Calling it again changes nothing."""
    for owner, name, mine in (*PATCHES, *qwen2_5_vl.PATCHES):
        stock = getattr(owner, name)
        if stock is not mine:
            setattr(owner, f"_stock_{name}", stock)
            setattr(owner, name, mine)
    served = ALL_ATTENTION_FUNCTIONS._global_mapping
    for name in ("sdpa", "flashmask"):
        _STOCK_ATTENTION.setdefault(name, served[name])
        served[name] = text_attention_interface


def restore() -> None:
    """Put the stock forward passes back; for tests that compare."""
    for owner, name, mine in (*PATCHES, *qwen2_5_vl.PATCHES):
        if getattr(owner, name) is mine:
            setattr(owner, name, getattr(owner, f"_stock_{name}"))
    ALL_ATTENTION_FUNCTIONS._global_mapping.update(_STOCK_ATTENTION)
