"""Plans of a tuned model's next training: images are counted as training feeds them, not as tuning did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.records import GroundingConfig, Message, Sample, write_grounding, write_samples
from paddle_ground.train.config import load_config
from paddle_ground.train.plan.verdict import Machine, make_plan

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "tiny" / "demo.yaml"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A small model that was tuned on images of at most 64 x 64 pixels, and data of 224 x 224."""
    folder = tmp_path_factory.mktemp("tuned")
    model = build_tiny_model(folder / "model", "test", ["Where is it? none"], 0)
    tuned = GroundingConfig(
        coordinate_space="relative_1000", answer_format="json", prompt="", min_pixels=1024, max_pixels=4096,
        class_names=(),
    )  # fmt: skip
    write_grounding(model, tuned)
    Image.fromarray(np.zeros((224, 224, 3), np.uint8)).save(folder / "a.png")
    turns = (Message("user", "<image>Where is it?"), Message("assistant", "none"))
    write_samples(folder / "train.jsonl", [Sample(turns, ("a.png",))])
    return [f"train_dataset_path={folder / 'train.jsonl'}", f"model_name_or_path={model}"]


@pytest.mark.parametrize(
    ("section", "side"),
    [("{}", 224), ("{image_max_pixels: 16384}", 128), ("{image_min_pixels: 65536}", 256)],
)
def test_limits_are_the_yamls_or_paddleformers_own(words: list[str], section: str, side: int) -> None:
    plan = make_plan(load_config(CONFIG, [*words, f"grounding={section}"]), Machine(1))
    assert plan.data.image_tokens.tolist() == [(side // 32) ** 2]
