"""Steps of a layer whose derivative is written out, where Paddle's own is slow on a CPU.

Takes and gives tensors; knows no layer and no attention. `cpu_kernels` and `cpu_attention` build on it. Each
function gives Paddle's numbers and gradients to float32 rounding (tests compare both).

Upstream symptoms mended (milliseconds of one thread, shapes of an 11.6 M-parameter step with batch 16):
- The gradient of a product walks both factors with Eigen, seven times slower than the product itself
  (0.69, 0.10); rotating and gating take their gradients with products.
- The gradient of LayerNorm takes 1.9, of which products and sums of rows need 0.8. And it is wrong for x
  when the weight is frozen (Paddle 3.3.1, CPU): LoRA and freeze lists on the vision tower trained wrongly.
- The mean over the last axis takes 0.16; a matrix product with ones takes 0.03.
- The gradient of repeating key and value heads sums over a middle axis: 0.76, where one sum of two
  takes 0.06.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F


class RootMeanSquareNorm(paddle.autograd.PyLayer):  # type: ignore[misc, unused-ignore]
    """y = x / rms(x) * w over the last axis, with the derivative written out.

    Backward, with n = x / rms(x) and g = dy * w:  dx = (g - n * mean(g * n)) / rms(x),  dw = sum(dy * n).
    """

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, weight: paddle.Tensor, epsilon: float) -> paddle.Tensor:
        """Normalise (..., width) by its root mean square; `weight` is (width,)."""
        inverse = paddle.rsqrt(_row_mean(x * x) + epsilon)
        normal = x * inverse
        ctx.save_for_backward(normal, inverse, weight)
        ctx.learns = (not x.stop_gradient, not weight.stop_gradient)
        return normal * weight

    @staticmethod
    def backward(ctx: Any, grad: paddle.Tensor) -> tuple[paddle.Tensor | None, paddle.Tensor | None]:
        """Give the gradients of `x` and `weight`; Paddle wants None for one that is frozen."""
        normal, inverse, weight = ctx.saved_tensor()
        grad_x = grad_weight = None
        if ctx.learns[0]:
            scaled = grad * weight
            grad_x = (scaled - normal * _row_mean(scaled * normal)) * inverse
        if ctx.learns[1]:
            grad_weight = _sum_rows(grad * normal)
        return grad_x, grad_weight


class LayerNorm(paddle.autograd.PyLayer):  # type: ignore[misc, unused-ignore]
    """y = (x - mean) / deviation * w + b over the last axis: Paddle's kernel, and its derivative written out.

    Backward, with n = (x - mean) / deviation and g = dy * w:
    dx = (g - mean(g) - n * mean(g * n)) / deviation,  dw = sum(dy * n),  db = sum(dy).
    """

    @staticmethod
    def forward(
        ctx: Any, x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor, epsilon: float
    ) -> paddle.Tensor:
        """Normalise (..., width); `weight` and `bias` are (width,)."""
        ctx.save_for_backward(x, weight)
        ctx.learns = tuple(not tensor.stop_gradient for tensor in (x, weight, bias))
        ctx.epsilon = epsilon
        out: paddle.Tensor = paddle._C_ops.layer_norm(x, weight, bias, epsilon, x.ndim - 1)
        return out

    @staticmethod
    def backward(ctx: Any, grad: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        """Give the gradients of `x`, `weight` and `bias`; Paddle wants None for one that is frozen."""
        x, weight = ctx.saved_tensor()
        # The kernel keeps mean and deviation to itself; they cost less than what its own gradient does.
        normal = x.reshape([-1, x.shape[-1]])
        normal = normal - _row_mean(normal)
        inverse = paddle.rsqrt(_row_mean(normal * normal) + ctx.epsilon)
        normal = normal * inverse
        grad = grad.reshape(normal.shape)
        grad_x = grad_weight = grad_bias = None
        if ctx.learns[0]:
            scaled = grad * weight
            centered = scaled - normal * _row_mean(scaled * normal) - _row_mean(scaled)
            grad_x = (centered * inverse).reshape(x.shape)
        if ctx.learns[1]:
            grad_weight = _sum_rows(grad * normal)
        if ctx.learns[2]:
            grad_bias = _sum_rows(grad)
        return grad_x, grad_weight, grad_bias


class Rotation(paddle.autograd.PyLayer):  # type: ignore[misc, unused-ignore]
    """Rotary embedding: y = x * cos + (x R) * sin, so dx = dy * cos + (dy * sin) R'; angles learn nothing."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, cos: paddle.Tensor, sin: paddle.Tensor) -> paddle.Tensor:
        """Rotate x, (heads..., rows, width); cos and sin hold rows * width numbers."""
        cos, sin = cos.reshape([-1]), sin.reshape([-1])
        ctx.save_for_backward(cos, sin)
        flat = [-1, cos.shape[0]]
        turned = paddle.matmul(x, _half_turn(int(x.shape[-1])))
        return (x.reshape(flat) * cos + turned.reshape(flat) * sin).reshape(x.shape)

    @staticmethod
    def backward(ctx: Any, grad: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        """Turn the gradient back."""
        cos, sin = ctx.saved_tensor()
        flat = grad.reshape([-1, cos.shape[0]])
        turned = paddle.matmul(
            (flat * sin).reshape(grad.shape), _half_turn(int(grad.shape[-1])), transpose_y=True
        )
        return (flat * cos).reshape(grad.shape) + turned, None, None


class GatedUnit(paddle.autograd.PyLayer):  # type: ignore[misc, unused-ignore]
    """y = silu(gate) * up, silu(g) = g * s and s = sigmoid(g).

    Backward:  dgate = dy * up * (s + g * s * (1 - s)),  dup = dy * g * s.
    """

    @staticmethod
    def forward(ctx: Any, gate: paddle.Tensor, up: paddle.Tensor) -> paddle.Tensor:
        """Gate two tensors of one shape."""
        sigmoid = F.sigmoid(gate)
        active = gate * sigmoid
        ctx.save_for_backward(sigmoid, active, up)
        ctx.learns = (not gate.stop_gradient, not up.stop_gradient)
        return active * up

    @staticmethod
    def backward(ctx: Any, grad: paddle.Tensor) -> tuple[paddle.Tensor | None, paddle.Tensor | None]:
        """Give the gradients of `gate` and `up`; Paddle wants None for one that is frozen."""
        sigmoid, active, up = ctx.saved_tensor()
        grad_gate = grad * up * (sigmoid + active - active * sigmoid) if ctx.learns[0] else None
        return grad_gate, grad * active if ctx.learns[1] else None


class RepeatedHeads(paddle.autograd.PyLayer):  # type: ignore[misc, unused-ignore]
    """Each of K key heads as often as query heads share it; the gradients of the copies are added up."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, groups: int) -> paddle.Tensor:
        """Repeat (K, ...) to (K * groups, ...), copies beside each other."""
        ctx.groups = groups
        heads = int(x.shape[0])
        rest = [int(size) for size in x.shape[1:]]
        count = int(np.prod(rest))
        return x.reshape([heads, 1, count]).expand([heads, groups, count]).reshape([heads * groups, *rest])

    @staticmethod
    def backward(ctx: Any, grad: paddle.Tensor) -> paddle.Tensor:
        """Add up the copies."""
        heads = int(grad.shape[0]) // ctx.groups
        copies = grad.reshape([heads, ctx.groups, -1]).unbind(1)
        return functools.reduce(paddle.add, copies).reshape([heads, *grad.shape[1:]])


@functools.lru_cache(maxsize=8)
def _half_turn(width: int) -> paddle.Tensor:
    """Matrix R with `x @ R == rotate_half(x)`: (x1, x2) -> (-x2, x1)."""
    half = width // 2
    turn = np.zeros((width, width), np.float32)
    turn[np.arange(half) + half, np.arange(half)] = -1
    turn[np.arange(half), np.arange(half) + half] = 1
    return paddle.to_tensor(turn)


def _row_mean(x: paddle.Tensor) -> paddle.Tensor:
    """Give the mean over the last axis, (..., width) to (..., 1)."""
    width = int(x.shape[-1])
    return paddle.matmul(x, paddle.full([width, 1], 1 / width, dtype=x.dtype))


def _sum_rows(x: paddle.Tensor) -> paddle.Tensor:
    """Add up all rows: (..., width) to (width,). The sum kernel over a leading axis is ten times slower."""
    rows = x.reshape([-1, x.shape[-1]])
    return paddle.matmul(paddle.ones([1, rows.shape[0]], dtype=x.dtype), rows).reshape([-1])
