"""Training YAMLs: every shipped one is valid, and a wrong one is refused with the way out."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from paddle_ground.backend.settings import GroundingSettings
from paddle_ground.errors import ConfigError
from paddle_ground.families import DEFAULT, family_of
from paddle_ground.train.config import known_keys, load_config

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").rglob("*.yaml"))


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_there_are_configs_for_gpu_and_cpu() -> None:
    names = {path.relative_to(path.parents[1]).as_posix() for path in CONFIGS}
    assert {
        "tiny/demo.yaml",
        "qwen3_vl/8b_sft_tp4.yaml",
        "qwen3_vl/2b_sft.yaml",
        "qwen3_vl/4b_sft_tp2.yaml",
        "qwen2_5_vl/3b_sft.yaml",
        "qwen2_5_vl/3b_lora.yaml",
        "qwen2_5_vl/7b_sft_tp4.yaml",
    } <= names


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_shipped_config_is_valid_and_says_what_it_is(path: Path) -> None:
    config = load_config(path)
    head = path.read_text(encoding="utf-8").split("\n\n")[0]
    for word in ("# Purpose:", "# Prerequisite:", "# Command:", "# Run on:"):
        assert word in head
    family = family_of(str(config.values["model_name_or_path"])) or DEFAULT
    assert config.values["template"] == family.template
    assert config.values["template_backend"] == "custom"
    assert config.values["custom_register_path"] == "paddle_ground/backend/plugin.py"
    if not config.on_cpu():
        assert "not run on a GPU by us" in head


def test_every_setting_of_ours_is_explained_beside_the_configs() -> None:
    text = (Path(__file__).resolve().parents[2] / "configs" / "README.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert sorted(explained) == sorted(field.name for field in fields(GroundingSettings))


def test_the_8b_recipe_is_the_tutorials_corrected() -> None:
    values = load_config(next(p for p in CONFIGS if p.stem == "8b_sft_tp4")).values
    expected = {
        "tensor_model_parallel_size": 4, "sharding": "stage1", "packing": True, "fine_tuning": "full",
        "_attn_implementation": "flashmask", "recompute_granularity": "full",
        "freeze_config": "freeze_vision freeze_aligner",
    }  # fmt: skip
    assert {key: values[key] for key in expected} == expected


def test_known_keys_are_those_of_paddleformers_own_dataclasses() -> None:
    pytest.importorskip("paddle")
    from dataclasses import fields

    from paddleformers.cli.hparams.parser import _TRAIN_ARGS

    theirs = {field.name for cls in _TRAIN_ARGS for field in fields(cls) if field.init}
    assert theirs <= known_keys()
    assert len(known_keys() - theirs) <= 2  # read but not settable upstream


def test_all_unknown_keys_are_named_with_the_nearest_one(tmp_path: Path) -> None:
    path = write(tmp_path, "attn_impl: flashmask\nlerning_rate: 1\nzzzzqq: 1\nmax_steps: 3\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "PaddleFormers 1.2 calls it `_attn_implementation`" in message
    assert "did you mean `learning_rate`?" in message
    assert "`zzzzqq`" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1\n", r"run\.yaml:2: is not YAML"),
        ("- 1\n", "expected `key: value` lines; found list"),
        ("grounding: {implementatoin: auto}\n", "did you mean `grounding.implementation`"),
        ("grounding: {1: auto}\n", r"unknown key `grounding\.1`"),
        ("grounding: {lora_targets: 5}\n", r"`grounding\.lora_targets` is 5; expected a list"),
        (
            "grounding: {image_min_pixels: 9, image_max_pixels: 4}\n",
            "is 9, above the 4 of `image_max_pixels`",
        ),
        # YAML takes these keys for a number and for a truth.
        ("1: 2\n", "unknown key `1`"),
        ("on: 2\n", "unknown key `True`"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        load_config(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yaml: cannot be read"):
        load_config(tmp_path / "no.yaml")


def test_overrides_are_yaml_and_may_hold_the_grounding_section(tmp_path: Path) -> None:
    path = write(tmp_path, "max_steps: 3\n")
    config = load_config(path, ["max_steps=7", "learning_rate=2.0e-5", "grounding={image_max_pixels: 4096}"])
    assert config.values["max_steps"] == 7
    assert config.values["learning_rate"] == 2e-5
    assert config.grounding.image_max_pixels == 4096
    with pytest.raises(ConfigError, match="expected key=value"):
        load_config(path, ["max_steps"])
