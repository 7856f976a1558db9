"""Read further tokens with a model's language part: one function over the layers, keys and values kept.

Takes PaddleFormers' native model and, row by row, the tokens that follow what the row has read; gives
the hidden state after each row's last token. The weights are the model's own, not copies. Rows may
come, go, and read different numbers of tokens in one pass. Does not know: images (PaddleFormers'
forward pass reads prompts; `KeyValueCache.add` takes over what it kept), sampling, grammar. Families
differ in a layer's parts only, and `_Layer` takes each part as it finds it: biases, or norms of the heads.
Text after an image counts on alike on all three axes, so how a family mixes them makes no difference here.

The kernels are called through `paddle._C_ops`, below the Python wrappers, which cost as much as the
arithmetic at a few rows a pass. Tests hold it against PaddleFormers' own generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from numpy.typing import NDArray

from paddle_ground.backend.key_value_cache import Ints, KeyValueCache

_C_ops: Any = paddle._C_ops

_MASKED = -1e30


@dataclass(slots=True)
class _Pass:
    """What all layers of one pass share.

    Attributes:
        write_at: (tokens * key heads,) rows of the flat cache that the new keys go to.
        cos: (tokens, key heads, groups + 1, width); the queries' share holds the scaling too.
        sin: The same.
        bias: (rows * key heads, groups * longest, columns), added to the scores.
        spread: (rows * longest,) where each row's tokens stand among all; none if each row has one.
        gather: (tokens,) the inverse; none likewise.
    """

    write_at: Any
    cos: Any
    sin: Any
    bias: Any
    spread: Any = None
    gather: Any = None


class TextDecoder:
    """Runs a model's decoder layers over new tokens.

    Args:
        model: PaddleFormers' native model, in evaluation mode; whole, or this process's share of a
            tensor-parallel one, of which every process then reads the same tokens in step.

    Attributes:
        cache: What the rows have read so far.
    """

    def __init__(self, model: Any) -> None:
        text = model.model.language_model
        attention = text.layers[0].self_attn
        self.cache = KeyValueCache(int(attention.num_key_value_heads))
        self._text, self._embedding = text, text.embed_tokens.weight
        self._embed = _embedding(text.embed_tokens)
        self._layers = [_Layer(layer) for layer in text.layers]
        self._norm, self._epsilon = text.norm.weight, float(text.norm.variance_epsilon)
        self._key_heads, self._width = int(attention.num_key_value_heads), int(attention.head_dim)
        self._groups = int(attention.num_key_value_groups)
        self._scaling = float(attention.scaling)
        self._frequencies = text.rotary_emb.inv_freq.numpy().astype(np.float32)
        self._amplitude = float(text.rotary_emb.attention_scaling)
        self._half_turn = paddle.to_tensor(_half_turn(self._width)).astype(self._embedding.dtype)

    def read(self, chunks: Sequence[Sequence[int]], positions: Ints) -> Any:
        """Let each row of the cache read its next tokens.

        Args:
            chunks: The tokens, at least one a row; rows may differ in how many.
            positions: (rows,) position of each row's first new token; text counts on from there.

        Returns:
            (rows, 1, hidden): the normed hidden state after each row's last new token.
        """
        counts = np.array([len(chunk) for chunk in chunks], np.int64)
        self.cache.make_room(counts)
        shared = self._prepare(counts, positions)
        tokens = paddle.to_tensor(np.concatenate([np.asarray(chunk, np.int64) for chunk in chunks]))
        hidden = self._embed(tokens)
        for index, layer in enumerate(self._layers):
            hidden = self._layer(index, layer, hidden, shared)
        self.cache.used = self.cache.used + counts
        if shared.gather is not None:
            hidden = _C_ops.gather(hidden, paddle.to_tensor(np.cumsum(counts) - 1), 0)
        return _rms_norm(hidden, self._norm, self._epsilon).unsqueeze(1)

    def _prepare(self, counts: Ints, positions: Ints) -> _Pass:
        rows, longest, heads = len(counts), int(counts.max()), self._key_heads
        within = np.concatenate([np.arange(count) for count in counts])
        row = np.repeat(np.arange(rows), counts)
        column = self.cache.used[row] + within
        at = (row[:, None] * heads + np.arange(heads)) * self.cache.columns + column[:, None]
        angles = (positions[row] + within).astype(np.float32)[:, None] * self._frequencies
        angles = np.concatenate([angles, angles], axis=-1)
        shared = _Pass(
            write_at=paddle.to_tensor(at.reshape(-1)),
            cos=self._spread_angles(np.cos(angles)),
            sin=self._spread_angles(np.sin(angles)),
            bias=self._bias(longest),
        )
        if longest > 1:
            start = np.cumsum(counts) - counts
            inside = np.minimum(np.arange(longest), counts[:, None] - 1)
            shared.spread = paddle.to_tensor((start[:, None] + inside).reshape(-1))
            shared.gather = paddle.to_tensor(row * longest + within)
        return shared

    def _spread_angles(self, values: NDArray[np.float32]) -> Any:
        """Repeat (tokens, width) for every head, since broadcasting in the middle is slow on a CPU."""
        heads = np.full((self._groups + 1, 1), self._amplitude, np.float32)
        heads[:-1] *= self._scaling  # queries; the key is last
        shape = (len(values), self._key_heads, self._groups + 1, self._width)
        spread = np.broadcast_to((values[:, None, None, :] * heads), shape)
        return paddle.to_tensor(np.ascontiguousarray(spread)).astype(self._embedding.dtype)

    def _bias(self, longest: int) -> Any:
        columns = np.arange(self.cache.columns)
        last = self.cache.used[:, None] + np.arange(longest)
        hidden = (columns > last[..., None]) | (columns < self.cache.first[:, None, None])
        bias = np.where(hidden, np.float32(_MASKED), np.float32(0))  # (rows, longest, columns)
        rows = len(bias)
        shape = (rows, self._key_heads, longest, self._groups, self.cache.columns)
        spread = np.broadcast_to(bias[:, None, :, None, :], shape)
        flat = np.ascontiguousarray(spread).reshape(rows * self._key_heads, -1, self.cache.columns)
        return paddle.to_tensor(flat).astype(self._embedding.dtype)

    def _layer(self, index: int, layer: _Layer, hidden: Any, shared: _Pass) -> Any:
        normal = _rms_norm(hidden, layer.input_norm, layer.epsilon)
        hidden = _C_ops.add(hidden, layer.output(self._attend(index, layer, normal, shared)))
        normal = _rms_norm(hidden, layer.output_norm, layer.epsilon)
        gate, up = _C_ops.split_with_num(layer.gate_up(normal), 2, 1)
        return _C_ops.add(hidden, layer.down(_C_ops.multiply(_C_ops.silu(gate), up)))

    def _attend(self, index: int, layer: _Layer, normal: Any, shared: _Pass) -> Any:
        groups, heads, width = self._groups, self._key_heads, self._width
        # Each key head's row of the fused projection holds its queries, its key and its value.
        mixed = _C_ops.reshape(layer.mixed(normal), [-1, heads, groups + 2, width])
        pointed, value = _C_ops.split(mixed, [groups + 1, 1], 2)
        pointed = layer.norm_heads(pointed)
        turned = _C_ops.matmul(pointed, self._half_turn, False, False)
        pointed = _C_ops.add(_C_ops.multiply(pointed, shared.cos), _C_ops.multiply(turned, shared.sin))
        query, key = _C_ops.split(pointed, [groups, 1], 2)
        keys = self._write(self.cache.keys[index], key, shared)
        values = self._write(self.cache.values[index], value, shared)
        scores = _C_ops.matmul(self._by_row(query, shared), keys, False, True)
        weights = F.softmax(_C_ops.add(scores, shared.bias), axis=-1)
        return self._by_token(_C_ops.matmul(weights, values, False, False), shared)

    def _write(self, cache: Any, new: Any, shared: _Pass) -> Any:
        """Put new rows into a layer's cache, in place, and give the cache."""
        # reshape_ only renames the axes; reshape would copy the whole cache where views are off.
        shape = cache.shape
        flat = _C_ops.reshape_(cache, [-1, self._width])
        paddle.scatter_(flat, shared.write_at, _C_ops.reshape(new, [-1, self._width]))
        return _C_ops.reshape_(flat, shape)

    def _by_row(self, query: Any, shared: _Pass) -> Any:
        """Turn (tokens, key heads, groups, width) into (rows * key heads, longest * groups, width)."""
        if shared.spread is None:
            return _C_ops.reshape(query, [-1, self._groups, self._width])
        longest = int(shared.bias.shape[1]) // self._groups
        padded = _C_ops.gather(query, shared.spread, 0)
        shape = [-1, longest, self._key_heads, self._groups, self._width]
        ordered = _C_ops.transpose(_C_ops.reshape(padded, shape), [0, 2, 1, 3, 4])
        return _C_ops.reshape(ordered, [-1, longest * self._groups, self._width])

    def _by_token(self, out: Any, shared: _Pass) -> Any:
        """Turn (rows * key heads, longest * groups, width) into (tokens, heads * width)."""
        across = self._key_heads * self._groups * self._width
        if shared.gather is None:
            return _C_ops.reshape(out, [-1, across])
        longest = int(shared.bias.shape[1]) // self._groups
        by_head = _C_ops.reshape(out, [-1, self._key_heads, longest, self._groups, self._width])
        flat = _C_ops.reshape(_C_ops.transpose(by_head, [0, 2, 1, 3, 4]), [-1, across])
        return _C_ops.gather(flat, shared.gather, 0)


