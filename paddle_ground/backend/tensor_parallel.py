"""Mends of tensor parallelism and sharding in PaddleFormers 1.2 that a GPU needs as much as a CPU.

Takes PaddleFormers' classes, by wrapping their methods; gives a tensor-parallel run that clips gradients
and trains what one process would train. Every function may be called twice. Knows no machine and no data.
"""

from __future__ import annotations

import functools
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any

from paddle_ground.backend.settings import sharding_of


def apply(args: MutableMapping[str, Any]) -> None:
    """Put every mend of this file in place.

    Args:
        args: The YAML; what PaddleFormers' defaults contradict is filled in.
    """
    keep_parameters_whole_in_full_precision(args)
    clip_gradients_in_full_precision()
    sum_gradients_of_head_norms()
    sum_gradients_of_visual_levels()


def keep_parameters_whole_in_full_precision(args: MutableMapping[str, Any]) -> None:
    """Set `split_param: false` where gradients have no master copy and nothing else is asked for.

    Symptom: `sharding: stage1` in float32, which is also what several processes get that are asked for no
    sharding, ends in `AssertionError: Currently sharding stage1 v2 only support amp_master_grad`:
    `split_param` is true unless the YAML says otherwise.
    """
    if sharding_of(args) and args.get("amp_master_grad") is False:
        args.setdefault("split_param", False)


def clip_gradients_in_full_precision() -> None:
    """Let the trainer note the gradient norm where the optimizer is a plain one.

    Symptom: under tensor parallelism or sharding with float32 (`compute_type: float32`) and
    `max_grad_norm` above 0, `AttributeError: 'AdamW' object has no attribute '_inner_opt'`. The trainer
    hooks its note of the norm into `self.optimizer._inner_opt`, which only a mixed-precision optimizer has.
    The clipping itself is Paddle's `HybridParallelClipGrad`: it counts each part of a split parameter once,
    and a parameter that every process holds whole once in all.
    """
    from paddleformers.trainer import Trainer

    stock = Trainer._wrap_distributed_optimizer
    if getattr(stock, "_paddle_ground", False):
        return

    @functools.wraps(stock)
    def wrap_distributed_optimizer(self: Any, optimizer: Any) -> Any:
        plain = self.optimizer
        if hasattr(plain, "_inner_opt"):
            return stock(self, optimizer)
        self.optimizer = SimpleNamespace(_inner_opt=plain)
        try:
            return stock(self, optimizer)
        finally:
            self.optimizer = plain

    wrap_distributed_optimizer._paddle_ground = True  # type: ignore[attr-defined]
    Trainer._wrap_distributed_optimizer = wrap_distributed_optimizer


def sum_gradients_of_head_norms() -> None:
    """Add up the gradients of `q_norm` and `k_norm` over the processes that share the heads.

    Symptom: none that is printed. Each process norms its own heads only, and takes its share of the
    gradient for the whole: the processes' copies of these weights drift apart, the checkpoint keeps one
    of them, and the losses leave those of a run in one process by the second step.
    """
    from paddleformers.transformers.qwen3_vl.modeling import Qwen3VLTextAttention

    stock = Qwen3VLTextAttention.__init__
    if getattr(stock, "_paddle_ground", False):
        return

    @functools.wraps(stock)
    def init(self: Any, config: Any, *rest: Any, **kwargs: Any) -> None:
        stock(self, config, *rest, **kwargs)
        if config.tensor_model_parallel_size > 1:
            for norm in (self.q_norm, self.k_norm):
                norm.weight.register_hook(_sum_over_model_parallel_group)

    init._paddle_ground = True  # type: ignore[attr-defined]
    Qwen3VLTextAttention.__init__ = init


def sum_gradients_of_visual_levels() -> None:
    """Add up the gradients of the deepstack features over the processes that share a sequence.

    Symptom: none that is printed. Under `sequence_parallel` each process adds those features to its own
    rows only, and takes its share of their gradient for the whole: the copies of the vision tower drift
    apart, and the losses leave those of a run in one process by the third step.
    """
    from paddleformers.transformers.qwen3_vl.modeling import Qwen3VLTextModel

    stock = Qwen3VLTextModel._deepstack_process
    if getattr(stock, "_paddle_ground", False):
        return

    @functools.wraps(stock)
    def deepstack_process(self: Any, hidden_states: Any, visual_pos_masks: Any, visual_embeds: Any) -> Any:
        if self.config.sequence_parallel:
            from paddle.distributed import fleet
            from paddle.distributed.fleet.layers.mpu import mp_ops

            group = fleet.get_hybrid_communicate_group().get_model_parallel_group()
            visual_embeds = mp_ops._c_identity(visual_embeds, group=group)
        return stock(self, hidden_states, visual_pos_masks, visual_embeds)

    deepstack_process._paddle_ground = True  # type: ignore[attr-defined]
    Qwen3VLTextModel._deepstack_process = deepstack_process


def _sum_over_model_parallel_group(grad: Any) -> Any:
    import paddle
    from paddle.distributed import fleet

    group = fleet.get_hybrid_communicate_group().get_model_parallel_group()
    whole = grad.clone()
    paddle.distributed.all_reduce(whole, group=group)
    return whole
