"""Training through `paddleformers-cli`: what is checked before, and one real short run with its resume."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.errors import TrainError
from paddle_ground.records import (
    Message,
    Sample,
    SamplesMeta,
    meta_path,
    read_grounding,
    write_meta,
    write_samples,
)
from paddle_ground.train.config import load_config
from paddle_ground.train.follow import TrainReport, note
from paddle_ground.train.launch import check_paths, child_environment, train

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "tiny" / "demo.yaml"


def write_data(folder: Path, count: int) -> Path:
    """Write scenes of one dark square on noise, with their boxes in 0..1000."""
    rng = np.random.default_rng(count)
    (folder / "images").mkdir(parents=True)
    samples = []
    for i in range(count):
        pixels = rng.integers(120, 256, (64, 64, 3), dtype=np.uint8)
        x, y = (int(v) for v in rng.integers(0, 32, 2))
        pixels[y : y + 32, x : x + 32] = 10
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        box = (
            round(x * 1000 / 64),
            round(y * 1000 / 64),
            round((x + 32) * 1000 / 64),
            round((y + 32) * 1000 / 64),
        )
        turns = (Message("user", "<image>Task: Object Detection"), Message("assistant", "<ref-object><bbox>"))
        samples.append(Sample(turns, (f"images/{i}.png",), ("square",), (box,)))
    path = folder / "train.jsonl"
    write_samples(path, samples)
    return path


def meta() -> SamplesMeta:
    return SamplesMeta(
        source="squares",
        converter_version="0",
        coordinate_space="relative_1000",
        answer_format="tokens",
        prompt="Task: Object Detection",
        class_names=("square",),
        counts={"kept": 16},
        samples_sha256="0" * 64,
    )


def overrides(root: Path, data: Path, steps: int, **more: Any) -> list[str]:
    values = {
        "train_dataset_path": data, "eval_dataset_path": data, "model_name_or_path": root / "model",
        "output_dir": root / "run", "logging_dir": root / "run" / "visualdl", "max_steps": steps,
        "save_steps": 3, "eval_steps": 3, "logging_steps": 1, "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 8, "warmup_steps": 1, "save_total_limit": 2, "decay_steps": 6, **more,
    }  # fmt: skip
    return [f"{key}={value}" for key, value in values.items()] + ["grounding={image_max_pixels: 4096}"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainReport]:
    """Three real steps, saved; then the same YAML again with six, which goes on from the checkpoint."""
    root = tmp_path_factory.mktemp("train")
    data = write_data(root / "data", 16)
    write_meta(meta_path(data), meta())
    build_tiny_model(root / "model", "test")
    before = dict(os.environ)
    train(CONFIG, overrides(root, data, 3), on_step=lambda *_: None)
    steps: list[int] = []
    report = train(CONFIG, overrides(root, data, 6), on_step=lambda step, _: steps.append(step))
    assert steps == [4, 5, 6]
    assert dict(os.environ) == before
    return root, report


def test_a_second_run_goes_on_and_gives_the_uninterrupted_losses(run: tuple[Path, TrainReport]) -> None:
    root, report = run
    data = root / "data" / "train.jsonl"
    alone = {"output_dir": root / "straight", "logging_dir": root / "straight" / "visualdl"}
    straight = train(CONFIG, overrides(root, data, 6, **alone), on_step=lambda *_: None)
    assert [step for step, _ in straight.losses] == [1, 2, 3, 4, 5, 6]
    assert report.losses == straight.losses[3:]


def test_visualdl_shows_loss_rate_and_eval_loss(run: tuple[Path, TrainReport]) -> None:
    from visualdl import LogReader

    root, report = run
    found: dict[str, list[tuple[int, float]]] = {}
    for log in sorted((root / "run" / "visualdl").rglob("vdlrecords.*.log")):
        reader = LogReader(file_path=str(log))
        for tag in reader.get_tags().get("scalar", []):
            found.setdefault(tag, []).extend((r.id, r.value) for r in reader.get_data("scalar", tag))
    losses = dict(found["train/loss"])
    assert set(losses) == {1, 2, 3, 4, 5, 6}
    for step, loss in report.losses:
        assert losses[step] == pytest.approx(loss, rel=1e-5)
    assert len(found["train/learning_rate"]) == 6
    assert [step for step, _ in found["eval/loss"]] == [3, 6]


def test_the_run_folder_says_what_was_run(run: tuple[Path, TrainReport]) -> None:
    _, report = run
    folder = report.output_dir
    grounding = read_grounding(folder)
    assert (grounding.answer_format, grounding.max_pixels, grounding.class_names) == (
        "tokens",
        4096,
        ("square",),
    )
    versions = json.loads((folder / "versions.json").read_text(encoding="utf-8"))
    assert versions["paddleformers"].startswith("1.")
    data = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    assert [len(entry["sha256"]) for entry in data] == [64, 64]
    assert "custom_register_path" in (folder / "resolved.yaml").read_text(encoding="utf-8")
    assert "CPU kernels are in place" in report.log_path.read_text(encoding="utf-8")
    assert list(folder.glob("checkpoint-6/grounding.json"))


def test_the_tuned_model_can_be_asked(run: tuple[Path, TrainReport]) -> None:
    from paddle_ground.infer import Engine, Request

    root, report = run
    engine = Engine.load(report.output_dir)
    (answer,) = engine.answer(
        [Request(root / "data" / "images" / "0.png", "Task: Object Detection")], max_new_tokens=4
    )
    assert answer.token_ids
    assert answer.size_wh == (64, 64)


def test_unreadable_training_images_end_the_run_with_their_reason(run: tuple[Path, TrainReport]) -> None:
    """Upstream symptom: the loader's thread dies and the trainer waits for it for ever."""
    root, _ = run
    data = write_data(root / "broken", 12)
    for image in (root / "broken" / "images").iterdir():
        image.write_bytes(b"not an image")
    with pytest.raises(TrainError, match=r"training data cannot be read: .*cannot identify image"):
        train(CONFIG, overrides(root, data, 3, output_dir=root / "broken_run"), on_step=lambda *_: None)


