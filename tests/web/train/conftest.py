"""A page that trains: a small model, squares to find, and configurations, in folders of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.files import sha256_file
from paddle_ground.records import Message, Sample, SamplesMeta, meta_path, write_meta, write_samples
from paddle_ground.web.page import Place, create_page
from paddle_ground.web.train_folders import TrainPlace

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def write_squares(folder: Path, count: int) -> Path:
    """Write pictures of a dark square on noise, with its box in 0..1000, and what the data is."""
    rng = np.random.default_rng(count)
    (folder / "images").mkdir(parents=True)
    samples = []
    for number in range(count):
        pixels = rng.integers(120, 256, (64, 64, 3), dtype=np.uint8)
        x, y = (int(value) for value in rng.integers(0, 40, 2))
        pixels[y : y + 24, x : x + 24] = 10
        Image.fromarray(pixels).save(folder / f"images/{number}.png")
        box = tuple(round(edge * 1000 / 64) for edge in (x, y, x + 24, y + 24))
        turns = (Message("user", "<image>Task: Object Detection"), Message("assistant", "<ref-object><bbox>"))
        samples.append(Sample(turns, (f"images/{number}.png",), ("square",), (box,)))
    path = folder / "train.jsonl"
    write_samples(path, samples)
    meta = SamplesMeta(
        source="squares", converter_version="0", coordinate_space="relative_1000", answer_format="tokens",
        prompt="Task: Object Detection", class_names=("square",), counts={"kept": count},
        samples_sha256=sha256_file(path),
    )  # fmt: skip
    write_meta(meta_path(path), meta)
    return path


def make_place(root: Path) -> TrainPlace:
    """Make the folders: `runs/model`, `data/squares`, and the published configurations with a small one."""
    build_tiny_model(root / "runs/model", "test")
    data = write_squares(root / "data/squares", 12)
    shutil.copytree(CONFIGS, root / "configs")
    values = yaml.safe_load((CONFIGS / "tiny/demo.yaml").read_text())
    values |= {
        "train_dataset_path": str(data), "eval_dataset_path": str(data), "max_steps": 1000,
        "model_name_or_path": str(root / "runs/model"), "output_dir": str(root / "runs/first"),
        "logging_dir": str(root / "elsewhere"), "per_device_train_batch_size": 4, "save_steps": 5,
        "eval_steps": 5, "logging_steps": 1, "warmup_steps": 1, "disable_tqdm": True,
    }  # fmt: skip
    head = "# A small one.\n"
    (root / "configs/small.yaml").write_text(head + yaml.safe_dump(values, sort_keys=False))
    return TrainPlace(root / "runs", root / "configs", root / "data")


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> TrainPlace:
    """The folders of the page."""
    return make_place(tmp_path_factory.mktemp("place").resolve())


@pytest.fixture(scope="session")
def url(place: TrainPlace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is; it has no model."""
    pytest.importorskip("gradio", reason="gradio is not installed (extra `web`)")
    import threading
    import time

    import uvicorn
    from fastapi import FastAPI

    before = {name: os.environ.get(name) for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED")}
    shown = Place(tmp_path_factory.mktemp("uploads"), place.data, runs=place.runs, configs=place.configs)
    app = create_page(FastAPI(openapi_url=None), None, shown)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
        assert thread.is_alive()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=30)
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


class Tab:
    """The tab in a browser."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def choose(self, name: str, field: str = "config") -> None:
        """Choose of a list."""
        self.page.click(f"#train-{field} input")
        self.page.locator("[role=option]").filter(has_text=name).first.click()

    def fill(self, field: str, value: str) -> None:
        """Write into a field, and leave it."""
        box = self.page.locator(f"#train-{field} input, #train-{field} textarea").first
        box.fill(value)
        box.press("Tab")

    def value(self, field: str) -> str:
        """Read a field."""
        return str(self.page.input_value(f"#train-{field} input, #train-{field} textarea"))

    def wait_plan(self, words: str) -> str:
        """Wait until the plan says something; gives all that it says."""
        self.page.wait_for_function(
            "words => document.querySelector('#train-plan').innerText.includes(words)", arg=words
        )
        return str(self.page.inner_text("#train-plan"))

    def wait_state(self, state: str, timeout_s: float = 120) -> str:
        """Wait until the run that is shown is in a state; gives what is said of it."""
        self.page.wait_for_selector(f"#train-status .state.{state}", timeout=timeout_s * 1000)
        return str(self.page.inner_text("#train-status"))


@pytest.fixture
def open_tab() -> Any:
    """Give what goes to the tab on an opened page."""

    def go(page: Any, name: str = "Train") -> Tab:
        page.get_by_role("tab", name=name).first.click()
        page.wait_for_selector("#train-config input")
        return Tab(page)

    return go


@pytest.fixture
def tab(opened: Any, open_tab: Any) -> Tab:
    """The tab, opened."""
    return open_tab(opened.page)
