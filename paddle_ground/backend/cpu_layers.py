"""Forward passes on a CPU that the families' layers share: attention of text and of pictures, positions.

Takes PaddleFormers' layers as `self`, with what a family does in its own way as a function; gives what the
stock methods give. `cpu_kernels` and `qwen2_5_vl.kernels` put them in place. Knows no family.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

from paddle_ground.backend.cpu_attention import attend, attention_bias, grouped_attention, rotate
from paddle_ground.backend.positions import Grid, patch_places, rope_index

Turn = Callable[[Any, paddle.Tensor, paddle.Tensor, Any], tuple[paddle.Tensor, paddle.Tensor]]
"""Norms and rotates a layer's queries (K, G, B, L, D) and keys (K, 1, B, L, D) by its position embeddings."""


def grids(grid_thw: paddle.Tensor) -> list[Grid]:
    """Read the patches of each picture: frames, rows, columns."""
    return [(int(t), int(h), int(w)) for t, h, w in grid_thw.numpy().tolist()]


def rot_pos_emb(self: Any, grid_thw: paddle.Tensor) -> paddle.Tensor:
    """Give the rotary angles of every patch, (patches, head_dim / 2), from a table made once a grid."""
    places = np.concatenate([patch_places(grid, self.spatial_merge_size) for grid in grids(grid_thw)])
    row_column = paddle.to_tensor(places).astype("float32")
    return (row_column.unsqueeze(-1) * self.rotary_pos_emb.inv_freq).flatten(start_axis=1)


def text_attention(turn: Turn) -> Callable[..., tuple[paddle.Tensor, None]]:
    """Give the forward pass of a decoder's attention layer, heads first and without strided copies.

    Args:
        turn: What the family does with queries and keys.
    """

    def forward(
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
        if self.sequence_parallel:  # rows of all samples in one axis, and split over processes
            stock: tuple[paddle.Tensor, None] = self._stock_forward(
                hidden_states, attention_mask, position_ids, past_key_values, output_attentions, use_cache,
                position_embeddings, attn_mask_startend_row_indices, **kwargs,
            )  # fmt: skip
            return stock
        batch, length, _ = hidden_states.shape
        key_heads, groups, width = self.num_key_value_heads, self.num_key_value_groups, self.head_dim
        # Each key head's row of the fused projection holds its queries, its key and its value.
        mixed = self.qkv_proj(hidden_states).reshape([batch, length, key_heads, groups + 2, width])
        query, key, value = paddle.split(mixed.transpose([2, 3, 0, 1, 4]), [groups, 1, 1], axis=1)
        query, key = turn(self, query, key, position_embeddings)
        query = query.reshape([self.num_heads, batch, length, width])
        key, value = key.squeeze(1), value.squeeze(1)
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

    return forward


def attend_runs(
    self: Any, mixed: paddle.Tensor, cos: paddle.Tensor, sin: paddle.Tensor, runs: int
) -> paddle.Tensor:
    """Attend in so many runs of one length, windows or whole pictures.

    Args:
        self: A vision tower's attention layer.
        mixed: Its queries, keys and values, (patches, 3 * hidden).
        cos: Of each patch's angles.
        sin: The same.
        runs: How many of one length the patches make up.

    Returns:
        (patches, hidden).
    """
    heads, width = self.num_heads, self.head_dim
    mixed = mixed.reshape([-1, 3, heads, width]).transpose([1, 2, 0, 3])
    query_key, value = paddle.split(mixed, [2, 1], axis=0)
    by_run = [heads, runs, -1, width]
    query, key = (part.reshape(by_run) for part in rotate(query_key, cos, sin).unbind(0))
    out = attend(query, key, value.reshape(by_run), None, self.scaling)
    return out.transpose([1, 2, 0, 3]).reshape([-1, heads * width])


def rope_positions(
    self: Any,
    input_ids: paddle.Tensor,
    image_grid_thw: paddle.Tensor | None,
    attention_mask: paddle.Tensor | None,
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Give three-axis positions (3, B, L) and the offset of the next one (B, 1), computed in numpy."""
    positions, deltas = rope_index(
        input_ids.numpy(),
        [] if image_grid_thw is None else grids(image_grid_thw),
        None if attention_mask is None else attention_mask.numpy(),
        image_token_id=self.config.image_token_id,
        merge=self.config.vision_config.spatial_merge_size,
    )
    return paddle.to_tensor(positions), paddle.to_tensor(deltas)
