"""The page: whole, readable without a network, and deaf to what a data set shouts."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from paddle_ground.cli import main
from paddle_ground.data.check import CheckOptions, check
from paddle_ground.data.check.charts import bar_chart, histogram
from paddle_ground.data.check.page import write_page

Planted = Any
HOSTILE = """"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;"""


class Tags(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def page(planted: Planted) -> str:
    path = planted.folder / "check.html"
    write_page(path, planted.check())
    return path.read_text(encoding="utf-8")


def test_a_page_shows_pictures_boxes_numbers_and_problems(planted: Planted, model_dir: Path) -> None:
    planted.record(1)["objects"]["bbox"][0][2] = 1001
    planted.options["model_dir"] = model_dir
    found = Tags(page(planted))
    assert found.tags.count("image") == 6
    assert found.tags.count("g") == 20  # One a box.
    assert "a box sticks out of the image" in found.text
    assert f"{planted.path}:2" in found.text
    for title in ("Labels", "Box sizes", "Boxes a sample", "Image sizes", "Token lengths"):
        assert title in found.text


def test_a_page_needs_nothing_else(planted: Planted) -> None:
    found = Tags(page(planted))
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    for name, value in found.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert (value or "").startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize("place", ["label", "prompt", "path", "line"])
def test_a_hostile_data_set_stays_text(planted: Planted, place: str) -> None:
    record = planted.record(1)
    if place == "label":
        record["objects"]["ref"][0] = HOSTILE
    elif place == "prompt":
        record["messages"][0]["content"] = f"<image>{HOSTILE}"
    elif place == "path":
        name = f"images/{HOSTILE.replace('/', '')}.png"
        (planted.folder / record["images"][0]).rename(planted.folder / name)
        record["images"] = [name]
    else:
        record["messages"][0]["role"] = HOSTILE
    text = page(planted)
    found = Tags(text)
    assert "<script" not in text
    assert not {"script", "img"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert "alert(1)" in found.text


def test_a_page_of_large_pictures_stays_small(planted: Planted) -> None:
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(1).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    for number in range(60):
        noise[0, 0, 0] = number
        Image.fromarray(noise).save(planted.folder / f"images/n{number}.jpg", quality=95)
        record = json.loads(json.dumps(planted.record(1)))
        record["images"] = [f"images/n{number}.jpg"]
        planted.lines.append(record)
    assert len(page(planted)) < 20_000_000


def test_a_histogram_counts_as_numpy_does() -> None:
    import numpy as np

    svg = histogram(np.array([1, 1, 1, 2, 4]), "x", mark=3)
    assert [svg.count(f": {count}</title>") for count in (3, 1, 0)] == [1, 2, 1]
    assert 'class="mark"' in svg
    assert histogram(np.zeros(0), "x") == '<p class="empty">nothing to count</p>'
    assert "and 5 more" in bar_chart({f"name {i}": i for i in range(30)}, "x")


def test_the_command_says_the_verdict_first_and_gives_the_exit_code(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["check", *arguments])
        shown = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, shown.out, shown.err

    path = planted.write()
    code, out, _ = run(str(path))
    assert (code, out.splitlines()[0]) == (0, f"{path}: no problems in 6 samples, 6 images, 20 boxes")

    for place in range(5):
        planted.record(place + 1)["objects"]["bbox"][0][2] = 1001 + place
    path = planted.write()
    result = planted.folder / "check.json"
    code, out, _ = run(str(path), "--json", str(result), "--html", str(planted.folder / "page.html"))
    lines = out.splitlines()
    assert (code, lines[0]) == (1, f"{path}: 5 errors in 6 samples, 6 images, 20 boxes")
    assert lines[1].startswith("error: a box sticks out of the image (5) [box_outside]: ")
    assert [line.startswith(f"  {path}:") for line in lines[2:5]] == [True] * 3
    assert lines[5] == "  and 2 more"
    report = json.loads(result.read_text())
    assert [problem["line"] for problem in report["problems"]] == [2, 3, 4, 5, 6]
    assert report["kinds"]["box_outside"]["count"] == 5
    assert (planted.folder / "page.html").exists()

    planted.lines = planted.lines[:1] * 2
    code, out, _ = run(str(planted.write()))
    assert code == 0
    assert run(str(planted.path), "--strict")[0] == 1
    code, _, err = run(str(planted.folder / "nothing.jsonl"))
    assert code == 2
    assert "no such file" in err


def test_a_stopped_check_stops(planted: Planted) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(planted.write(), CheckOptions(), stop)
