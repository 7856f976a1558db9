"""The form: what it reads and writes, against `load_config` with overrides, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from paddle_ground.cli import main
from paddle_ground.errors import ConfigError
from paddle_ground.train.config import load_config
from paddle_ground.web.train_fields import FIELDS, apply_form, read_form
from paddle_ground.web.train_plan import plan_html, plan_of

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
SHIPPED = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in CONFIGS.rglob("*.yaml")
    if "\ntrain_dataset_path:" in path.read_text()
)
PLACES = ("output_dir", "logging_dir")
CHANGES: list[tuple[dict[str, Any], list[str]]] = [
    ({"max_steps": 7, "learning_rate": 1e-5}, ["max_steps=7", "learning_rate=1.0e-5"]),
    ({"max_steps": 0, "num_train_epochs": 2.5}, ["max_steps=-1", "num_train_epochs=2.5"]),
    ({"per_device_train_batch_size": 4, "max_seq_len": 2048, "packing": False},
     ["per_device_train_batch_size=4", "max_seq_len=2048", "packing=false"]),
    ({"freeze": ["llm", "vision"]}, ["freeze_config=freeze_vision freeze_llm"]),
    ({"sharding": "stage2", "tensor_model_parallel_size": 2},
     ["sharding=stage2", "tensor_model_parallel_size=2"]),
    ({"fine_tuning": "LoRA", "lora_rank": 16, "lora_alpha": 32},
     ["fine_tuning=LoRA", "lora_rank=16", "lora_alpha=32"]),
    ({"image_max_pixels": 65536}, ["grounding={implementation: auto, image_max_pixels: 65536}"]),
]  # fmt: skip


def without_places(values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in PLACES}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_form_that_nobody_touches_changes_nothing(place, name) -> None:
    config = load_config(place.configs / name)
    form = read_form(config, place)
    assert set(form) == set(FIELDS)
    same = apply_form(config, form, place)
    assert without_places(same.values) == without_places(config.values)
    assert same.to_mapping().get("grounding") == config.to_mapping().get("grounding")
    # What trains from the page writes below the runs, and nowhere else.
    for key in PLACES:
        assert Path(same.values[key]).is_relative_to(place.runs)


@pytest.mark.parametrize(("form", "words"), CHANGES)
def test_a_field_is_its_key(place, form, words) -> None:
    path = place.configs / "qwen3_vl/8b_sft_tp4.yaml"
    config = load_config(path)
    edited = apply_form(config, {**read_form(config, place), **form}, place)
    wanted = load_config(path, words)
    assert without_places(edited.values) == without_places(wanted.values)
    assert edited.grounding == wanted.grounding
    read = read_form(edited, place)
    assert {key: sorted(read[key]) if key == "freeze" else read[key] for key in form} == {
        key: sorted(value) if key == "freeze" else value for key, value in form.items()
    }


def test_full_training_takes_loras_keys_away_and_recompute_all_three(place) -> None:
    config = load_config(place.configs / "qwen2_5_vl/3b_lora.yaml")
    form = {**read_form(config, place), "fine_tuning": "full", "recompute": False, "freeze": []}
    gone = set(config.values) - set(apply_form(config, form, place).values)
    assert gone == {
        "lora_rank", "lora_alpha", "recompute_granularity", "recompute_method", "recompute_num_layers",
        "freeze_config",
    }  # fmt: skip


def test_models_and_data_are_chosen_of_the_folders(place) -> None:
    config = load_config(place.configs / "qwen3_vl/2b_sft.yaml")
    form = {**read_form(config, place), "model": "runs/model", "train_data": "data/squares/train.jsonl"}
    values = apply_form(config, form, place).values
    assert values["model_name_or_path"] == str(place.runs / "model")
    assert values["train_dataset_path"] == str(place.data / "squares/train.jsonl")
    assert values["eval_dataset_path"] == config.values["eval_dataset_path"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("per_device_train_batch_size", 0), ("per_device_train_batch_size", 1.5), ("max_seq_len", None),
        ("learning_rate", float("nan")), ("learning_rate", -1), ("lora_rank", "x"),
        ("max_steps", float("inf")),
        ("sharding", "stage4"), ("fine_tuning", "none"), ("tensor_model_parallel_size", 3),
        ("freeze", ["vision", "all"]), ("model", "/etc"), ("model", "runs/../configs"), ("model", None),
        ("train_data", "data/squares/../../x.jsonl"), ("eval_data", "/etc/passwd"), ("output", ""),
        ("output", "../out"), ("output", "/etc/x"), ("output", "a//b"), ("output", ".hidden"),
        ("output", "a b"),
        ("output", "x\ny"), ("output", "a\0b"), ("output", "x" * 300), ("packing", "yes"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(place, field, value) -> None:
    config = load_config(place.configs / "qwen2_5_vl/3b_lora.yaml")
    with pytest.raises(ConfigError) as refused:
        apply_form(config, {**read_form(config, place), field: value}, place)
    assert "\n" not in str(refused.value)


def test_all_that_is_wrong_is_said_at_once(place) -> None:
    config = load_config(place.configs / "qwen3_vl/2b_sft.yaml")
    wrong = {"max_seq_len": 1, "sharding": "?", "output": "..", "model": "x"}
    with pytest.raises(ConfigError, match=r"max_seq_len.*sharding.*x.*\.\."):
        apply_form(config, {**read_form(config, place), **wrong}, place)


def test_the_plan_is_the_commands(place, capsys) -> None:
    path = place.configs / "qwen3_vl/8b_sft_tp4.yaml"
    config = load_config(path)
    form = {**read_form(config, place), "per_device_train_batch_size": 8, "recompute": False}
    edited = apply_form(config, form, place)
    with pytest.raises(SystemExit):
        main([
            "plan", str(path), "per_device_train_batch_size=8", "recompute_granularity=null",
            "recompute_method=null", "recompute_num_layers=null", "--gpus", "4", "--gpu-memory", "40",
            "--json",
        ])  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    plan = plan_of(edited, 4, 40)
    assert plan.memory.total == pytest.approx(told["peak_gib"] * 2**30)
    assert not plan.fits
    assert [change.what for change in plan.changes] == [change["what"] for change in told["changes"]]
    html, _ = plan_html(edited, 4, 40, lambda key: key)
    assert "plan_too_much" in html


def test_what_cannot_be_planned_is_told_with_its_contradictions(place) -> None:
    config = load_config(place.configs / "qwen3_vl/8b_sft_tp4.yaml", ["template_backend=jinja"])
    html, plan = plan_html(config, 3, 80, lambda key: key)
    assert plan is None
    assert "3 GPUs cannot be parted" in html
    assert "`template_backend`: jinja" in html
    html, _ = plan_html(load_config(place.configs / "small.yaml", ["model_name_or_path=<b>"]), 1, 1, str)
    assert "&lt;b&gt;" in html
    assert "<b>" not in html.replace("<b>plan", "")


@pytest.mark.parametrize(
    "key", ["tensor_model_parallel_size", "train_dataset_path", "train_dataset_prob", "seed"]
)
@pytest.mark.parametrize("value", [["two"], {"a": 1}, "two"])
def test_a_value_that_its_key_cannot_have_is_told_beside_the_form(place, key, value) -> None:
    config = load_config(place.configs / "small.yaml")
    wrong = replace(config, values={**config.values, key: value})
    form = read_form(wrong, place)
    html, _ = plan_html(apply_form(wrong, form, place), 1, 80, lambda word: word)
    assert (f"`{key}`: " in html) or (key == "train_dataset_path" and value == "two")  # that may be a file


def test_a_cpus_training_is_held_against_the_machines_memory(place) -> None:
    plan = plan_of(load_config(place.configs / "small.yaml"), 8, 0.001)
    assert plan.machine.gpus == 1
    assert plan.machine.gpu_memory > 0.5
    assert plan.data.samples == 12
    assert yaml.safe_load((place.configs / "small.yaml").read_text())["device"] == "cpu"


def test_small_images_are_counted_as_large_as_the_yaml_makes_them(place) -> None:
    def image_tokens(*words: str) -> int:
        return int(plan_of(load_config(place.configs / "small.yaml", [*words]), 8, 1).data.image_tokens.sum())

    larger = image_tokens("grounding={image_min_pixels: 262144, image_max_pixels: 589824}")
    assert larger >= 12 * 262144 // 32**2
    assert larger > image_tokens()
