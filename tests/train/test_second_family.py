"""Qwen2.5-VL from nothing: a small model, data in its own pixels, training in one or two parts, answers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("paddle")

sys.path.insert(0, str(Path(__file__).parent))
from parallel_runs import CONFIG, RECOMPUTE, STEPS, Runs, losses, weights

from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.synth import SceneStyle, write_synth
from paddle_ground.evaluate.run import evaluate_files
from paddle_ground.infer.predict import predict
from paddle_ground.records import meta_path, read_grounding, read_meta, read_samples, truth_path
from paddle_ground.records.predictions import read_predictions
from paddle_ground.train.launch import train

TEMPLATE = "template=qwen2_vl"
TWO_PARTS = "tensor_model_parallel_size=2"


def test_from_nothing_to_metrics(tmp_path: Path) -> None:
    source = write_synth(tmp_path / "source", 24, 6, 0, SceneStyle(side_px=128, max_shapes=2))
    model = build_tiny_model(tmp_path / "model", "test_qwen2_5_vl", ["red circle"])
    data = tmp_path / "data"
    prepare(PrepareOptions(data, source.root, classes=source.classes_path, model_family="qwen2_5_vl"))
    assert read_meta(meta_path(data / "train.jsonl")).coordinate_space == "absolute_resized"
    # 128 pixels become 5 visual tokens of 28 pixels, to the borders of which boxes may reach.
    numbers = np.array([box for sample in read_samples(data / "train.jsonl") for box in sample.boxes])
    assert numbers.max() <= 140
    assert numbers.max() > 100

    values = {
        "train_dataset_path": data / "train.jsonl", "eval_dataset_path": data / "val.jsonl",
        "model_name_or_path": model, "output_dir": tmp_path / "run", "max_steps": 6, "decay_steps": 6,
        "logging_dir": tmp_path / "run" / "visualdl", "warmup_steps": 1, "save_steps": 6, "eval_steps": 6,
        "logging_steps": 1, "per_device_train_batch_size": 4, "per_device_eval_batch_size": 4,
    }  # fmt: skip
    report = train(CONFIG, [*(f"{key}={value}" for key, value in values.items()), TEMPLATE])
    found = [loss for _, loss in report.losses]
    assert len(found) == 6
    assert found[-1] < found[0]
    assert report.skipped == 0
    assert read_grounding(report.output_dir).coordinate_space == "absolute_resized"

    predictions = tmp_path / "predictions.jsonl"
    predict(data / "val.jsonl", report.output_dir, predictions, max_new_tokens=48)
    lines = list(read_predictions(predictions))
    assert len(lines) == 6
    # A model that learned nothing yet still answers in its format, with boxes in the image's own pixels.
    boxes = np.array([region.box_xyxy_px for line in lines for region in line.regions])
    assert len(boxes)
    assert 0 <= boxes.min() < boxes.max() <= 128
    metrics = evaluate_files(predictions, truth_path(data / "val.jsonl"), tmp_path / "report")
    assert 0 <= metrics.ap50 <= 1
    assert metrics.parse_rate == 1


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("second"), preset="test_qwen2_5_vl")


@pytest.fixture(scope="module")
def one(runs: Runs) -> np.ndarray:
    found = losses(runs("one", TEMPLATE))
    assert len(found) == STEPS
    return found


def same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.heavy
def test_two_parts_train_what_one_process_trains(runs: Runs, one: np.ndarray) -> None:
    report = runs("parted", TEMPLATE, TWO_PARTS)
    same(losses(report), one)
    before, whole, joined = (
        weights(folder) for folder in (runs.root / "model", runs.root / "one", report.output_dir)
    )
    assert joined.keys() == whole.keys() == before.keys()
    for name, weight in whole.items():
        np.testing.assert_allclose(joined[name], weight, rtol=0, atol=2e-5, err_msg=name)
    biases = [name for name in whole if name.endswith("q_proj.bias")]
    assert biases
    assert all(np.abs(whole[name]).max() > 1e-5 for name in biases)  # they started from zero, and learned


@pytest.mark.heavy
def test_other_ways_to_compute_give_the_same_losses(runs: Runs, one: np.ndarray) -> None:
    same(losses(runs("rows", TEMPLATE, TWO_PARTS, "sequence_parallel=true")), one)
    same(losses(runs("recomputed", TEMPLATE, *RECOMPUTE)), one)
    packed = losses(runs("packed", TEMPLATE, "packing=true"))
    same(losses(runs("packed_parts", TEMPLATE, "packing=true", TWO_PARTS)), packed)


@pytest.mark.heavy
def test_a_frozen_tower_stays_with_adapters_too(runs: Runs) -> None:
    before = weights(runs.root / "model")
    freeze = "freeze_config=freeze_vision freeze_aligner"
    after = weights(runs("frozen", TEMPLATE, freeze, steps=3).output_dir)
    changed = {name for name, weight in before.items() if not np.array_equal(after[name], weight)}
    assert changed
    assert not [name for name in changed if name.startswith("visual.")]
    report = runs("adapted", TEMPLATE, freeze, "fine_tuning=LoRA", "lora=true", "lora_rank=4", steps=3)
    adapters = [name for name in weights(report.output_dir) if "lora" in name]
    assert adapters
    assert not [name for name in adapters if "visual" in name]
