"""Forward passes of PaddleFormers' Qwen2.5-VL, written for the kernels that a CPU has.

Takes PaddleFormers' own layers, by replacing their methods; `backend.cpu_kernels` puts them in place. Gives
the same numbers (tests compare outputs and gradients with the stock ones). Norms, MLPs and the masks of
text are shared with Qwen3-VL and stand in `cpu_kernels`, `cpu_layers` and `cpu_attention`.

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
from paddle_ground.backend.cpu_attention import rotate
from paddle_ground.backend.cpu_layers import attend_runs, grids, rope_positions, rot_pos_emb, text_attention
from paddle_ground.backend.qwen2_5_vl.windows import by_length, window_layout


def merger_forward(self: Any, x: paddle.Tensor) -> paddle.Tensor:
    """Join squares of patches to tokens: (patches, hidden) -> (tokens, width of the decoder)."""
    return self.mlp(self.ln_q(x).reshape([-1, self.hidden_size]))


def get_window_index(self: Any, grid_thw: paddle.Tensor) -> tuple[paddle.Tensor, list[int]]:
    """Give the tokens' order by windows, and where each window's patches end."""
    side = self.window_size // self.spatial_merge_size // self.patch_size
    layouts = [window_layout(grid, self.spatial_merge_size, side) for grid in grids(grid_thw)]
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
        return self.proj(attend_runs(self, mixed, cos, sin, len(lengths)))
    order, back, batches = by_length(lengths)
    at = paddle.to_tensor(order)
    sizes = [count * length for count, length in batches]
    parts = zip(*(paddle.gather(t, at).split(sizes) for t in (mixed, cos, sin)), strict=True)
    out = [attend_runs(self, m, c, s, count) for (m, c, s), (count, _) in zip(parts, batches, strict=True)]
    return self.proj(paddle.gather(paddle.concat(out), paddle.to_tensor(back)))


def _turn(
    self: Any, query: paddle.Tensor, key: paddle.Tensor, embeddings: Any
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Rotate queries and keys; no norms in this family."""
    cos, sin = _MixedAxes.of(embeddings, tuple(self.config.rope_parameters["mrope_section"]))
    return rotate(query, cos, sin), rotate(key, cos, sin)


text_attention_forward = text_attention(_turn)


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
    return rope_positions(self, input_ids, image_grid_thw, attention_mask)


PATCHES: tuple[tuple[Any, str, Any], ...] = (
    patch_embedding.QWEN2_5_VL,
    (modeling.Qwen2_5_VLPatchMerger, "forward", merger_forward),
    (modeling.Qwen2_5_VisionTransformerPretrainedModel, "rot_pos_emb", rot_pos_emb),
    (modeling.Qwen2_5_VisionTransformerPretrainedModel, "get_window_index", get_window_index),
    (modeling.Qwen2_5_VLVisionAttention, "forward", vision_attention_forward),
    (modeling.Qwen2_5_VLAttention, "forward", text_attention_forward),
    (modeling.Qwen2_5_VLModel, "get_rope_index", get_rope_index),
)
