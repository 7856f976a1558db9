"""A run with every kind of mistake, hostile names and answers among them, as files; and a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

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

HOSTILE_LABEL = "<img src=x onerror=window.broken=1>"
HOSTILE_ANSWER = "</script><script>window.broken=1</script><!--<script> {{script}} \u2028 &amp; 猫"
CAT, DOG = (8.0, 8.0, 32.0, 40.0), (36.0, 12.0, 60.0, 44.0)
IMAGES = 30
SIZE_WH = (64, 48)


@dataclass(frozen=True)
class Run:
    """A folder with `after.jsonl`, `before.jsonl`, `val.truth.json` and pictures."""

    folder: Path
    kinds: dict[str, list[int]]  # kind -> image ids


def answers(i: int) -> tuple[Region, ...]:
    """What is predicted for image i: the first seven each show one kind, the others hit ever better."""
    cat = Region("cat", CAT, 0.9)
    shift = 8.0 * (IMAGES - i) / IMAGES  # of 24 pixels: IoU from 0.55 to 1
    return {
        1: (cat, Region("dog", DOG, 0.3)),
        2: (cat,),
        3: (cat, Region("dog", DOG, 0.8), Region(HOSTILE_LABEL, (0.0, 0.0, 6.0, 6.0), 0.7)),
        4: (cat, Region("dog", (36.0, 12.0, 60.0, 22.0), 0.6)),
        5: (cat, Region("cat", DOG, 0.5)),
        6: (cat, Region("cat", (8.0, 8.0, 32.0, 39.0), 0.4), Region("dog", DOG, 0.8)),
        7: (),
    }.get(i, (Region("cat", (8.0 + shift, 8.0, 32.0 + shift, 40.0), 0.9), Region("dog", DOG, 0.8)))


def write_run(folder: Path) -> Run:
    categories = (Category(1, "cat"), Category(2, "dog"), Category(3, "</script><b>cow"))
    images = tuple(TruthImage(i, f"images/{i:02d}.png", SIZE_WH) for i in range(1, IMAGES + 1))
    boxes = tuple(
        TruthBox(2 * i + k - 2, i, k, box, 768.0)
        for i in range(1, IMAGES + 1)
        for k, box in ((1, CAT), (2, DOG))
    )
    write_truth(folder / "val.truth.json", Truth(images, boxes, categories))
    (folder / "images").mkdir()
    for i in range(1, IMAGES):  # the last picture is not there
        Image.new("RGB", SIZE_WH, (120, 120, 120)).save(folder / f"images/{i:02d}.png")
    for name in ("before", "after"):
        with PredictionSink(folder / f"{name}.jsonl") as sink:
            for i, image in enumerate(images, 1):
                regions = answers(i) if name == "after" else answers(i)[:1]
                text = HOSTILE_ANSWER if i == 7 else f"answer {i}"
                status = "failed" if i == 7 else "ok"
                sink.write(Prediction(i - 1, image.file_name, SIZE_WH, "find", text, status, regions=regions))
    return Run(
        folder,
        {
            "missed": [2, 7], "false": [3], "misplaced": [4], "wrong_label": [5],
            "wrong_label_and_place": [], "duplicate": [6], "unparsed": [7], "any": [2, 3, 4, 5, 6, 7],
        },
    )  # fmt: skip


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_run(tmp_path_factory.mktemp("report"))


class Opened:
    """A page, with what it complained about and what it asked for."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(90_000)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector(".card")

    def ids(self) -> list[int]:
        """Tell which images are on this page of the gallery."""
        cards = self.page.eval_on_selector_all(".card", "cards => cards.map(card => card.dataset.id)")
        return [int(one) for one in cards]

    def number(self, selector: str) -> int:
        return int(self.page.locator(selector).count())

    def press_chip(self, kind: str) -> None:
        self.page.click(f'.chip[data-kind="{kind}"]')


@pytest.fixture
def open_page(browser) -> Iterator[Callable[..., Opened]]:
    """Opens pages; at the end none may have complained, or asked for more than it holds."""
    pages: list[Opened] = []

    def open_one(path: Path, width: int = 1280, scheme: str = "light") -> Opened:
        pages.append(Opened(browser, path, width, scheme))
        return pages[-1]

    yield open_one
    for one in pages:
        one.context.close()
        assert one.complaints == []
        assert [url for url in one.requests if not url.startswith(("file:", "data:"))] == []
