"""A small model that says something else at every token, a service around it, and pictures to show it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.backend.tiny import PRESETS, build_tiny_model
from paddle_ground.infer import Engine
from paddle_ground.records import GroundingConfig, write_grounding
from paddle_ground.serve import Service, thread_worker
from paddle_ground.serve.app import create_app
from paddle_ground.serve.options import ServeOptions

CLASSES = ("red circle", "blue square", "cup")


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model with wide random weights, tuned (it says) on box tokens. Don't write into it."""
    folder = tmp_path_factory.mktemp("served") / "model"
    build_tiny_model(folder, replace(PRESETS["test"], initializer_range=0.5), CLASSES, seed=5)
    write_grounding(
        folder,
        GroundingConfig(
            coordinate_space="relative_1000", answer_format="tokens", prompt="Task: Object Detection",
            min_pixels=1024, max_pixels=65536, class_names=CLASSES,
        ),
    )  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def engine(model_dir: Path) -> Engine:
    """That model, loaded."""
    return Engine.load(model_dir)


@pytest.fixture(scope="session")
def service(engine: Engine) -> Iterator[Service]:
    """A service around it, in a thread."""
    service = Service(thread_worker(engine, batch=4), batch=4, max_queue=40)
    service.open()
    yield service
    service.close()


@pytest.fixture(scope="session")
def photo() -> Callable[..., bytes]:
    """Make an image file of noise: `photo(width, height, seed=0, fmt="PNG")`."""

    def make(width: int = 96, height: int = 64, seed: int = 0, fmt: str = "PNG") -> bytes:
        noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(noise).save(file, fmt)
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def url(service: Service, listen: Callable[..., Any]) -> Iterator[str]:
    """Where the model is served as "tiny", with nothing allowed that isn't by default."""
    with listen(create_app(service, ServeOptions("tiny"))) as url:
        yield url
