"""Fixtures for every test."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

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
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# No sandbox for root; no calls home, which a closed network answers slowly.
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

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


@contextmanager
def _listening(app: Any, lifespan: Literal["on", "off"] = "off") -> Iterator[str]:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan=lifespan))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
        assert thread.is_alive()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)


@pytest.fixture(scope="session")
def listen() -> Callable[..., Any]:
    """Function that serves an app on a free port while a `with` lasts, and gives its URL."""
    return _listening


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; the tests that ask for it are left out where there is none."""
    api: Any = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `dev`)")
    named = os.environ.get("PADDLE_GROUND_CHROMIUM")
    path = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium here: install Debian's `chromium`, or name one by PADDLE_GROUND_CHROMIUM")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS, timeout=120_000)
        yield running
        running.close()
