"""Small models for tests of the backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddle_ground.backend.tiny import build_tiny_model


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the smallest model. Don't write into it."""
    return build_tiny_model(tmp_path_factory.mktemp("tiny") / "model", "test")
