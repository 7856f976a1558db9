"""A small model with a service, a folder of samples, and the page about them in a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_ground.backend.tiny import PRESETS, build_tiny_model
from paddle_ground.data.scenes import SceneStyle, draw_scene
from paddle_ground.infer import Engine
from paddle_ground.records import (
    Category,
    GroundingConfig,
    Message,
    Sample,
    Truth,
    TruthBox,
    TruthImage,
    write_grounding,
    write_samples,
    write_truth,
)
from paddle_ground.serve import ServeOptions, Service, create_app, thread_worker
from paddle_ground.serve.options import Limits
from paddle_ground.web.page import Place, create_page

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "tiny"
CLASSES = ("red circle", "blue square", "cup")
LIMITS = Limits(image_bytes=400_000, pixels=300_000, seconds=120.0)


@pytest.fixture(scope="session")
def runs_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model`: wide random weights."""
    root = tmp_path_factory.mktemp("runs").resolve()
    folder = root / "model"
    build_tiny_model(folder, replace(PRESETS["test"], initializer_range=0.5), CLASSES, seed=5)
    config = GroundingConfig(
        coordinate_space="relative_1000", answer_format="tokens", prompt="Task: Object Detection",
        min_pixels=1024, max_pixels=65536, class_names=CLASSES,
    )  # fmt: skip
    write_grounding(folder, config)
    return root


@pytest.fixture(scope="session")
def service(runs_root: Path) -> Iterator[Service]:
    """A service in a thread, around the model."""
    service = Service(thread_worker(Engine.load(runs_root / "model"), batch=4), batch=4)
    service.open()
    yield service
    service.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two scenes as files."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(2):
        image, _ = draw_scene(SceneStyle(side_px=192), np.random.default_rng(seed + 40))
        image.save(folder / f"{seed}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `set/train.jsonl`: 14 good samples, one with a link, one line that is broken.

    And with `zoo/val.jsonl`: six good samples with their truth.
    """
    root = tmp_path_factory.mktemp("data").resolve()
    folder = root / "set"
    (folder / "images").mkdir(parents=True)
    samples = []
    for seed in range(14):
        image, _ = draw_scene(SceneStyle(side_px=96), np.random.default_rng(seed))
        image.save(folder / f"images/{seed}.png")
        turns = (Message("user", "<image>Find it."), Message("assistant", "<ref-object><bbox>"))
        samples.append(Sample(turns, (f"images/{seed}.png",), ("cup",), ((0, 0, 500, 1000),)))
    image.save(root / "secret.png")
    (folder / "images/link.png").symlink_to(root / "secret.png")
    samples.append(Sample(turns, ("images/link.png",), ("cup",), ((0, 0, 500, 1000),)))
    write_samples(folder / "train.jsonl", samples)
    with (folder / "train.jsonl").open("a") as stream:
        stream.write('{"messages": "<script>window.broken=1</script>"}\n')
    (root / "other.jsonl").write_text('{"index": 0}\n')
    _write_zoo(root / "zoo")
    return root


def _write_zoo(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    samples, images, boxes = [], [], []
    for index in range(6):
        image, _ = draw_scene(SceneStyle(side_px=96), np.random.default_rng(index))
        image.save(folder / f"images/{index}.png")
        turns = Message("user", "<image>Find it."), Message("assistant", "<ref-object><bbox>")
        samples.append(Sample(turns, (f"images/{index}.png",), ("cup",), ((0, 0, 500, 1000),)))
        images.append(TruthImage(index, f"images/{index}.png", image.size))
        boxes.append(TruthBox(index + 1, index, 1, (0.0, 0.0, 48.0, 96.0), 48.0 * 96.0))
    write_samples(folder / "val.jsonl", samples)
    write_truth(folder / "val.truth.json", Truth(tuple(images), tuple(boxes), (Category(1, "cup"),)))


@pytest.fixture(scope="session")
def url(
    service: Service,
    data_root: Path,
    runs_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
    listen: Callable[..., Any],
) -> Iterator[str]:
    """Where the page is."""
    pytest.importorskip("gradio", reason="gradio is not installed (extra `web`)")
    before = {name: os.environ.get(name) for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED")}
    uploads = tmp_path_factory.mktemp("uploads")
    configs = shutil.copytree(CONFIGS, tmp_path_factory.mktemp("settings") / "configs")
    place = Place(uploads, data_root, LIMITS, runs_root, configs.resolve(), runs_root / "model")
    app = create_page(create_app(service, ServeOptions("tiny", limits=LIMITS)), service, place)
    with listen(app, lifespan="on") as url:
        yield url
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


class Opened:
    """The page in a window, with what it complained about and what it asked for."""

    def __init__(
        self, browser: Any, url: str, locale: str = "en-GB", width: int = 1280, scheme: str = "light"
    ) -> None:
        size = {"width": width, "height": 1000}
        self.context = browser.new_context(viewport=size, locale=locale, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)
        self.page.wait_for_selector("#language")

    def look(self, name: str) -> None:
        """Keep a picture of the page where PADDLE_GROUND_SHOTS says."""
        folder = os.environ.get("PADDLE_GROUND_SHOTS")
        if folder:
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=True)

    def notice(self) -> str:
        """Read the notice that came up."""
        return str(self.page.wait_for_selector(".toast-body").inner_text())


@pytest.fixture
def opened(browser: Any, url: str) -> Iterator[Opened]:
    one = Opened(browser, url)
    yield one
    one.context.close()
    assert one.complaints == []
    assert [place for place in one.requests if not place.startswith((url, "data:", "blob:"))] == []


@pytest.fixture
def opened_in(browser: Any, url: str) -> Iterator[Any]:
    """Give what opens the page in a browser of another language, width or scheme."""
    opened: list[Opened] = []

    def open_in(locale: str = "en-GB", width: int = 1280, scheme: str = "light", path: str = "/") -> Opened:
        opened.append(Opened(browser, url + path, locale, width, scheme))
        return opened[-1]

    yield open_in
    for one in opened:
        one.context.close()
