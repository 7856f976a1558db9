"""Plans of YAMLs: verdicts that hold, data that is measured, contradictions that are named."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.cli import app
from paddle_ground.data.check import CheckOptions, check
from paddle_ground.errors import ConfigError, ModelError
from paddle_ground.records import Message, Sample, write_samples
from paddle_ground.train.config import load_config
from paddle_ground.train.lint import lint, refuse
from paddle_ground.train.plan.data_lengths import measure_lengths
from paddle_ground.train.plan.memory import GIB
from paddle_ground.train.plan.report import overrides_text, render
from paddle_ground.train.plan.verdict import Machine, make_plan

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").glob("qwen*/*.yaml"))
TWO, EIGHT = (ROOT / "configs" / "qwen3_vl" / name for name in ("2b_sft.yaml", "8b_sft_tp4.yaml"))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    found = []
    for i in range(12):
        Image.fromarray(np.zeros((64 + 32 * i, 96, 3), np.uint8)).save(folder / f"{i}.png")
        turns = (Message("user", "<image>Where is it?"), Message("assistant", "none " * (i + 1)))
        found.append(Sample(turns, (f"{i}.png",)))
    write_samples(folder / "train.jsonl", found)
    return folder / "train.jsonl"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model") / "m", "test", ["Where is it? none"], 0)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_recipes_fit_the_machine_they_name(path: Path) -> None:
    plan = make_plan(load_config(path), Machine())
    assert plan.fits
    assert plan.findings == ()
    assert "It fits" in render(plan)
    assert plan.time.steps == 600


@pytest.mark.parametrize(
    ("path", "words", "machine"),
    [
        (TWO, ["recompute_granularity=none"], Machine(1, 48)),
        (TWO, ["per_device_train_batch_size=16"], Machine(8, 80)),
        (EIGHT, ["tensor_model_parallel_size=1", "recompute_granularity=none"], Machine(8, 80)),
        (EIGHT, ["_attn_implementation=eager", "recompute_granularity=none"], Machine(8, 80)),
        (EIGHT, [], Machine(8, 16)),
    ],
)  # fmt: skip
def test_every_change_that_is_offered_fits_when_it_is_made(
    path: Path, words: list[str], machine: Machine
) -> None:
    plan = make_plan(load_config(path, words), machine)
    assert not plan.fits
    assert plan.changes
    for change in plan.changes:
        again = make_plan(load_config(path, [*words, *overrides_text(change).split()]), machine)
        assert again.fits, change.what
        assert again.memory.total == change.peak
        assert not [finding for finding in again.findings if finding.is_error]


def test_the_cheapest_change_comes_first() -> None:
    words = ["tensor_model_parallel_size=1", "recompute_granularity=none"]
    plan = make_plan(load_config(EIGHT, words), Machine(8, 80))
    names = [change.what.split()[0] for change in plan.changes]
    assert names[0] == "recompute"
    assert names.index("tensor") < names.index("rows")


def test_each_kind_of_change_is_offered_in_its_place() -> None:
    """First what costs only communication, then what learns something else, then what leaves samples out."""
    plan = make_plan(load_config(TWO, ["sharding="]), Machine(8, 40))
    kinds = list(dict.fromkeys(change.what.split()[0] for change in plan.changes))
    assert kinds == ["sharding", "tensor", "LoRA", "rows"]
    peaks = [change.peak for change in plan.changes if change.what.startswith("sharding")]
    assert peaks == sorted(peaks, reverse=True)


def test_the_longest_rows_that_fit_are_offered_however_long_they_were_asked_for() -> None:
    plan = make_plan(load_config(TWO, ["max_seq_len=2000000000"]), Machine(1, 48))
    (rows,) = [change for change in plan.changes if change.what.startswith("rows")]
    longest = rows.overrides["max_seq_len"]
    assert make_plan(load_config(TWO, [f"max_seq_len={longest}"]), Machine(1, 48)).fits
    assert not make_plan(load_config(TWO, [f"max_seq_len={longest + 256}"]), Machine(1, 48)).fits


def test_what_nothing_makes_fit_is_said() -> None:
    plan = make_plan(load_config(EIGHT), Machine(1, 4))
    assert (plan.fits, plan.changes) == (False, ())
    assert "No change" in render(plan)


def test_hours_by_hand() -> None:
    plan = make_plan(load_config(TWO), Machine(8, 80, utilisation=0.5, peak_tflops=1000))
    weights = 2048 * 2048 * 2 + 2 * 2048 * 1024 + 3 * 2048 * 6144
    attention = 4 * 28 * 2048 * 8192
    # Forward, twice that backward, and the layers once more; the head three times.
    token = 4 * (2 * 28 * weights + attention) + 6 * 151_936 * 2048
    tokens = 16 * 8 * 8192
    assert plan.time.tokens_a_step == tokens
    # The frozen tower: 4 patches a visual token through 24 blocks and the patch embedding, 4 mergers behind.
    blocks = 24 * (4 * 1024 * 1024 + 2 * 1024 * 4096) + 1536 * 1024
    visual = 4 * (2 * blocks + 4 * 24 * 1024 * 2304) + 2 * 4 * (4096 * 4096 + 4096 * 2048)
    # Without data four tokens of five are taken to be visual.
    assert plan.time.flops_a_step == pytest.approx(tokens * (token + 0.8 * visual), rel=1e-9)
    assert plan.time.hours == pytest.approx(600 * plan.time.flops_a_step / (8 * 5e14) / 3600)


def test_lengths_are_those_that_check_counts(samples: Path, model: Path) -> None:
    found = measure_lengths([samples], str(model), 8192, None)
    expected = check(samples, CheckOptions(model)).numbers.lengths
    assert found.measured
    assert found.samples == 12
    assert found.lengths.tolist() == expected.tolist()
    assert 0 < found.image_share() < 1


def test_lengths_without_a_tokenizer_are_called_an_estimate(samples: Path) -> None:
    found = measure_lengths([samples], "Qwen/Qwen3-VL-2B-Instruct", 8192, None)
    assert not found.measured
    assert "estimate" in found.how
    # 96 x 416 pixels at least: 3 x 13 tokens, raised to the processor's least area of 64 tokens.
    assert found.image_tokens.min() >= 64


def test_rows_that_skip_samples_are_warned_of(samples: Path, model: Path) -> None:
    words = [f"train_dataset_path={samples}", f"model_name_or_path={model}", "max_seq_len=40"]
    plan = make_plan(load_config(TWO, words), Machine(1))
    assert [finding.key for finding in plan.findings] == ["max_seq_len"]
    assert "99th percentile" in plan.findings[0].message


def test_epochs_make_steps(samples: Path, model: Path) -> None:
    words = [
        f"train_dataset_path={samples}", f"model_name_or_path={model}", "max_steps=-1", "packing=false",
        "gradient_accumulation_steps=2", "num_train_epochs=3",
    ]  # fmt: skip
    plan = make_plan(load_config(TWO, words), Machine(2))
    assert plan.time.steps == 9  # 12 samples, 4 a step, three times


CONTRADICTIONS = [
    ("template_backend=jinja", "template_backend", True),
    ("use_attn_mask_startend_row_indices=false", "use_attn_mask_startend_row_indices", True),
    ("template=qwen3_vl", "template", False),
    ("model_name_or_path=Qwen/Qwen3-VL-2B-Thinking", "template", False),
    ("lora_alpha=0", "lora_alpha", True),
    ("train_dataset_path=a.jsonl,b.jsonl", "train_dataset_prob", True),
    ("eval_dataset_path=", "eval_dataset_path", True),
    ("tensor_model_parallel_size=3", "tensor_model_parallel_size", True),
    ("optim=muon", "optim", True),
    ("bf16=false", "bf16", False),
    ("compute_type=float32", "amp_master_grad", True),
    ("recompute_num_layers=2", "recompute_granularity", False),
    ("lora=true", "lora", False),
]


@pytest.mark.parametrize(("word", "key", "is_error"), CONTRADICTIONS, ids=[c[0] for c in CONTRADICTIONS])
def test_a_contradiction_is_named_by_its_key(word: str, key: str, is_error: bool) -> None:
    found = {finding.key: finding.is_error for finding in lint(load_config(TWO, [word]))}
    assert found.get(key) is is_error
    assert lint(load_config(TWO)) == ()


def test_a_strength_that_paddleformers_would_ignore_is_told() -> None:
    assert lint(load_config(TWO, ["lora_alpha=64"])) == ()
    (finding,) = lint(load_config(TWO, ["lora_alpha=64", "custom_register_path="]))
    assert (finding.key, finding.is_error) == ("lora_alpha", False)
    assert "is ignored by PaddleFormers (it uses 2 x lora_rank" in finding.message


def test_what_learns_is_told_where_two_keys_say_it() -> None:
    for words, learns in (
        (["lora=true"], "`fine_tuning: full`: every weight learns"),
        (["lora=false", "fine_tuning=LoRA"], "`fine_tuning: LoRA`: adapters alone learn"),
    ):
        (finding,) = lint(load_config(TWO, words))
        assert learns in finding.message
    assert lint(load_config(TWO, ["lora=true", "fine_tuning=LoRA"])) == ()


def test_packed_samples_beside_jinja_are_named_in_one_finding() -> None:
    for packs in (True, False):
        words = ["template_backend=jinja", f"packing={str(packs).lower()}"]
        (finding,) = lint(load_config(TWO, words))
        assert ("`packing: true` joins such samples" in finding.message) is packs


def test_half_precision_on_a_cpu_is_told() -> None:
    words = ["device=cpu", "compute_type=bf16", "fp16_opt_level=O2"]
    assert [(f.key, f.is_error) for f in lint(load_config(TWO, words))] == [("fp16_opt_level", True)]
    (found,) = lint(load_config(TWO, [*words, "fp16_opt_level=O1"]))
    assert (found.key, found.is_error) == ("compute_type", False)


@pytest.mark.parametrize(
    ("word", "right"),
    [("min_lr=1e-5", "1.0e-5"), ("learning_rate=-8E4", "-8.0E+4"), ("learning_rate=2.5e4", "2.5e+4")],
)
def test_a_number_that_yaml_takes_for_text_is_an_error(word: str, right: str) -> None:
    config = load_config(TWO, [word])
    key, _, text = word.partition("=")
    assert config.values[key] == text  # So PyYAML reads it; PaddleFormers dies when it divides by it.
    (finding,) = lint(config)
    assert finding.is_error
    assert str(finding) == f"`{key}`: YAML reads {text} as text; write {right}"
    assert lint(load_config(TWO, [f"{key}={right}"])) == ()


SEVEN = ROOT / "configs" / "qwen2_5_vl" / "7b_sft_tp4.yaml"


def test_a_template_of_another_family_is_an_error() -> None:
    (finding,) = lint(load_config(SEVEN, ["template=qwen3_vl_nothink"]))
    assert finding.is_error
    assert "not what Qwen2.5-VL was trained with; use qwen2_vl for Qwen2.5-VL-7B-Instruct" in str(finding)
    assert [f.key for f in lint(load_config(TWO, ["template=qwen2_vl"]))] == ["template"]
    # A name that tells no family can't contradict a template.
    assert lint(load_config(TWO, ["model_name_or_path=mine", "template=qwen2_vl"])) == ()


def test_key_heads_are_those_of_the_model_that_is_named() -> None:
    assert lint(load_config(SEVEN, ["tensor_model_parallel_size=2"])) == ()
    (finding,) = lint(load_config(SEVEN, ["tensor_model_parallel_size=8"]))
    assert "8 does not divide the model's 4 key heads" in str(finding)
    three = load_config(SEVEN, ["model_name_or_path=Qwen/Qwen2.5-VL-3B-Instruct"])
    assert "4 does not divide the model's 2 key heads" in str(lint(three)[0])


def test_stage_three_beside_tensor_parallelism_is_refused() -> None:
    assert [f.key for f in lint(load_config(EIGHT, ["sharding=stage3"]))] == ["sharding"]


def test_all_errors_are_told_at_once() -> None:
    words = ["template_backend=jinja", "eval_dataset_path=", "lora_alpha=3"]
    with pytest.raises(ConfigError, match=r"`template_backend`.*`eval_dataset_path`") as caught:
        refuse(load_config(TWO, words))
    assert "lora_alpha" not in str(caught.value)


def test_a_model_that_is_nowhere_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no config\.json there"):
        make_plan(load_config(TWO, ["model_name_or_path=nobody/nothing"]), Machine())


def test_gpus_that_cannot_be_parted_are_refused() -> None:
    with pytest.raises(ConfigError, match="6 GPUs cannot be parted into groups of 4"):
        make_plan(load_config(EIGHT), Machine(6))


@pytest.mark.parametrize(
    "wrong", [{"gpu_memory": 0}, {"gpu_memory": math.inf}, {"reserve": math.nan}, {"reserve": math.inf},
              {"reserve": -1}, {"utilisation": 40}, {"peak_tflops": math.nan}],
)  # fmt: skip
def test_a_machine_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"{name} is .*expected a"):
        Machine(**wrong)


def test_the_command_prints_json_and_tells_by_its_exit_code() -> None:
    run = CliRunner().invoke(app, ["plan", str(EIGHT), "--json"])
    document = json.loads(run.stdout)
    assert run.exit_code == 0
    assert document["fits"] is True
    assert sum(document["memory"].values()) == pytest.approx(document["peak_gib"] * GIB, rel=1e-6)
    small = CliRunner().invoke(app, ["plan", str(EIGHT), "--gpu-memory", "20"])
    assert small.exit_code == 1
    assert "the cheapest first" in small.stdout
