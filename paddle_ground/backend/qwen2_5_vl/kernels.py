"""Forward passes of PaddleFormers' Qwen2.5-VL, written for the kernels that a CPU has.

Takes PaddleFormers' own layers, by replacing their methods; `backend.cpu_kernels` puts them in place. Gives
the same numbers (tests compare outputs and gradients with the stock ones). Norms, MLPs and the masks of
text are shared with Qwen3-VL and stand in `cpu_kernels` and `cpu_attention`.

Upstream symptoms mended:
- The patch embedding is a Conv3D: see `backend.patch_embedding`.
- Windows are laid out with dozens of small operators an image, at every step.
- Vision attention calls the kernel once a window; windows of one length fit in one batch.
- The merger asks for a view, which has the wrong shape where strided views are off (`backend.contiguous`).
- The angles of the three axes are mixed again in every layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddleformers.transformers.qwen2_5_vl import modeling

from paddle_ground.backend import patch_embedding
from paddle_ground.backend.cpu_attention import attend, attention_bias, grouped_attention, rotate
from paddle_ground.backend.positions import Grid, rope_index
from paddle_ground.backend.qwen2_5_vl.windows import by_length, patch_places, window_layout


def merger_forward(self: Any, x: paddle.Tensor) -> paddle.Tensor:
    """Join squares of patches to tokens: (patches, hidden) -> (tokens, width of the decoder)."""
    return self.mlp(self.ln_q(x).reshape([-1, self.hidden_size]))


def rot_pos_emb(self: Any, grid_thw: paddle.Tensor) -> paddle.Tensor:
    """Give the rotary angles of every patch, (patches, head_dim / 2), from a table made once a grid."""
    places = np.concatenate([patch_places(grid, self.spatial_merge_size) for grid in _grids(grid_thw)])
    angles = paddle.to_tensor(places).astype("float32").unsqueeze(-1) * self.rotary_pos_emb.inv_freq
    return angles.flatten(start_axis=1)


def get_window_index(self: Any, grid_thw: paddle.Tensor) -> tuple[paddle.Tensor, list[int]]:
    """Give the tokens' order by windows, and where each window's patches end."""
    side = self.window_size // self.spatial_merge_size // self.patch_size
    layouts = [window_layout(grid, self.spatial_merge_size, side) for grid in _grids(grid_thw)]
    starts = np.cumsum([0, *(len(layout.order) for layout in layouts)])
    order = np.concatenate([layout.order + start for layout, start in zip(layouts, starts[:-1], strict=True)])
    lengths = [length for layout in layouts for length in layout.lengths]
    ends = np.cumsum([0, *lengths]) * self.spatial_merge_unit
    return paddle.to_tensor(order), ends.tolist()


def vision_attention_forward(
    self: Any,
    hidden_states: paddle.Tensor,
    cu_seqlens: paddle.Tensor,
    rotary_pos_emb: paddle.Tensor | None = None,
    position_embeddings: Any = None,
    **kwargs: Any,
) -> paddle.Tensor:
    """Attend run by run (windows, or whole images): (patches, hidden) in, the same out."""
    lengths = tuple(np.diff(cu_seqlens.numpy()).tolist())
    cos, sin = position_embeddings
    mixed = self.qkv(hidden_states)
    if len(set(lengths)) == 1:
        return self.proj(_runs(self, mixed, cos, sin, len(lengths)))
    order, back, batches = by_length(lengths)
    at = paddle.to_tensor(order)
    sizes = [count * length for count, length in batches]
    parts = zip(*(paddle.gather(t, at).split(sizes) for t in (mixed, cos, sin)), strict=True)
    out = [_runs(self, m, c, s, count) for (m, c, s), (count, _) in zip(parts, batches, strict=True)]
    return self.proj(paddle.gather(paddle.concat(out), paddle.to_tensor(back)))


def _runs(
    self: Any, mixed: paddle.Tensor, cos: paddle.Tensor, sin: paddle.Tensor, runs: int
) -> paddle.Tensor:
    """Attend in so many runs of one length; (patches, 3 * hidden) -> (patches, hidden)."""
    heads, width = self.num_heads, self.head_dim
    mixed = mixed.reshape([-1, 3, heads, width]).transpose([1, 2, 0, 3])
    query_key, value = paddle.split(mixed, [2, 1], axis=0)
    by_run = [heads, runs, -1, width]
    query, key = (part.reshape(by_run) for part in rotate(query_key, cos, sin).unbind(0))
    out = attend(query, key, value.reshape(by_run), None, self.scaling)
    return out.transpose([1, 2, 0, 3]).reshape([-1, heads * width])


def text_attention_forward(
    self: Any,
    hidden_states: paddle.Tensor,
    attention_mask: paddle.Tensor | None = None,
    position_ids: paddle.Tensor | None = None,
    past_key_values: Any = None,
    output_attentions: bool = False,
    use_cache: bool = False,
    position_embeddings: Any = None,
    attn_mask_startend_row_indices: paddle.Tensor | None = None,
    **kwargs: Any,
) -> tuple[paddle.Tensor, None]:
    """Do what `Qwen2_5_VLAttention.forward` does, heads first and without strided copies."""
    if self.sequence_parallel:  # rows of all samples in one axis, and split over processes
        stock: tuple[paddle.Tensor, None] = self._stock_forward(
            hidden_states, attention_mask, position_ids, past_key_values, output_attentions, use_cache,
            position_embeddings, attn_mask_startend_row_indices, **kwargs,
        )  # fmt: skip
        return stock
    batch, length, _ = hidden_states.shape
    groups, width = self.num_key_value_groups, self.head_dim
    # Each key head's row of the fused projection holds its queries, its key and its value.
    mixed = self.qkv_proj(hidden_states).reshape([batch, length, self.num_key_value_heads, groups + 2, width])
    query, key, value = paddle.split(mixed.transpose([2, 3, 0, 1, 4]), [groups, 1, 1], axis=1)
    cos, sin = _MixedAxes.of(position_embeddings, tuple(self.config.rope_parameters["mrope_section"]))
    query = rotate(query, cos, sin).reshape([self.num_heads, batch, length, width])
    key, value = rotate(key, cos, sin).squeeze(1), value.squeeze(1)
    if past_key_values is not None:
        batch_first = [1, 0, 2, 3]
        key, value = past_key_values.update(
            key.transpose(batch_first), value.transpose(batch_first), self.layer_idx
        )
        key, value = key.transpose(batch_first), value.transpose(batch_first)
    bias = attention_bias(
        self, attention_mask, attn_mask_startend_row_indices, length, int(key.shape[2]), None
    )
    return self.o_proj(grouped_attention(query, key, value, bias, self.scaling)), None


class _MixedAxes:
    """Cosines and sines of the last positions seen, mixed from three axes; a step's layers share them."""

    source: Any = None
    mixed: Any = None

    @classmethod
    def of(cls, embeddings: Any, section: tuple[int, ...]) -> Any:
        """Mix (3, B, L, width) to (B, L, width): sections of the width take turns among the axes."""
        if cls.source is None or cls.source[0] is not embeddings[0]:
            cls.mixed = tuple(_mix(part, section) for part in embeddings)
            cls.source = embeddings
        return cls.mixed


