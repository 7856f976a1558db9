"""Short training runs of one small model on one small data set, for test_parallel.py.

The runs differ in how the work is parted among processes and in nothing else, so that their losses
must be equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from paddle_ground.backend.tiny import PRESETS, build_tiny_model
from paddle_ground.data.speaking import chosen_space
from paddle_ground.files import sha256_file
from paddle_ground.records import (
    Category,
    Message,
    Sample,
    SamplesMeta,
    Truth,
    TruthBox,
    TruthImage,
    meta_path,
    truth_path,
    write_meta,
    write_samples,
    write_truth,
)
from paddle_ground.spaces import RELATIVE_1000, CoordinateSpace
from paddle_ground.train.follow import TrainReport
from paddle_ground.train.launch import train

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "tiny" / "demo.yaml"
STEPS = 10
RECOMPUTE = ("recompute_granularity=full", "recompute_method=uniform", "recompute_num_layers=1")


def write_squares(folder: Path, count: int, space: CoordinateSpace = RELATIVE_1000) -> Path:
    """Write pictures with one or two dark squares, so that answers differ in length, meta and truth."""
    rng = np.random.default_rng(count)
    (folder / "images").mkdir(parents=True)
    samples: list[Sample] = []
    images: list[TruthImage] = []
    truth: list[TruthBox] = []
    for i in range(count):
        pixels = rng.integers(120, 256, (64, 64, 3), dtype=np.uint8)
        boxes = []
        for _ in range(1 + i % 2):
            x, y = (int(v) for v in rng.integers(0, 40, 2))
            pixels[y : y + 24, x : x + 24] = 10
            corners = (x, y, x + 24, y + 24)
            boxes.append(tuple(space.encode([corners], (64, 64))[0].tolist()))
            truth.append(TruthBox(len(truth) + 1, i + 1, 1, tuple(map(float, corners)), 576.0, False))
        images.append(TruthImage(i + 1, f"images/{i}.png", (64, 64)))
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        answer = ", ".join(["<ref-object><bbox>"] * len(boxes))
        turns = (Message("user", "<image>Task: Object Detection"), Message("assistant", answer))
        samples.append(Sample(turns, (f"images/{i}.png",), ("square",) * len(boxes), tuple(boxes)))
    path = folder / "train.jsonl"
    write_samples(path, samples)
    write_truth(truth_path(path), Truth(tuple(images), tuple(truth), (Category(1, "square"),)))
    meta = SamplesMeta(
        source="squares", converter_version="0", coordinate_space=space.name, answer_format="tokens",
        prompt="Task: Object Detection", class_names=("square",), counts={"kept": count},
        samples_sha256=sha256_file(path), settings=space.resize.settings() if space.resize else {},
    )  # fmt: skip
    write_meta(meta_path(path), meta)
    return path


class Runs:
    """Trains the same model on the same samples, as often as asked.

    Args:
        root: Where data, model and runs are written.
        key_value_heads: Of the model; a tensor-parallel degree must divide it.
        preset: Of the model.
    """

    def __init__(self, root: Path, key_value_heads: int = 2, preset: str = "test") -> None:
        self.root = root
        shapes = PRESETS[preset]
        text = replace(shapes.text, num_key_value_heads=key_value_heads)
        model = build_tiny_model(root / "model", replace(shapes, text=text))
        self.data = write_squares(root / "data", 24, chosen_space(None, model))

    def __call__(
        self,
        name: str,
        *overrides: str,
        steps: int = STEPS,
        on_step: Callable[[int, float], None] = lambda *_: None,
    ) -> TrainReport:
        """Train under a name; the same name again goes on from its last checkpoint."""
        return train(CONFIG, [*self.words(name, steps)[1:], *overrides], on_step=on_step)

    def words(self, name: str, steps: int) -> list[str]:
        """Give the words of the command line behind `paddle-ground train`."""
        folder = self.root / name
        values = {
            "train_dataset_path": self.data, "eval_dataset_path": self.data,
            "model_name_or_path": self.root / "model", "output_dir": folder,
            "logging_dir": folder / "visualdl", "max_steps": steps, "decay_steps": STEPS, "warmup_steps": 1,
            "save_steps": 5, "eval_steps": 100, "logging_steps": 1, "per_device_train_batch_size": 4,
        }  # fmt: skip
        return [str(CONFIG), *(f"{key}={value}" for key, value in values.items())]


def worker(rank: int, name: str) -> int:
    """Give the process id of a run's worker."""
    found = find_worker(rank, name)
    assert found is not None, f"no worker {rank} of {name}"
    return found


def find_worker(rank: int, name: str) -> int | None:
    """Find the process id of a run's worker; none before it is started."""
    for process in Path("/proc").iterdir():
        try:
            environ = (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        log_dir = next((line for line in environ if line.startswith(b"PADDLEFORMERS_DIST_LOG=")), b"")
        if f"PADDLE_TRAINER_ID={rank}".encode() in environ and f"/{name}/".encode() in log_dir:
            if b"launcher.py" in command:
                return int(process.name)
    return None


def losses(report: TrainReport) -> np.ndarray:
    return np.array([loss for _, loss in report.losses])


def weights(folder: Path) -> dict[str, np.ndarray]:
    """Read a model folder's weights, or an adapter's."""
    from safetensors.numpy import load_file

    return {k: v for path in sorted(folder.glob("*.safetensors")) for k, v in load_file(path).items()}
