"""LoRA: the strength, the rank and the layers that the YAML asks for, alike in one process and in parts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from paddle_ground.errors import ConfigError

pytest.importorskip("paddle")

sys.path.insert(0, str(Path(__file__).parent))
from parallel_runs import Runs, losses

from paddle_ground.backend import adapters

LORA = ("fine_tuning=lora", "lora=true", "lora_rank=4", "learning_rate=2.0e-2")
TWO_PARTS = "tensor_model_parallel_size=2"


@pytest.fixture
def workflow() -> Iterator[object]:
    """PaddleFormers' workflow, as it was when the test ends."""
    from paddleformers.cli.train.sft import workflow

    names = ("LoRAConfig", "LoRAModel", "get_lora_target_modules")
    before = {name: getattr(workflow, name) for name in names}
    yield workflow
    for name, value in before.items():
        setattr(workflow, name, value)


def alpha_of(args: dict[str, object]) -> int:
    """The strength that the workflow's own call ends with."""
    from paddleformers.cli.hparams import FinetuningArguments, ModelArguments
    from paddleformers.cli.train.sft import workflow

    seen = []

    class Adapted:
        def __init__(self, _: object, config: object) -> None:
            seen.append(config)

        def print_trainable_parameters(self) -> None: ...

    workflow.LoRAModel = Adapted
    workflow.get_lora_target_modules = lambda _: [".*q_proj.*"]
    model_args = ModelArguments(**{"lora": True, **{k: v for k, v in args.items() if v is not None}})
    training = FinetuningArguments.__new__(FinetuningArguments)
    training.sharding_parallel_size = training.tensor_model_parallel_size = 1
    training.freeze_config = ""
    workflow.create_peft_model(model_args, training, "float32", object())
    return int(seen[0].lora_alpha)


def test_stock_paddleformers_ignores_the_strength_and_ours_does_not(workflow: object) -> None:
    asked = {"lora_rank": 4, "lora_alpha": 3}
    assert alpha_of(asked) == 8, "mended upstream: the mend can go"
    adapters.use_the_asked_alpha(asked)
    assert alpha_of(asked) == 3
    adapters.use_the_asked_alpha({"lora_rank": 4})
    assert alpha_of({"lora_rank": 4}) == 8
    adapters.use_the_asked_alpha({"lora_rank": 4, "lora_alpha": -1})
    assert alpha_of({"lora_rank": 4}) == 8


def test_first_values_are_those_of_paddles_initialiser_in_law() -> None:
    """LoRA's `lora_A` starts Kaiming-uniform with a = sqrt(5)."""
    import paddle

    paddle.seed(1)
    start = paddle.nn.initializer.KaimingUniform(negative_slope=math.sqrt(5), nonlinearity="leaky_relu")
    layer = paddle.nn.Linear(4096, 8, weight_attr=start)
    theirs = layer.weight.numpy()
    ours = adapters.first_values("model.layers.0.q_proj", 23, 4096, 8)
    assert ours.shape == theirs.shape
    for found in (float(np.abs(ours).max()), float(np.abs(theirs).max())):
        assert found == pytest.approx(1 / 64, rel=1e-3)
    assert float(ours.std()) == pytest.approx(float(theirs.std()), rel=0.02)
    assert abs(float(ours.mean())) < 1e-3
    np.testing.assert_array_equal(ours, adapters.first_values("model.layers.0.q_proj", 23, 4096, 8))
    for other in (("model.layers.1.q_proj", 23), ("model.layers.0.q_proj", 24)):
        assert not np.array_equal(ours, adapters.first_values(*other, 4096, 8))


def test_layers_are_picked_by_the_last_part_of_their_names() -> None:
    patterns = [
        "model.language_model.*q_proj.*",
        "model.language_model.*v_proj.*",
        "model.visual.*attn.qkv.*",
    ]
    layers = [
        "model.language_model.layers.0.self_attn.q_proj", "model.language_model.layers.1.self_attn.v_proj",
        "model.language_model.norm", "model.visual.blocks.0.attn.qkv", "lm_head",
    ]  # fmt: skip
    assert adapters.layers_named(["v_proj", "qkv"], patterns, layers) == [layers[1], layers[3]]
    with pytest.raises(ConfigError, match=r"lm_head is no layer .* expected some of q_proj, qkv, v_proj"):
        adapters.layers_named(["q_proj", "lm_head"], patterns, layers)


def adapter(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    from safetensors.numpy import load_file

    found = {
        name: value
        for path in sorted(folder.glob("peft_model*.safetensors"))
        for name, value in load_file(path).items()
    }
    return found, json.loads((folder / "lora_config.json").read_text(encoding="utf-8"))


def test_fused_columns_are_put_in_a_whole_layers_order(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    whole = np.arange(24, dtype=np.float16).reshape(2, 12)  # Six columns of gate, six of up.
    gate, up = whole[:, :6], whole[:, 6:]
    parted = np.concatenate([gate[:, :3], up[:, :3], gate[:, 3:], up[:, 3:]], axis=1)
    other = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = tmp_path / "peft_model.safetensors"
    save_file({"layers.0.mlp.up_gate_proj.lora_B": parted, "layers.0.mlp.up_gate_proj.lora_A": other}, path)
    adapters.put_in_order(path, 2)
    found = load_file(path)
    np.testing.assert_array_equal(found["layers.0.mlp.up_gate_proj.lora_B"], whole)
    np.testing.assert_array_equal(found["layers.0.mlp.up_gate_proj.lora_A"], other)


@pytest.mark.heavy
def test_an_adapter_in_two_parts_learns_what_a_whole_one_learns(tmp_path: Path) -> None:
    """Upstream symptom: losses apart by up to 6e-3, since each part starts from numbers of its own."""
    runs = Runs(tmp_path)
    whole = runs("whole", *LORA, "lora_alpha=6")
    parted = runs("parted", *LORA, "lora_alpha=6", TWO_PARTS)
    np.testing.assert_allclose(losses(parted), losses(whole), rtol=0, atol=1e-5)
    (one, config), (two, _) = adapter(whole.output_dir), adapter(parted.output_dir)
    assert (config["r"], config["lora_alpha"]) == (4, 6)
    assert one.keys() == two.keys()
    for name, weight in one.items():
        np.testing.assert_allclose(two[name], weight, rtol=0, atol=2e-5, err_msg=name)
    assert {name.split(".")[-2] for name in one} >= {
        "qkv_proj",
        "up_gate_proj",
        "down_proj",
        "qkv",
        "linear_fc1",
    }

    # From the file that the two parts wrote, two parts and one process start alike.
    again = (*LORA, "lora_alpha=6", f"lora_path={parted.output_dir}")
    one_again, two_again = runs("one_again", *again, steps=3), runs("two_again", *again, TWO_PARTS, steps=3)
    np.testing.assert_allclose(losses(two_again), losses(one_again), rtol=0, atol=1e-5)
    assert losses(one_again)[0] < losses(whole)[0] - 0.1

    # Half the strength on fewer layers is another training.
    section = "grounding={image_max_pixels: 4096, lora_targets: [qkv_proj, o_proj]}"
    few = runs("few", *LORA, "lora_alpha=3", section)
    learned, config = adapter(few.output_dir)
    assert {name.split(".")[-2] for name in learned} == {"qkv_proj", "o_proj"}
    assert config["lora_alpha"] == 3
    assert losses(few)[0] == losses(whole)[0]
    assert np.abs(losses(few)[5:] - losses(whole)[5:]).max() > 1e-4