def _mix(values: paddle.Tensor, section: tuple[int, ...]) -> paddle.Tensor:
    ends = np.cumsum(section * 2)
    parts = [values[i % 3, ..., end - section[i % 3] : end] for i, end in enumerate(ends.tolist())]
    return paddle.concat(parts, axis=-1)


def get_rope_index(
    self: Any,
    input_ids: paddle.Tensor | None = None,
    image_grid_thw: paddle.Tensor | None = None,
    video_grid_thw: paddle.Tensor | None = None,
    second_per_grid_ts: paddle.Tensor | None = None,
    attention_mask: paddle.Tensor | None = None,
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Give three-axis positions (3, B, L) and the offset of the next one (B, 1), computed in numpy.

    Videos, and calls without ids, take the stock way.
    """
    if input_ids is None or video_grid_thw is not None:
        stock: tuple[paddle.Tensor, paddle.Tensor] = self._stock_get_rope_index(
            input_ids, image_grid_thw, video_grid_thw, second_per_grid_ts, attention_mask
        )
        return stock
    positions, deltas = rope_index(
        input_ids.numpy(),
        [] if image_grid_thw is None else _grids(image_grid_thw),
        None if attention_mask is None else attention_mask.numpy(),
        image_token_id=self.config.image_token_id,
        merge=self.config.vision_config.spatial_merge_size,
    )
    return paddle.to_tensor(positions), paddle.to_tensor(deltas)


def _grids(grid_thw: paddle.Tensor) -> list[Grid]:
    return [(int(t), int(h), int(w)) for t, h, w in grid_thw.numpy().tolist()]


PATCHES: tuple[tuple[Any, str, Any], ...] = (
    patch_embedding.QWEN2_5_VL,
    (modeling.Qwen2_5_VLPatchMerger, "forward", merger_forward),
    (modeling.Qwen2_5_VisionTransformerPretrainedModel, "rot_pos_emb", rot_pos_emb),
    (modeling.Qwen2_5_VisionTransformerPretrainedModel, "get_window_index", get_window_index),
    (modeling.Qwen2_5_VLVisionAttention, "forward", vision_attention_forward),
    (modeling.Qwen2_5_VLAttention, "forward", text_attention_forward),
    (modeling.Qwen2_5_VLModel, "get_rope_index", get_rope_index),
)