def test_missing_files_are_all_named_before_anything_starts(tmp_path: Path) -> None:
    lines = [
        "train_dataset_path=no/train.jsonl",
        "eval_dataset_path=no/val.jsonl",
        "model_name_or_path=./no_model",
    ]
    config = load_config(CONFIG, [*lines, f"output_dir={tmp_path / 'out'}"])
    with pytest.raises(TrainError) as caught:
        check_paths(config)
    for part in ("no/train.jsonl", "no/val.jsonl", "./no_model holds no config.json", "demo.yaml"):
        assert part in str(caught.value)


def test_missing_images_and_broken_records_are_named_before_anything_starts(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", 6)
    for i in (1, 2, 3, 5):
        (tmp_path / "data" / "images" / f"{i}.png").unlink()
    broken = tmp_path / "broken.jsonl"
    broken.write_text(data.read_text(encoding="utf-8").splitlines()[0] + "\n{oops\n", encoding="utf-8")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.png").touch()
    lines = [f"train_dataset_path={data}", f"eval_dataset_path={broken}", f"model_name_or_path={tmp_path}"]
    with pytest.raises(TrainError) as caught:
        check_paths(load_config(CONFIG, [*lines, f"output_dir={tmp_path / 'out'}"]))
    message = str(caught.value)
    assert "4 images do not exist" in message
    assert "train.jsonl:2: images/1.png" in message
    assert "and 1 more" in message
    assert "broken.jsonl:2" in message


def test_data_without_a_sample_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("\n", encoding="utf-8")
    out = f"output_dir={tmp_path / 'out'}"
    with pytest.raises(TrainError, match=r"none\.jsonl: holds no sample"):
        check_paths(load_config(CONFIG, [f"train_dataset_path={tmp_path / 'none.jsonl'}", out]))
    with pytest.raises(TrainError, match="train_dataset_path is missing"):
        check_paths(load_config(CONFIG, ["train_dataset_path=", out]))


def test_a_model_that_is_not_whole_is_told_before_anything_starts(tmp_path: Path) -> None:
    """Upstream symptom: what a weight file lacks is drawn at random, with a warning in the log."""
    model = build_tiny_model(tmp_path / "model", "test")
    words = [f"model_name_or_path={model}", f"output_dir={tmp_path / 'out'}"]

    def said(*more: str) -> str:
        with pytest.raises(TrainError) as caught:
            check_paths(load_config(CONFIG, [*words, *more]))
        return str(caught.value)

    assert "model_name_or_path" not in said()
    (model / "model.safetensors").unlink()
    assert f"model_name_or_path: {model}: model.safetensors is missing" in said()
    # From nothing, a config is enough.
    assert "model_name_or_path" not in said("continue_training=false")
    (model / "config.json").write_text("[1]", encoding="utf-8")
    assert "config.json: expected a JSON object" in said()


def test_a_plugin_that_is_nowhere_is_named(tmp_path: Path) -> None:
    words = ["custom_register_path=no/other.py", f"output_dir={tmp_path / 'out'}"]
    with pytest.raises(TrainError, match=r"custom_register_path: no/other\.py does not exist; leave"):
        check_paths(load_config(CONFIG, words))


def test_an_output_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(TrainError, match=r"output_dir: .*cannot be made"):
        check_paths(load_config(CONFIG, [f"output_dir={tmp_path / 'file' / 'out'}"]))


def test_a_cpu_run_names_one_process_for_each_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "CUDA_VISIBLE_DEVICES",
        "OMP_NUM_THREADS",
        "PADDLE_GROUND_THREADS",
        "FLAGS_paddle_num_threads",
    ):
        monkeypatch.delenv(name, raising=False)
    one = child_environment(load_config(CONFIG), tmp_path)
    assert one["CUDA_VISIBLE_DEVICES"] == "0"
    monkeypatch.setenv("PADDLE_GROUND_THREADS", "4")
    two = child_environment(load_config(CONFIG, ["tensor_model_parallel_size=2"]), tmp_path)
    assert (two["CUDA_VISIBLE_DEVICES"], two["PADDLE_DISTRI_BACKEND"], two["OMP_NUM_THREADS"]) == (
        "0,1",
        "gloo",
        "2",
    )
    gpu = child_environment(load_config(CONFIG, ["device=gpu"]), tmp_path)
    assert "CUDA_VISIBLE_DEVICES" not in gpu


class Quiet:
    """A bar that isn't drawn."""

    def step(self, *_: object) -> None: ...

    def say(self, _: str) -> None: ...

    def expect(self, _: int) -> None: ...


def test_only_the_training_loss_is_read_from_a_log_line(tmp_path: Path) -> None:
    report = TrainReport(tmp_path, tmp_path / "train.log")
    lines = [
        "\x1b[32m[INFO]\x1b[0m - loss: 5.24339142, learning_rate: 0.0005, global_step: 20, ppl: 2",
        "[INFO] - eval_loss: 4.458505153656006, eval_runtime: 1.3883, progress_or_epoch: 0.2128",
        "[WARNING] - [SKIP] This data is too long: <image>Task: Object Detection...",
        "[INFO] - train_runtime: 62.3482, train_loss: 5.085154469807943, progress_or_epoch: 0.3191",
        "[INFO] - loss: nan, learning_rate: 0.0005, global_step: 30, interval_runtime: 21.3",
    ]
    for line in lines:
        note(line, report, Quiet())
    assert report.losses[0] == (20, 5.24339142)
    assert report.losses[1][0] == 30
    assert np.isnan(report.losses[1][1])
    assert report.eval_losses == [4.458505153656006]
    assert report.skipped == 1
