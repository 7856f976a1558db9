"""Evaluation inside training: what a run with `grounding.evaluate_every` logs, against predict and eval."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddle_ground.backend.settings import GroundingSettings
from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.synth import write_synth
from paddle_ground.errors import ConfigError
from paddle_ground.evaluate import evaluate_detection
from paddle_ground.infer.predict import predict
from paddle_ground.records import read_predictions, read_samples, read_truth, truth_path
from paddle_ground.train.launch import train
from paddle_ground.watch import LOG_FILE, read_validation_set

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "tiny" / "demo.yaml"
VAL_IMAGES = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of one shape: 16 to train on, 6 to validate with."""
    root = tmp_path_factory.mktemp("watch")
    write_synth(root / "source", 16, VAL_IMAGES, seed=3)
    prepare(PrepareOptions(root / "data", source=root / "source"))
    build_tiny_model(root / "model", "test")
    return root


def overrides(root: Path, name: str, section: str, **more: object) -> list[str]:
    values = {
        "train_dataset_path": root / "data" / "train.jsonl", "eval_dataset_path": root / "data" / "val.jsonl",
        "model_name_or_path": root / "model", "output_dir": root / name,
        "logging_dir": root / name / "visualdl", "max_steps": 4, "save_steps": 4, "eval_steps": 4,
        "logging_steps": 1, "per_device_train_batch_size": 4, "per_device_eval_batch_size": 8,
        "warmup_steps": 1, "decay_steps": 4, **more,
    }  # fmt: skip
    return [f"{key}={value}" for key, value in values.items()] + [f"grounding={section}"]


def run(root: Path, name: str, section: str, **more: object) -> list[tuple[int, float]]:
    report = train(CONFIG, overrides(root, name, section, **more), on_step=lambda *_: None)
    return report.losses


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from visualdl import LogReader

    found: dict[str, list[tuple[int, float]]] = {}
    for log in sorted(folder.rglob("vdlrecords.*.log")):
        reader = LogReader(file_path=str(log))
        for tag in reader.get_tags().get("scalar", []):
            found.setdefault(tag, []).extend((r.id, r.value) for r in reader.get_data("scalar", tag))
    return found


def test_metrics_stand_beside_the_loss_and_the_losses_are_the_same(data: Path) -> None:
    watched = run(data, "watched", "{evaluate_every: 2, evaluate_samples: 4}")
    assert watched == run(data, "plain", "{image_max_pixels: 589824}")

    found = scalars(data / "watched" / "visualdl")
    for name in ("ap50", "f1", "mean_iou", "parse_rate"):
        assert [step for step, _ in found[f"eval/{name}"]] == [0, 2, 4]
        assert f"eval/{name}" not in scalars(data / "plain" / "visualdl")
    lines = (data / "watched" / LOG_FILE).read_text(encoding="utf-8").splitlines()
    logged = [json.loads(line) for line in lines]
    assert [entry["step"] for entry in logged] == [0, 2, 4]

    # The last one is what the finished model answers when it is asked from its folder.
    validation = read_validation_set(data / "data" / "val.jsonl", 4)
    predictions = data / "predictions.jsonl"
    predict(data / "data" / "val.jsonl", data / "watched", predictions, free=True, show_progress=False)
    lines_asked = {index for index, _ in validation.samples}
    asked = [prediction for prediction in read_predictions(predictions) if prediction.index in lines_asked]
    metrics = evaluate_detection(asked, validation.truth)
    assert logged[-1]["eval_parse_rate"] == pytest.approx(metrics.parse_rate)
    assert logged[-1]["eval_ap50"] == pytest.approx(metrics.ap50)
    assert logged[-1]["eval_mean_iou"] == pytest.approx(metrics.mean_iou)


def test_an_adapter_is_watched_too(data: Path) -> None:
    run(data, "adapter", "{evaluate_every: 4}", fine_tuning="lora", lora="true", lora_rank=4)
    assert [step for step, _ in scalars(data / "adapter" / "visualdl")["eval/ap50"]] == [0, 4]


def test_the_validation_set_is_spread_over_the_file(data: Path) -> None:
    path = data / "data" / "val.jsonl"
    validation = read_validation_set(path, 3)
    assert [index for index, _ in validation.samples] == [0, 2, 5]
    samples = list(read_samples(path))
    assert [sample for _, sample in validation.samples] == [samples[0], samples[2], samples[5]]
    names = {sample.images[0] for _, sample in validation.samples}
    assert {image.file_name for image in validation.truth.images} == names
    whole = read_truth(truth_path(path))
    kept = {image.id for image in validation.truth.images}
    assert validation.truth.annotations == tuple(box for box in whole.annotations if box.image_id in kept)
    assert len(read_validation_set(path, 100).samples) == VAL_IMAGES


def test_without_truth_there_is_a_remedy(data: Path, tmp_path: Path) -> None:
    bare = tmp_path / "val.jsonl"
    bare.write_bytes((data / "data" / "val.jsonl").read_bytes())
    with pytest.raises(ConfigError, match=r"evaluate_every: .*val\.truth\.json is missing"):
        read_validation_set(bare, 2)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"evaluate_every": 0}, "`grounding.evaluate_every` is 0; expected a positive whole number of steps"),
        ({"evaluate_samples": None}, "`grounding.evaluate_samples` is None"),
        ({"evaluate_evry": 5}, "did you mean `grounding.evaluate_every`"),
    ],
)
def test_a_wrong_setting_is_named(section: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GroundingSettings.from_mapping(section)
    assert GroundingSettings.from_mapping({}).evaluate_every is None
