"""The folders of the tab: what is listed, and that no name leads out of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddle_ground.errors import ConfigError
from paddle_ground.web.train_folders import TrainPlace

OUTSIDE = (
    "../outside", "a/../../outside", "/etc/passwd", "..", ".", "", " ", "a//b", ".hidden", "a\\..\\b",
    "~root", "a\0b", "x" * 5000, "猫" * 90, "link", "link/in", "$(id)", "a;b", "-rf",
)  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path) -> TrainPlace:
    """Folders with links out of them."""
    root = tmp_path.resolve()
    outside = root / "outside"
    for name in ("runs/good", "configs/deep", "data", "outside/in"):
        (root / name).mkdir(parents=True)
    for folder in ("runs/good", "outside", "outside/in"):
        (root / folder / "resolved.yaml").write_text("max_steps: 1\n")
    for name in ("configs/deep/a.yaml", "configs/b.yml", "configs/c.txt", "outside/d.yaml"):
        (root / name).write_text("# of a training\ntrain_dataset_path: x\n")
    (root / "configs/other.yaml").write_text("stages: []\n")
    for name in ("runs", "configs", "data"):
        (root / name / "link").symlink_to(outside)
        (root / name / "link.yaml").symlink_to(outside / "d.yaml")
    return TrainPlace(root / "runs", root / "configs", root / "data")


def test_what_is_there_is_listed_and_links_are_not(folders) -> None:
    assert folders.configurations() == ["b.yml", "deep/a.yaml"]
    assert folders.runs_found() == ["good"]
    assert folders.run("good") == folders.runs / "good"
    assert folders.configuration("b.yml") == folders.configs / "b.yml"
    assert (folders.models_found(), folders.data_found()) == ({}, {})


def test_an_adapter_is_no_model_to_begin_with(folders) -> None:
    for name, weights in (("lora", "peft_model-00001-of-00001.safetensors"), ("full", "model.safetensors")):
        (folders.runs / name).mkdir()
        (folders.runs / name / weights).touch()
        (folders.runs / name / "config.json").write_text('{"model_type": "qwen3_vl"}')
    (folders.runs / "lora/lora_config.json").touch()
    assert folders.models_found() == {"runs/full": folders.runs / "full"}


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_out(folders, name) -> None:
    for find in (folders.run, folders.new_run, folders.configuration, folders.new_configuration):
        with pytest.raises(ConfigError) as refused:
            find(name)
        assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError):
        folders.new_configuration(f"{name}.yaml" if name in ("link", "..") else f"{name}/x.yaml")


def test_new_names_are_below_their_roots(folders) -> None:
    assert folders.new_run("kinds/of/run-1.2") == folders.runs / "kinds/of/run-1.2"
    assert folders.new_configuration("deep/new.yaml") == folders.configs / "deep/new.yaml"
    with pytest.raises(ConfigError, match="is there already"):
        folders.new_run("good")
    for name in ("new.json", f"{'猫' * 90}.yaml"):
        with pytest.raises(ConfigError):
            folders.new_configuration(name)


def test_places_of_the_machine_are_not_told(folders) -> None:
    said = f"{folders.runs}/good: no {folders.data}/x.jsonl"
    assert folders.shown(said) == "runs/good: no data/x.jsonl"
