"""A small model that says something else at every token, and pictures to show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddle_ground.backend.tiny import PRESETS, build_tiny_model
from paddle_ground.infer import Engine


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model with wide random weights. Don't write into it."""
    folder = tmp_path_factory.mktemp("lively") / "model"
    return build_tiny_model(folder, replace(PRESETS["test"], initializer_range=0.5), seed=2)


@pytest.fixture(scope="session")
def engine(model_dir: Path) -> Engine:
    """That model, loaded."""
    return Engine.load(model_dir)


@pytest.fixture(scope="session")
def picture() -> Callable[..., Image.Image]:
    """Make a picture of noise: `picture(width, height, seed=0, mode="RGB")`."""

    def make(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
        noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return Image.fromarray(noise).convert(mode)

    return make
