"""Boxes in other numbers than those of the model that would learn them are refused, before anything runs."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paddle_ground.backend.data_space import REHEARSAL, refuse_other_spaces, space_problems
from paddle_ground.backend.settings import GroundingSettings
from paddle_ground.data.speaking import chosen_space
from paddle_ground.errors import ConfigError
from paddle_ground.families import QWEN2_5_VL
from paddle_ground.records import GroundingConfig, meta_path, read_meta, write_grounding, write_meta
from paddle_ground.train.config import load_config
from paddle_ground.train.launch import train
from paddle_ground.train.lint import lint
from paddle_ground.train.plan.verdict import Machine, make_plan
from paddle_ground.train.rehearse import rehearse

sys.path.insert(0, str(Path(__file__).parent))
from parallel_runs import CONFIG, write_squares

CONFIGS = CONFIG.parents[1]
RELATIVE, ABSOLUTE = "Qwen/Qwen3-VL-2B-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct"


@pytest.fixture
def absolute(tmp_path: Path) -> Path:
    return write_squares(tmp_path / "absolute", 2, chosen_space("qwen2_5_vl", None, (None, 262_144)))


@pytest.fixture
def relative(tmp_path: Path) -> Path:
    return write_squares(tmp_path / "relative", 2)


def problems(path: Path, model: str | Path, **grounding: Any) -> list[tuple[str, str]]:
    values = {"train_dataset_path": str(path), "model_name_or_path": str(model)}
    found = list(space_problems(values, GroundingSettings(**grounding)))
    assert all(is_error for _, _, is_error in found)
    return [(key, said) for key, said, _ in found]


def published(folder: Path, **changes: Any) -> Path:
    """Write the configs of a published Qwen2.5-VL, as its model folder holds them."""
    folder.mkdir()
    processor = {"patch_size": 14, "merge_size": 2, "min_pixels": 3136, "max_pixels": 12845056, **changes}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    return folder


def test_limits_that_were_prepared_for_are_trained(absolute: Path, relative: Path, tmp_path: Path) -> None:
    folder = published(tmp_path / "model")
    for model in (ABSOLUTE, folder):
        assert problems(absolute, model, image_max_pixels=262_144) == []
    # Thousandths stay what they are whatever the size.
    assert problems(relative, RELATIVE, image_max_pixels=262_144) == []
    # A model that nobody knows, and data that nobody described.
    assert problems(absolute, tmp_path / "none") == []
    meta_path(absolute).unlink()
    assert problems(absolute, ABSOLUTE) == []


@pytest.mark.parametrize("from_folder", [False, True])
def test_other_limits_are_told_with_the_key_to_change(
    absolute: Path, tmp_path: Path, from_folder: bool
) -> None:
    model = published(tmp_path / "model") if from_folder else ABSOLUTE
    ((key, said),) = problems(absolute, model)
    assert key == "grounding.image_max_pixels"
    assert "images of 589824 pixels at most" in said
    assert f"{absolute} are pixels of images of 262144; set it to 262144" in said
    assert said.endswith("--image-max-pixels 589824")
    keys = [key for key, _ in problems(absolute, model, image_max_pixels=4096, image_min_pixels=2048)]
    assert keys == ["grounding.image_max_pixels", "grounding.image_min_pixels"]


def test_limits_of_an_earlier_tuning_do_not_hold_in_training(absolute: Path, tmp_path: Path) -> None:
    # PaddleFormers asks the YAML only, whatever the base model was tuned with.
    model = published(tmp_path / "model")
    write_grounding(model, GroundingConfig("absolute_resized", "tokens", "Find.", 1024, 262_144))
    assert [key for key, _ in problems(absolute, model)] == ["grounding.image_max_pixels"]


def test_another_processor_is_told(absolute: Path, tmp_path: Path) -> None:
    model = published(tmp_path / "model", max_pixels=100_352)
    ((key, said),) = problems(absolute, model, image_max_pixels=262_144)
    assert key == "train_dataset_path"
    assert "processor.max_pixels 12845056" in said
    assert f"training would feed {model} images resized with" in said
    assert "processor.max_pixels 100352" in said


def test_the_other_kind_of_numbers_is_told_in_both_directions(absolute: Path, relative: Path) -> None:
    ((key, said),) = problems(absolute, RELATIVE)
    assert key == "train_dataset_path"
    assert "are absolute_resized, but Qwen/Qwen3-VL-2B-Instruct (Qwen3-VL) speaks relative_1000" in said
    assert said.endswith("--model-family qwen3_vl")
    ((key, said),) = problems(relative, ABSOLUTE)
    assert "are relative_1000" in said
    assert said.endswith("--model-family qwen2_5_vl")


def test_a_model_tuned_to_other_numbers_speaks_those(relative: Path, tmp_path: Path) -> None:
    model = published(tmp_path / "model")
    write_grounding(model, GroundingConfig("relative_1000", "tokens", "Find.", 1024, 589_824))
    assert problems(relative, model) == []


def test_a_meta_that_does_not_say_of_which_pixels_is_told(absolute: Path) -> None:
    write_meta(meta_path(absolute), replace(read_meta(meta_path(absolute)), settings={}))
    ((key, said),) = problems(absolute, ABSOLUTE)
    assert key == "train_dataset_path"
    assert "absolute.meta.json" in said or "train.meta.json" in said
    assert said.endswith("prepare the data again")


def test_data_to_evaluate_on_is_compared_too(absolute: Path, relative: Path) -> None:
    values = {
        "train_dataset_path": str(relative), "eval_dataset_path": str(absolute),
        "model_name_or_path": RELATIVE,
    }  # fmt: skip
    assert [key for key, _, _ in space_problems(values, GroundingSettings())] == ["eval_dataset_path"]


def test_every_way_into_training_refuses(
    absolute: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = CONFIGS / "qwen2_5_vl" / "3b_sft.yaml"
    words = [
        f"train_dataset_path={absolute}", f"eval_dataset_path={absolute}", f"output_dir={tmp_path / 'run'}",
        f"model_name_or_path={ABSOLUTE}",
    ]  # fmt: skip
    config = load_config(path, words)
    found = [finding for finding in lint(config) if "image_max_pixels" in finding.key]
    assert found
    assert found[0].is_error
    message = r"grounding\.image_max_pixels.*set it to 262144"
    with pytest.raises(ConfigError, match=message):
        train(path, words)
    with pytest.raises(ConfigError, match=message):
        rehearse(path, words, load=lambda _: None, merge=lambda run, out: None)
    with pytest.raises(ConfigError, match=message):
        refuse_other_spaces(config.values, config.grounding)
    right = [*words, "grounding={image_max_pixels: 262144}"]
    assert [f for f in lint(load_config(path, right)) if "pixels" in f.message] == []
    # A rehearsal feeds small images to a small model on purpose.
    monkeypatch.setenv(REHEARSAL, "1")
    refuse_other_spaces(config.values, config.grounding)


def test_a_plan_tells_it_beside_what_would_fit(absolute: Path) -> None:
    words = [f"train_dataset_path={absolute}", f"eval_dataset_path={absolute}"]
    words.append(f"model_name_or_path={ABSOLUTE}")
    config = load_config(CONFIGS / "qwen2_5_vl" / "3b_sft.yaml", words)
    plan = make_plan(config, Machine(1, 24))
    assert [finding.key for finding in plan.findings if finding.is_error] == ["grounding.image_max_pixels"]
    assert not plan.fits
    right = make_plan(replace(config, grounding=GroundingSettings(image_max_pixels=262_144)), Machine(1, 24))
    assert [change.what for change in plan.changes] == [change.what for change in right.changes] != []


def test_the_training_process_itself_refuses(absolute: Path, tmp_path: Path) -> None:
    pytest.importorskip("paddle")
    from paddle_ground.backend.register import prepare_process

    model = published(tmp_path / "model")
    args = {"train_dataset_path": str(absolute), "model_name_or_path": str(model), "device": "cpu"}
    with pytest.raises(ConfigError, match=r"grounding\.image_max_pixels: training would feed"):
        prepare_process(dict(args))


def test_the_family_s_own_limits_are_those_of_its_published_folder(absolute: Path, tmp_path: Path) -> None:
    assert chosen_space(None, published(tmp_path / "model")).resize == QWEN2_5_VL.resize()
