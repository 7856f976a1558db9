"""Attention for the kernels that a CPU has: rotation, masks, grouped heads, FlashMask's row indices.

Takes and gives tensors; knows no layer. `cpu_kernels` puts it in place of the stock functions.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F

from paddle_ground.backend.cpu_gradients import RepeatedHeads, Rotation

_MASKED = -1e30


def rotate(x: paddle.Tensor, cos: paddle.Tensor, sin: paddle.Tensor) -> paddle.Tensor:
    """Rotate x, (heads..., rows, width), by the angles of each row; cos and sin hold rows * width numbers.

    The angles are repeated over the leading axes only: broadcasting in the middle is 15 times slower.
    """
    rotated: paddle.Tensor = Rotation.apply(x, cos, sin)
    return rotated


def attend(
    query: paddle.Tensor, key: paddle.Tensor, value: paddle.Tensor, bias: paddle.Tensor | None, scale: float
) -> paddle.Tensor:
    """Softmax attention, (..., L, D) with (..., S, D), to (..., L, D); `bias` is added to the scores."""
    scores = paddle.matmul(query * scale, key, transpose_y=True)
    if bias is not None:
        scores = scores + bias
    return paddle.matmul(F.softmax(scores, axis=-1), value)


def text_attention_interface(
    module: Any,
    query: paddle.Tensor,
    key: paddle.Tensor,
    value: paddle.Tensor,
    attention_mask: paddle.Tensor | None = None,
    attn_mask_startend_row_indices: paddle.Tensor | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[paddle.Tensor, None]:
    """Serve `sdpa` and `flashmask` on a CPU; the row indices are FlashMask's (arXiv 2410.01359).

    Args:
        module: The attention layer; its `is_causal` counts when `is_causal` is not given.
        query: (B, H, L, D).
        key: (B, K, S, D).
        value: (B, K, S, D).
        attention_mask: Additive (B, 1, L, S), or boolean with true = visible, or none.
        attn_mask_startend_row_indices: (B, 1, S) or (B, 1, S, 1 | 2 | 4), or none.
        dropout: Must be 0: the models trained here have none.
        scaling: Of the scores; 1 / sqrt(D) when not given.
        is_causal: Whether a row sees only columns up to its own.

    Returns:
        The output, (B, L, H * D), and none for the weights.
    """
    if dropout:
        raise NotImplementedError("attention dropout is not supported on a CPU; set attention_dropout: 0")
    length, source = int(query.shape[2]), int(key.shape[2])
    bias = attention_bias(module, attention_mask, attn_mask_startend_row_indices, length, source, is_causal)
    scale = scaling if scaling is not None else 1 / math.sqrt(int(query.shape[-1]))
    # Heads first, batch second: a bias of (B, L, S) or (L, S) then repeats over leading axes only.
    heads_first = [1, 0, 2, 3]
    out = grouped_attention(
        query.transpose(heads_first), key.transpose(heads_first), value.transpose(heads_first), bias, scale
    )
    return out, None


def grouped_attention(
    query: paddle.Tensor, key: paddle.Tensor, value: paddle.Tensor, bias: paddle.Tensor | None, scale: float
) -> paddle.Tensor:
    """Attend with (H, B, L, D) and (K, B, S, D), H a multiple of K; gives (B, L, H * D)."""
    heads, batch, length, width = query.shape
    groups = heads // int(key.shape[0])
    if groups > 1:
        key, value = RepeatedHeads.apply(key, groups), RepeatedHeads.apply(value, groups)
    out = attend(query, key, value, None if bias is None else _three_axes(bias), scale)
    return out.transpose([1, 2, 0, 3]).reshape([batch, length, heads * width])


def _three_axes(bias: paddle.Tensor) -> paddle.Tensor:
    """Drop the head axis of (B, 1, L, S)."""
    return bias.squeeze(1) if bias.ndim == 4 else bias


def attention_bias(
    module: Any,
    mask: paddle.Tensor | None,
    rows: paddle.Tensor | None,
    length: int,
    source: int,
    is_causal: bool | None,
) -> paddle.Tensor | None:
    """Give the additive bias that row indices, a mask or plain causality ask for, in that order."""
    if rows is not None:
        return _bias_from_rows(rows, length, source)
    if mask is not None:
        return _bias_from_mask(mask)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    return _causal_bias(length, source) if causal and length > 1 else None


def _bias_from_mask(mask: paddle.Tensor) -> paddle.Tensor:
    if mask.dtype == paddle.bool:
        return paddle.where(mask, paddle.zeros([1]), paddle.full([1], _MASKED))
    return mask.astype("float32")


# A few: layers and steps ask for the last lengths again, and one of 4,096 tokens takes 64 MB.
@functools.lru_cache(maxsize=8)
def _causal_bias(length: int, source: int) -> paddle.Tensor:
    visible = np.tril(np.ones((length, source), bool), source - length)
    return paddle.to_tensor(np.where(visible, 0, _MASKED).astype(np.float32))


class _RowBias:
    """The dense bias of the last row indices seen: all layers of a step ask for the same one."""

    rows: paddle.Tensor | None = None
    bias: paddle.Tensor | None = None


def _bias_from_rows(rows: paddle.Tensor, length: int, source: int) -> paddle.Tensor:
    if _RowBias.rows is rows and _RowBias.bias is not None:
        return _RowBias.bias
    bias = dense_bias(rows.numpy(), length, source)
    _RowBias.rows, _RowBias.bias = rows, bias
    return bias


def dense_bias(rows: np.ndarray[Any, Any], length: int, source: int) -> paddle.Tensor:
    """Turn FlashMask row indices into an additive bias.

    Args:
        rows: (B, 1, S) or (B, 1, S, n) integers. n 1: column j is hidden from row `r0` on, causal.
            n 2: hidden in rows r0..r1, causal. n 4: hidden in rows r0..r1 below and r2..r3 above.
        length: L, number of rows.
        source: S, number of columns.

    Returns:
        (L, S) when it is plainly causal for every sample, else (B, 1, L, S).
    """
    if rows.ndim == 3:
        rows = rows[..., None]
    if rows.shape[-1] == 1 and (rows >= length).all():
        return _causal_bias(length, source)
    i = np.arange(length)[None, None, :, None]
    bounds = [rows[..., k][:, :, None, :] for k in range(rows.shape[-1])]
    hidden = i >= bounds[0]
    if len(bounds) > 1:
        hidden &= i < bounds[1]
    if len(bounds) == 4:
        hidden |= (i >= bounds[2]) & (i < bounds[3])
    else:
        hidden = hidden | (np.arange(source)[None, None, None, :] > i)
    # A row that sees nothing (padding) must not be NaN: it sees itself, and nobody reads it.
    blind = hidden.all(-1)
    if blind.any():
        hidden = np.broadcast_to(hidden, (rows.shape[0], 1, length, source)).copy()
        b, _, r = np.nonzero(blind)
        hidden[b, 0, r, np.minimum(r, source - 1)] = False
    return paddle.to_tensor(np.where(hidden, _MASKED, 0).astype(np.float32))
