"""Cross entropy over a vocabulary that is split over processes.

Takes each process's part of the logits; gives every process the whole loss, and each its part of the
gradient. Three small reductions a call, and no process ever holds all logits (Megatron-LM,
arXiv 1909.08053, section 3). Knows neither gloo nor layers: it is given a function that reduces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle
from paddle.autograd import PyLayer
from paddle.distributed import ReduceOp

Reduce = Callable[[paddle.Tensor, int], paddle.Tensor]


def cross_entropy(
    logits: paddle.Tensor, label: paddle.Tensor, ignore_index: int, reduce: Reduce, rank: int
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Do what `_C_ops.c_softmax_with_cross_entropy` does on a GPU.

    Args:
        logits: (..., vocabulary / processes), float32; process `r` holds the r-th part.
        label: (..., 1) ids in the whole vocabulary, the same in every process.
        ignore_index: The label whose loss and gradient are 0.
        reduce: Reduces a tensor over the processes, in place, and gives it.
        rank: This process's place among them.

    Returns:
        The process's part of the softmax, and the loss, (..., 1). Only the loss has a gradient.
    """
    softmax, loss = _CrossEntropy.apply(logits, label, ignore_index, reduce, rank)
    return softmax, loss


class _CrossEntropy(PyLayer):  # type: ignore[misc, unused-ignore]
    @staticmethod
    def forward(
        ctx: Any,
        logits: paddle.Tensor,
        label: paddle.Tensor,
        ignore_index: int,
        reduce: Reduce,
        rank: int,
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """loss = log(sum(exp(logits - best))) - (logits[label] - best)."""
        width = int(logits.shape[-1])
        shifted = logits - reduce(logits.max(-1, keepdim=True), ReduceOp.MAX)
        softmax = shifted.exp()
        total = reduce(softmax.sum(-1, keepdim=True), ReduceOp.SUM)
        place = label - rank * width
        here = ((place >= 0) & (place < width)).astype(logits.dtype)
        place = place.clip(0, width - 1)
        target = reduce(paddle.take_along_axis(shifted, place, -1) * here, ReduceOp.SUM)
        counts = (label != ignore_index).astype(logits.dtype)
        softmax = softmax / total
        ctx.save_for_backward(softmax, place, here, counts)
        ctx.mark_non_differentiable(softmax)
        return softmax, (total.log() - target) * counts

    @staticmethod
    def backward(ctx: Any, _: Any, grad: paddle.Tensor) -> tuple[paddle.Tensor, None]:
        """The gradient of the logits is softmax less one at the label."""
        softmax, place, here, counts = ctx.saved_tensor()
        at_label = paddle.take_along_axis(softmax, place, -1) - here
        difference = paddle.put_along_axis(softmax, place, at_label, -1)
        return difference * (grad * counts), None