class _Layer:
    """One decoder layer's weights, by what they do."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.input_norm, self.output_norm = (
            layer.input_layernorm.weight,
            layer.post_attention_layernorm.weight,
        )
        self.epsilon = float(layer.input_layernorm.variance_epsilon)
        self.norm_heads = _head_norm(attention)
        self.mixed, self.output = _linear(attention.qkv_proj), _linear(attention.o_proj)
        self.gate_up, self.down = _linear(getattr(mlp, mlp.gate_up_proj_name)), _linear(mlp.down_proj)


def _embedding(layer: Any) -> Any:
    """Give a whole table as one kernel call; one that is split over processes as it is."""
    if type(layer) is not paddle.nn.Embedding:
        return layer
    weight = layer.weight
    return lambda tokens: _C_ops.gather(weight, tokens, 0)


def _head_norm(attention: Any) -> Any:
    """Give what queries and keys, (tokens, key heads, groups + 1, width), are normed with, if they are."""
    if not hasattr(attention, "q_norm"):
        return lambda pointed: pointed
    query, key = attention.q_norm.weight, attention.k_norm.weight
    weight = paddle.stack([*[query] * int(attention.num_key_value_groups), key])
    epsilon = float(attention.q_norm.variance_epsilon)
    return lambda pointed: _rms_norm(pointed, weight, epsilon)


def _linear(layer: Any) -> Any:
    """Give a plain projection as kernel calls; others (an adapter, say, or a split one) as they are."""
    if type(layer) is not paddle.nn.Linear:
        return layer
    weight, bias = layer.weight, layer.bias
    if bias is None:
        return lambda x: _C_ops.matmul(x, weight, False, False)
    return lambda x: _C_ops.add(_C_ops.matmul(x, weight, False, False), bias)


def _rms_norm(x: Any, weight: Any, epsilon: float) -> Any:
    """Normalise by the root mean square over the last axis, in float32 as PaddleFormers does."""
    dtype = x.dtype
    if dtype != paddle.float32:
        x, weight = x.astype("float32"), weight.astype("float32")
    square = _C_ops.mean(_C_ops.multiply(x, x), [-1], True)
    normal = _C_ops.multiply(x, _C_ops.rsqrt(_C_ops.scale(square, 1.0, epsilon, True)))
    out = _C_ops.multiply(normal, weight)
    return out if dtype == paddle.float32 else out.astype(dtype)


def _half_turn(width: int) -> NDArray[np.float32]:
    """Matrix R with `x @ R == rotate_half(x)`: (x1, x2) -> (-x2, x1)."""
    half = width // 2
    turn = np.zeros((width, width), np.float32)
    turn[np.arange(half) + half, np.arange(half)] = -1
    turn[np.arange(half), np.arange(half) + half] = 1
    return turn
