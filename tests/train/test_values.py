"""Values that a key cannot have, told before anything runs: PaddleFormers looks at them late or never."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paddle_ground.errors import ConfigError
from paddle_ground.train.config import known_types, load_config
from paddle_ground.train.lint import refuse
from paddle_ground.train.values import WORDS, value_problems

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").rglob("*.yaml"))
TWO = next(path for path in CONFIGS if path.stem == "2b_sft")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_shipped_configurations_have_none(path: Path) -> None:
    assert list(value_problems(load_config(path).values)) == []


WRONG = [
    # A word for a number, and where a number of another kind or in quotes stands.
    ("max_steps", "many", "is 'many'; expected a whole number"),
    ("max_steps", 2.5, "is 2.5; expected a whole number"),
    ("max_steps", True, "is True; expected a whole number"),
    ("save_total_limit", "all", "expected a whole number"),  # Optional[int]
    ("learning_rate", "0.001", "is '0.001'; expected a number"),
    ("learning_rate", "1e-5", "YAML reads 1e-5 as text; write 1.0e-5"),
    ("tensor_model_parallel_size", "two", "is 'two'; expected a whole number"),  # of the model's own keys
    # Any text is true to PaddleFormers.
    ("packing", "no", "is 'no'; expected true or false"),
    # Lists of data sets are one text there.
    ("train_dataset_path", ["a.jsonl", "b.jsonl"], "expected one text, several of them with commas between"),
    # Words that it does not know, and what it would do.
    ("fine_tuning", "lorra", "(did you mean lora?); PaddleFormers trains every weight, and says nothing"),
    ("freeze_config", "freeze_visoin freeze_llm", "'freeze_visoin' is unknown (did you mean freeze_vision?)"),
    ("recompute_granularity", "fulll", "PaddleFormers recomputes nothing"),
    ("sharding", "stage1 stage4", "'stage4' is unknown"),
    ("compute_type", "bfloat16", "expected bf16, fp16, float32"),
    ("evaluation_strategy", False, 'YAML reads no as false; write "no" with its quotes'),
    ("save_strategy", "often", "expected no, steps, epoch"),
    ("train_dataset_type", "messages,coco", "'coco' is unknown"),
    ("_attn_implementation", "flash_mask", "did you mean flashmask?"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "expected"), WRONG, ids=[f"{k}-{v}" for k, v, _ in WRONG])
def test_a_wrong_value_is_told_with_its_key(key: str, value: Any, expected: str) -> None:
    ((named, said),) = value_problems({key: value})
    assert named == key
    assert expected in said


RIGHT: list[tuple[str, Any]] = [
    ("max_steps", 3), ("max_steps", -1), ("max_steps", 100.0), ("learning_rate", 1), ("learning_rate", 1e-5),
    ("packing", False), ("packing", None), ("save_total_limit", None), ("sharding", ""), ("sharding", None),
    ("sharding", "stage2 offload"), ("fine_tuning", "LoRA"), ("fine_tuning", "Full"), ("dataset_type", "Map"),
    ("freeze_config", "freeze_vision | freeze_llm"), ("freeze_config", ""), ("eval_dataset_prob", 1.0),
    ("evaluation_strategy", "no"), ("resume_from_checkpoint", True), ("report_to", "visualdl"),
    ("report_to", ["visualdl"]), ("train_dataset_type", "messages, messages"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), RIGHT, ids=[f"{k}-{v}" for k, v in RIGHT])
def test_what_paddleformers_takes_is_left_alone(key: str, value: Any) -> None:
    assert list(value_problems({key: value})) == []


def test_all_of_them_are_told_at_once() -> None:
    config = load_config(TWO, ["fine_tuning=lorra", "max_steps=many", "template_backend=jinja"])
    with pytest.raises(ConfigError, match=r"`fine_tuning`.*`max_steps`.*`template_backend`") as caught:
        refuse(config)
    assert "\n" not in str(caught.value)


def test_words_are_those_of_paddleformers_own_lists() -> None:
    pytest.importorskip("paddle")
    from paddleformers.cli.utils.mllm_utils import _ALL_MODULES
    from paddleformers.nn.attention.interface import ALL_ATTENTION_FUNCTIONS
    from paddleformers.trainer import trainer_utils

    assert WORDS.keys() <= known_types().keys()
    enums = {
        "evaluation_strategy": trainer_utils.IntervalStrategy, "optim": trainer_utils.OptimizerNames,
        "lr_scheduler_type": trainer_utils.SchedulerType, "sharding": trainer_utils.ShardingOption,
    }  # fmt: skip
    for key, enum in enums.items():
        assert set(WORDS[key].known) == {word.value for word in enum}
    assert set(WORDS["_attn_implementation"].known) == set(ALL_ATTENTION_FUNCTIONS._global_mapping)
    assert set(WORDS["freeze_config"].known) == {f"freeze_{name}" for name in _ALL_MODULES}


def test_stock_paddleformers_takes_wrong_values_in_silence() -> None:
    """The upstream symptom: without our look at them, these three come through its parser as they are."""
    pytest.importorskip("paddle")
    from paddleformers.cli.hparams.parser import _TRAIN_ARGS
    from paddleformers.trainer import PdArgumentParser

    wrong = {"packing": "no", "freeze_config": "freeze_visoin", "fine_tuning": "lorra"}
    model, data, _, _, training = PdArgumentParser(_TRAIN_ARGS).parse_dict(
        {"output_dir": "runs/none", **wrong}
    )
    assert data.packing == "no"
    assert training.freeze_config == "freeze_visoin"
    assert model.lora is False
