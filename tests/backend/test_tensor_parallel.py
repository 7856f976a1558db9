"""Mends that a GPU needs too, where no second process is needed to see the symptom."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

paddle = pytest.importorskip("paddle")

from paddle.distributed.fleet.meta_optimizers.dygraph_optimizer.hybrid_parallel_optimizer import (  # noqa: E402
    HybridParallelOptimizer,
)
from paddleformers.trainer import Trainer  # noqa: E402
from paddleformers.trainer import trainer as trainer_module  # noqa: E402

from paddle_ground.backend import tensor_parallel  # noqa: E402


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A trainer in float32: its optimizer is a plain one, which fleet wraps."""
    plain = SimpleNamespace(_grad_clip=SimpleNamespace(_global_norm=lambda *_: None))
    wrapped = HybridParallelOptimizer.__new__(HybridParallelOptimizer)
    wrapped._inner_opt = plain
    monkeypatch.setattr(trainer_module.fleet, "distributed_optimizer", lambda _: wrapped)
    args = SimpleNamespace(use_expert_parallel=False, max_grad_norm=1.0, train_mtp_only=False)
    return SimpleNamespace(args=args, optimizer=plain, global_training_logs={})


def test_the_clipped_norm_is_noted_for_a_plain_optimizer(trainer: Any) -> None:
    """Upstream symptom: clipping in float32 under tensor parallelism ends in an AttributeError."""
    tensor_parallel.clip_gradients_in_full_precision()
    mended = Trainer._wrap_distributed_optimizer
    with pytest.raises(AttributeError, match="_inner_opt"):
        mended.__wrapped__(trainer, trainer.optimizer)
    plain = trainer.optimizer
    wrapped = mended(trainer, plain)
    assert trainer.optimizer is plain
    wrapped._inner_opt._grad_clip._global_norm(paddle.to_tensor(9.0), paddle.to_tensor(16.0))
    assert trainer.global_training_logs["global_norm"] == 5.0


def test_sharding_in_float32_keeps_parameters_whole_unless_told_otherwise() -> None:
    """Upstream symptom: `sharding: stage1` in float32 is refused, since `split_param` is true by default."""

    def filled(**args: Any) -> dict[str, Any]:
        tensor_parallel.keep_parameters_whole_in_full_precision(args)
        return args

    assert filled(sharding="stage1", amp_master_grad=False)["split_param"] is False
    assert filled(sharding="stage1", amp_master_grad=False, split_param=True)["split_param"] is True
    assert "split_param" not in filled(sharding="stage1", amp_master_grad=True)
    assert "split_param" not in filled(sharding="", amp_master_grad=False)
    # Stage 1 is PaddleFormers' default.
    assert filled(amp_master_grad=False)["split_param"] is False
