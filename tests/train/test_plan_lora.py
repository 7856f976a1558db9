"""LoRA's numbers, as `plan` counts them, against those that PaddleFormers really makes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.families import DEFAULT, family_of
from paddle_ground.train.config import load_config
from paddle_ground.train.plan.verdict import Machine, make_plan

pytest.importorskip("paddle")

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "tiny" / "demo.yaml"
RANK = 4


@pytest.fixture(scope="module", params=["test", "test_qwen2_5_vl"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model") / "m", request.param, ["find it"], 0)


def really_made(folder: Path, freeze: str, targets: tuple[str, ...], *, mended: bool = True) -> int:
    """Give the model the adapters that the training workflow gives it, and count their numbers."""
    from paddleformers.cli.hparams import FinetuningArguments, ModelArguments
    from paddleformers.cli.train.sft import workflow

    from paddle_ground.backend import adapters
    from paddle_ground.backend.loading import load_model

    names = ("LoRAConfig", "LoRAModel", "get_lora_target_modules", "get_multimodel_lora_target_modules")
    stock: dict[str, Any] = {name: getattr(workflow, name) for name in names}
    training = FinetuningArguments.__new__(FinetuningArguments)
    training.sharding_parallel_size = training.tensor_model_parallel_size = 1
    training.freeze_config = freeze
    args = ModelArguments(lora=True, lora_rank=RANK, model_name_or_path=str(folder))
    try:
        if mended:
            adapters.apply({}, targets)
        adapted = workflow.create_peft_model(args, training, "float32", load_model(folder).model)
        adapted.mark_only_lora_as_trainable()
    finally:
        for name, value in stock.items():
            setattr(workflow, name, value)
    return sum(math.prod(p.shape) for p in adapted.parameters() if not p.stop_gradient)


@pytest.mark.parametrize(
    ("freeze", "targets"),
    [("", ()), ("freeze_vision freeze_aligner", ()), ("", ("qkv_proj", "down_proj")), ("freeze_llm", ())],
)
def test_plan_counts_the_adapters_that_are_made(
    model: Path, tmp_path: Path, freeze: str, targets: tuple[str, ...]
) -> None:
    words = [
        f"model_name_or_path={model}", "train_dataset_path=", "fine_tuning=LoRA", "lora=true",
        f"lora_rank={RANK}", f"freeze_config={freeze}",
        f"grounding={{lora_targets: [{', '.join(targets)}]}}",
    ]  # fmt: skip
    assert make_plan(load_config(CONFIG, words), Machine(1)).trainable == really_made(model, freeze, targets)


def test_stock_paddleformers_freezes_nothing_of_the_second_familys_adapters(model: Path) -> None:
    everything, freezing = (really_made(model, freeze, (), mended=False) for freeze in ("", "freeze_vision"))
    if family_of(str(model)) is DEFAULT:
        assert freezing < everything
    else:
        assert freezing == everything, "mended upstream: the mend can go"
