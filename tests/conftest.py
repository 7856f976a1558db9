"""Fixtures for every test."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from paddle_ground.records import (
    Category,
    Prediction,
    PredictionSink,
    Region,
    Truth,
    TruthBox,
    TruthImage,
    write_truth,
)

ROOT = Path(__file__).resolve().parents[1]

# A test must not fail because the machine is busy: no deadline for an example, none for drawing it.
# On CI hypothesis' own profile makes the examples the same each time.
settings.register_profile(
    "paddle_ground",
    parent=settings.get_profile("ci" if os.environ.get("CI") else "default"),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("paddle_ground")


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real files (COCO shards, exports, model answers) that lie beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real files: {folder} is not there (the checkout's neighbour `shared/data`)")
    return folder


Box = tuple[float, float, float, float]
WriteRun = Callable[..., Path]


@pytest.fixture
def write_run() -> WriteRun:
    """Write a run of 64 x 48 images on disk: `predictions.jsonl` and `val.truth.json` of one class."""

    def write(
        folder: Path,
        names: Sequence[str],
        truth: Sequence[Sequence[Box]],
        found: Sequence[Sequence[Box] | None],
        label: str = "猫",
        score: float | None = None,
        predictions: str = "predictions.jsonl",
    ) -> Path:
        """Take the true and the predicted boxes of each image (None: no prediction); give the folder."""
        images = tuple(TruthImage(i, name, (64, 48)) for i, name in enumerate(names, start=1))
        boxes = [(i, box) for i, some in enumerate(truth, start=1) for box in some]
        write_truth(
            folder / "val.truth.json",
            Truth(
                images,
                tuple(
                    TruthBox(n, i, 1, box, (box[2] - box[0]) * (box[3] - box[1]))
                    for n, (i, box) in enumerate(boxes, start=1)
                ),
                (Category(1, label),),
            ),
        )
        with PredictionSink(folder / predictions) as sink:
            for index, (name, some) in enumerate(zip(names, found, strict=True)):
                if some is not None:
                    regions = tuple(Region(label, box, score) for box in some)
                    sink.write(Prediction(index, name, (64, 48), "find", "...", "ok", regions=regions))
        return folder

    return write
