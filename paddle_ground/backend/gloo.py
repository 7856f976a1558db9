"""What Paddle lacks to run tensor parallelism and sharding on CPU processes that talk through gloo.

Takes Paddle's modules, by binding names in them; gives collectives and model-parallel operators that
compute the same numbers as those of a GPU. Applied on a CPU only, once a process. Knows no model.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import paddle
from paddle.autograd import PyLayer
from paddle.base import core
from paddle.distributed import ReduceOp
from paddle.distributed.communication.group import get_group
from paddle.distributed.communication.reduce import _get_reduce_op

from paddle_ground.backend import cpu_device, gloo_groups
from paddle_ground.backend.parallel_loss import cross_entropy

_ON_CALC_STREAM = "_on_calc_stream"


def apply() -> None:
    """Put every mend of this file in place, before any group is made. Calling it again changes nothing.

    Symptom of a run that the launcher was not told to be a CPU's: `AssertionError: Call
    paddle.distributed.init_parallel_env first`.
    """
    os.environ.setdefault("PADDLE_DISTRI_BACKEND", "gloo")
    gloo_groups.apply()
    gloo_groups.wait_for_each_other()
    cpu_device.apply()
    block_instead_of_streaming()
    scatter_sums()
    broadcast_cpu_inputs()
    serve_model_parallel_operators()


def block_instead_of_streaming() -> None:
    """Map each `*_on_calc_stream` method of a process group to its blocking twin.

    Symptom: `NotImplementedError: ProcessGroupGLOO does not support all_reduce with sync_op and
    use_calc_stream flag`, from every layer that is split over processes. A CPU has no streams.
    """
    owner = core.ProcessGroup
    for name in [name for name in dir(owner) if name.endswith(_ON_CALC_STREAM)]:
        twin = getattr(owner, name.removesuffix(_ON_CALC_STREAM), None)
        if twin is not None:
            setattr(owner, name, _blocking(twin, name))


def _blocking(twin: Callable[..., Any], name: str) -> Callable[..., Any]:
    def blocking(self: Any, *args: Any, **kwargs: Any) -> Any:
        return twin(self, *args, **kwargs, sync_op=True)

    blocking.__name__ = name
    return blocking


def scatter_sums() -> None:
    """Build `reduce_scatter_tensor` from an all-reduce of which each process keeps its part.

    Symptom: `NotImplementedError: ProcessGroupGLOO does not support reduce_scatter with sync_op flag`,
    under sequence parallelism and under `split_param: true`.
    """

    def reduce_scatter_tensor(
        self: Any, out: paddle.Tensor, tensor: paddle.Tensor, op: Any = None, sync_op: bool = True
    ) -> Any:
        whole = tensor.detach().clone()
        task = self.all_reduce(whole, _get_reduce_op(ReduceOp.SUM) if op is None else op, True)
        rows = int(whole.shape[0]) // self.size()
        first = self.rank() * rows
        paddle.assign(whole[first : first + rows], out)
        return task

    owner: Any = core.ProcessGroup
    owner.reduce_scatter_tensor = reduce_scatter_tensor
    owner.reduce_scatter_tensor_on_calc_stream = reduce_scatter_tensor


def broadcast_cpu_inputs() -> None:
    """Let the first process of a tensor-parallel group hand its batch to the others on a CPU too.

    Symptom: `AssertionError: Only support xpu, gpu and custom_device now, but this is cpu`, in the first
    forward pass.
    """
    from paddle.distributed.fleet.meta_parallel import tensor_parallel
    from paddle.distributed.fleet.utils import hybrid_parallel_util

    def broadcast_input_data(hcg: Any, *inputs: Any, **kwargs: Any) -> tuple[Any, Any]:
        # Tensors are overwritten in place, as Paddle's own function does.
        for values in (inputs, kwargs):
            if values:
                hybrid_parallel_util._broadcast_nested_data(hcg, "cpu", paddle.CPUPlace(), values)
        return inputs, kwargs

    for module in (hybrid_parallel_util, tensor_parallel):
        module.broadcast_input_data = broadcast_input_data


def serve_model_parallel_operators() -> None:
    """Compute the operators of split layers from collectives.

    Symptom: `RuntimeError: (Unavailable) Do not support c_identity for cpu kernel now`; likewise
    `c_concat`, `c_split` and `c_softmax_with_cross_entropy`.
    """
    from paddle.distributed.fleet.layers.mpu import mp_ops

    operators = paddle._C_ops
    operators.c_identity = _identity
    operators.c_concat = _concat
    operators.c_split = _split
    operators.c_softmax_with_cross_entropy = _softmax_with_cross_entropy
    # Its own backward pass gathers along the first axis what it has split along the last.
    mp_ops.c_split_eager = _Split


def _identity(x: paddle.Tensor, ring_id: int, use_calc_stream: bool, use_model_parallel: bool) -> Any:
    return paddle.assign(x)


def _concat(x: paddle.Tensor, rank: int, nranks: int, ring_id: int, *_: bool) -> Any:
    return _Concat.apply(x, get_group(ring_id), rank, nranks)


def _split(x: paddle.Tensor, rank: int, nranks: int, ring_id: int, *_: bool) -> Any:
    return _part(x, rank, nranks)


def _softmax_with_cross_entropy(
    logits: paddle.Tensor, label: paddle.Tensor, ignore_index: int, ring_id: int, rank: int, nranks: int
) -> Any:
    return cross_entropy(
        logits, label, ignore_index, functools.partial(all_reduce, group=get_group(ring_id)), rank
    )


def all_reduce(x: paddle.Tensor, op: int, group: Any) -> paddle.Tensor:
    """Reduce a tensor over a group's processes, in place, and give it."""
    group.process_group.all_reduce(x, _get_reduce_op(op), True)
    return x


def gather_last_axis(x: paddle.Tensor, group: Any) -> paddle.Tensor:
    """Join the processes' parts along the last axis: (..., n) of each to (..., n * processes)."""
    parts = paddle.empty([group.nranks * int(x.shape[0]), *x.shape[1:]], x.dtype)
    group.process_group.all_gather_into_tensor(parts, x.contiguous(), True)
    return paddle.concat(paddle.split(parts, group.nranks, axis=0), axis=-1)


def _part(x: paddle.Tensor, rank: int, nranks: int) -> paddle.Tensor:
    return paddle.split(x, nranks, axis=-1)[rank]


class _Concat(PyLayer):  # type: ignore[misc, unused-ignore]
    """Join parts along the last axis; backward keeps the process's own part."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, group: Any, rank: int, nranks: int) -> paddle.Tensor:
        ctx.place = rank, nranks
        return gather_last_axis(x, group)

    @staticmethod
    def backward(ctx: Any, grad: paddle.Tensor) -> paddle.Tensor:
        return _part(grad, *ctx.place)


class _Split(PyLayer):  # type: ignore[misc, unused-ignore]
    """Keep a part of the last axis; backward joins the parts."""

    @staticmethod
    def forward(ctx: Any, tensor: paddle.Tensor, group: Any, rank: int, nranks: int) -> paddle.Tensor:
        ctx.group = group
        return _part(tensor, rank, nranks)

    @staticmethod
    def backward(ctx: Any, grad: paddle.Tensor) -> paddle.Tensor:
        return gather_last_axis(grad, ctx.group)
