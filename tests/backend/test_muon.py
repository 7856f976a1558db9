"""Muon: torch's numbers, a part at a time, and from a checkpoint on; train/test_resume.py trains with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from paddle_ground.backend import muon, natives  # noqa: E402
from paddle_ground.backend.loading import load_model  # noqa: E402
from paddle_ground.backend.register import prepare_process  # noqa: E402
from paddle_ground.backend.settings import muon_problem  # noqa: E402
from paddle_ground.backend.tiny import build_tiny_model  # noqa: E402
from paddle_ground.errors import ConfigError  # noqa: E402

GOLDEN = json.loads((Path(__file__).parents[1] / "assets" / "muon.json").read_text(encoding="utf-8"))


def weight_of(values: Any) -> Any:
    return paddle.create_parameter(
        list(np.shape(values)), "float32", default_initializer=paddle.nn.initializer.Assign(values)
    )


def optimizer_of(weights: dict[Any, int], **more: Any) -> Any:
    return muon.Muon(
        parameters=list(weights),
        muon_param_info_map={weight.name: parts for weight, parts in weights.items() if parts},
        **{**GOLDEN["settings"], **more},
    )


def step(optimizer: Any, weight: Any, gradient: Any) -> Any:
    (weight * paddle.to_tensor(gradient, dtype="float32")).sum().backward()
    optimizer.step()
    optimizer.clear_grad()
    return weight.numpy()


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: str(np.shape(case["before"])))
def test_steps_are_those_of_torch(case: dict[str, Any]) -> None:
    # torch keeps [outputs, inputs], Paddle [inputs, outputs].
    weight = weight_of(np.transpose(case["before"]))
    optimizer = optimizer_of({weight: 1})
    for gradient, after in zip(case["gradients"], case["after"], strict=True):
        found = step(optimizer, weight, np.transpose(gradient)).T
        np.testing.assert_allclose(found, after, atol=1e-5)
    assert np.abs(np.array(after) - case["before"]).max() > 1e-2


def test_matrices_that_stand_side_by_side_step_as_if_apart() -> None:
    rng = np.random.default_rng(0)
    values, gradient = rng.standard_normal((2, 8, 12)).astype(np.float32)
    whole = weight_of(values)
    step(optimizer_of({whole: 3}), whole, gradient)
    for part in range(3):
        cut = slice(4 * part, 4 * part + 4)
        alone = weight_of(values[:, cut])
        step(optimizer_of({alone: 1}), alone, gradient[:, cut])
        np.testing.assert_allclose(whole.numpy()[:, cut], alone.numpy(), atol=1e-6)


def test_what_muon_does_not_step_adamw_does() -> None:
    values, gradient = np.random.default_rng(1).standard_normal((2, 5, 7)).astype(np.float32)
    left, plain = weight_of(values), weight_of(values)
    rates = {"learning_rate": 0.01, "weight_decay": 0.1}
    optimizer, stock = optimizer_of({left: 0}, **rates), paddle.optimizer.AdamW(parameters=[plain], **rates)
    for _ in range(3):
        np.testing.assert_array_equal(step(optimizer, left, gradient), step(stock, plain, gradient))


def test_momentum_comes_back_from_a_checkpoint() -> None:
    rng = np.random.default_rng(2)
    values, *gradients = rng.standard_normal((4, 6, 6)).astype(np.float32)
    weight = weight_of(values)
    optimizer = optimizer_of({weight: 1})
    for gradient in gradients[:2]:
        step(optimizer, weight, gradient)
    # Paddle numbers the states of each optimizer anew; in one process the second ones would be called _1.
    saved = {
        name.removesuffix("_0") + "_1": value.clone()
        for name, value in optimizer.state_dict().items()
        if hasattr(value, "clone")
    }
    middle = weight.numpy()
    wanted = step(optimizer, weight, gradients[2])
    fresh = optimizer_of({weight: 1})
    fresh.set_state_dict(saved)
    weight.set_value(middle)
    np.testing.assert_array_equal(step(fresh, weight, gradients[2]), wanted)
    weight.set_value(middle)
    forgetful = step(optimizer_of({weight: 1}), weight, gradients[2])
    assert np.abs(forgetful - wanted).max() > 1e-3


def test_a_model_tells_its_matrices_and_their_heads(tmp_path: Path) -> None:
    model = load_model(build_tiny_model(tmp_path / "model", "test")).model
    names = {weight.name: name for name, weight in model.named_parameters()}
    text, vision = model.config.text_config, model.config.vision_config
    parts = muon.parts_of(model, ["embed", "bias", "lm_head"], "split_head", True)
    found = {names[name]: count for name, count in parts.items()}
    heads = text.num_attention_heads + 2 * text.num_key_value_heads
    for name, count in found.items():
        wanted = 1
        if "qkv" in name:
            wanted = 3 * vision.num_heads if "visual" in name else heads
        elif "up_gate" in name:
            wanted = 2
        assert count == wanted, name
    assert sum("qkv" in name for name in found) == text.num_hidden_layers + vision.depth
    assert not any("embed" in name or "norm" in name for name in found)
    assert set(muon.parts_of(model, ["embed"], "fused_qkv", False).values()) == {1}
    with pytest.raises(ConfigError, match="muon_qkv_update_mode: split_qkv is not known here"):
        muon.parts_of(model, [], "split_qkv", True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ns_coeff_type": "aol"}, "muon_ns_coeff_type: aol is not known here"),
        ({"muon_version": 4}, "muon_version: 4"),
    ],
)
def test_settings_that_are_not_known_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        optimizer_of({weight_of(np.eye(2)): 1}, **wrong)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"tensor_model_parallel_size": 2, "sharding": ""}, "tensor_model_parallel_size"),
        ({"sharding": "stage1"}, "sharding"),
        ({}, "sharding"),  # stage1 is PaddleFormers' default
        ({"sharding": "", "fine_tuning": "LoRA"}, "LoRA"),
    ],
)
def test_divided_weights_are_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"optim: muon needs whole matrices.*{named}"):
        prepare_process({"optim": "muon", "fine_tuning": "full", **wrong})


@pytest.mark.parametrize("degree", [None, -1, 1])
def test_whole_weights_are_not_refused(degree: int | None) -> None:
    values = {"optim": "muon", "fine_tuning": "full", "sharding": "", "tensor_model_parallel_size": degree}
    assert muon_problem(values) is None


STOCK = "import paddleformers.trainer.trainer; from paddle.optimizer import Muon"


def test_stock_paddle_has_no_muon() -> None:
    done = subprocess.run([sys.executable, "-c", STOCK], capture_output=True, text=True, check=False)
    assert "cannot import name 'Muon'" in done.stderr
    muon.define(natives.model_class("qwen3_vl"))
    assert paddle.optimizer.Muon is muon.Muon


ARGUMENTS = """
import sys
from paddleformers.trainer import TrainingArguments
from paddle_ground.backend import muon, natives
if sys.argv[2] == "mended":
    muon.define(natives.model_class("qwen3_vl"))
    muon.define(natives.model_class("qwen3_vl"))
args = TrainingArguments(
    output_dir=sys.argv[1], optim="muon", sharding="", device="cpu", amp_master_grad=False
)
print("optim", args.optim.value)
"""


@pytest.mark.parametrize("how", ["stock", "mended"])
def test_only_with_the_mend_one_process_may_train_with_muon(tmp_path: Path, how: str) -> None:
    command = [sys.executable, "-c", ARGUMENTS, str(tmp_path), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if how == "stock":
        assert "Muon optimizer only supports use_hybrid_parallel=True" in done.stderr
    else:
        assert done.returncode == 0, done.stderr[-2000:]
        assert "optim muon" in done.stdout
