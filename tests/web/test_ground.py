"""The tab that finds things, in headless Chromium."""

from __future__ import annotations

import base64
import io
import json
import urllib.request
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.records import Region
from paddle_ground.serve.jobs import Done
from paddle_ground.web.ground import Found, drawing, picked_box


def table_rows(page: Any) -> list[list[str]]:
    """Read the table of boxes."""
    page.wait_for_selector("#ground-table [data-testid='cell-0-0']")
    rows = page.locator("#ground-table [data-index]").all()
    return [
        [cell.inner_text().strip() for cell in row.locator("[data-testid^='cell-']").all()] for row in rows
    ]


def find(opened: Any, picture: Any) -> None:
    page = opened.page
    page.set_input_files("#ground-image input[type=file]", str(picture))
    page.wait_for_selector("#ground-image img")
    page.click("#ground-find")
    page.wait_for_selector("#ground-drawn img")
    page.wait_for_function("() => document.querySelector('#ground-json .cm-content').innerText.includes('[')")


def drawn(page: Any) -> Image.Image:
    """Get the picture that is shown."""
    data = page.evaluate(
        """async () => {
          const blob = await (await fetch(document.querySelector('#ground-drawn img').src)).blob();
          const reader = new FileReader();
          return await new Promise((done) => { reader.onload = () => done(reader.result);
            reader.readAsDataURL(blob); });
        }"""
    )
    return Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))).convert("RGB")


def asked(url: str, picture: Any, **more: Any) -> dict[str, Any]:
    """Ask the server's API the same."""
    image = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    body = json.dumps({"image": image, **more}).encode()
    request = urllib.request.Request(f"{url}/v1/ground", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def test_boxes_are_found_drawn_and_listed(opened, url, pictures) -> None:
    find(opened, pictures[0])
    opened.look("ground")
    told = asked(url, pictures[0])
    rows = table_rows(opened.page)
    assert [row[0] for row in rows] == [region["label"] for region in told["regions"]]
    assert rows
    for row, region in zip(rows, told["regions"], strict=True):
        assert [float(x) for x in row[2:]] == [round(x, 1) for x in region["box_xyxy_px"]]
        assert float(row[1]) == round(region["score"], 3)
    assert opened.page.input_value("#ground-raw textarea") == told["text"]
    shown, plain = drawn(opened.page), Image.open(pictures[0]).convert("RGB")
    assert shown.width * plain.height == shown.height * plain.width
    difference = np.abs(
        np.asarray(shown, int) - np.asarray(plain.resize(shown.size, Image.Resampling.BICUBIC), int)
    )
    assert (difference.max(axis=2) > 40).mean() > 0.005  # edges and tags, and not the whole picture
    assert (difference.max(axis=2) > 40).mean() < 0.6


def test_the_threshold_leaves_boxes_out_without_asking_again(opened, service, pictures) -> None:
    find(opened, pictures[0])
    scores = [float(row[1]) for row in table_rows(opened.page)]
    answers, before = service.counts.answers, drawn(opened.page)
    slider = opened.page.locator("#ground-threshold input[type=number]")
    slider.fill("1")
    slider.press("Enter")
    opened.page.locator("#ground-threshold input[type=range]").evaluate(
        "one => one.dispatchEvent(new Event('pointerup', {bubbles: true}))"
    )
    left = [score for score in scores if score >= 1]
    opened.page.wait_for_function(
        "left => document.querySelector('#ground-json').innerText.split('label').length - 1 === left",
        arg=len(left),
    )
    assert len(left) < len(scores)
    assert service.counts.answers == answers
    assert np.asarray(drawn(opened.page)).tobytes() != np.asarray(before).tobytes()


def test_a_phrase_is_asked_for(opened, url, pictures) -> None:
    opened.page.fill("#ground-phrase textarea, #ground-phrase input", "the cup")
    find(opened, pictures[1])
    assert (
        opened.page.input_value("#ground-raw textarea") == asked(url, pictures[1], phrase="the cup")["text"]
    )


def test_classes_are_picked(opened, url, pictures) -> None:
    for name in ("cup", "blue square"):
        opened.page.click("#ground-classes input")
        opened.page.get_by_role("option", name=name).click()
    opened.page.keyboard.press("Escape")
    find(opened, pictures[1])
    told = asked(url, pictures[1], classes=["cup", "blue square"])
    assert told["text"] != asked(url, pictures[1])["text"]
    assert opened.page.input_value("#ground-raw textarea") == told["text"]


def test_a_box_that_is_clicked_is_copied(opened, url, pictures) -> None:
    page = opened.page
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    find(opened, pictures[0])
    image, (width, height) = page.locator("#ground-drawn img").bounding_box(), Image.open(pictures[0]).size
    boxes = [region["box_xyxy_px"] for region in asked(url, pictures[0])["regions"]]
    (x1, y1, x2, y2) = box = min(boxes, key=lambda one: (one[2] - one[0]) * (one[3] - one[1]))
    x, y = (x1 + x2) / 2 / width * image["width"], (y1 + y2) / 2 / height * image["height"]
    page.locator("#ground-drawn img").click(position={"x": x, "y": y})
    page.wait_for_function("document.querySelector('#ground-picked textarea').value.includes('label')")
    shown = page.input_value("#ground-picked textarea")
    assert json.loads(shown)["box_xyxy_px"] == pytest.approx(box, abs=0.01)
    page.wait_for_function("async (shown) => await navigator.clipboard.readText() === shown", arg=shown)


def test_the_box_in_front_is_the_one_that_is_clicked() -> None:
    file = io.BytesIO()
    Image.new("RGB", (320, 200)).save(file, "PNG")
    regions = tuple(
        Region(label, box, score)
        for label, box, score in (
            ("large", (0.0, 0.0, 300.0, 190.0), 0.9),
            ("small", (10.0, 10.0, 40.0, 40.0), 0.2),
        )
    )
    found = Found(file.getvalue(), Done("", "", "stop", 0, 0, 0.0, regions=regions))

    def label(least: float, *point: float) -> str:
        return json.loads(picked_box(found, least, point) or '{"label": ""}')["label"]

    # The picture is drawn twice as large.
    assert drawing(found, 0)[0].size == (640, 400)
    assert (label(0, 50, 50), label(0, 100, 50)) == ("small", "large")
    assert (label(0.5, 50, 50), label(0, 630, 390)) == ("large", "")
    assert picked_box(None, 0, (1, 1)) == ""


def test_an_example_is_a_picture_to_ask_about(opened) -> None:
    opened.page.click("#ground-examples button >> nth=1")
    opened.page.wait_for_selector("#ground-image img")
    opened.page.click("#ground-find")
    opened.page.wait_for_selector("#ground-drawn img")


def test_an_example_leaves_the_language(opened_in) -> None:
    page = opened_in("zh-CN").page
    page.wait_for_selector("#ground-examples >> text=示例")
    page.click("#ground-examples button >> nth=0")
    page.wait_for_selector("#ground-image img")
    assert "图片" in page.inner_text("#ground-image")
    assert "Picture" not in page.inner_text("#ground-image")


def test_what_cannot_be_is_told(opened, pictures, tmp_path) -> None:
    opened.page.click("#ground-find")
    assert "Drop a picture first." in opened.notice()
    opened.page.click(".toast-close")
    opened.page.wait_for_selector(".toast-body", state="detached")
    Image.new("RGB", (700, 600)).save(tmp_path / "large.png")  # 420,000 pixels; 300,000 may be
    opened.page.set_input_files("#ground-image input[type=file]", str(tmp_path / "large.png"))
    opened.page.wait_for_selector("#ground-image img")
    opened.page.click("#ground-find")
    assert "pixels" in opened.notice()


def test_it_speaks_chinese(opened_in, pictures) -> None:
    opened = opened_in("zh-CN")
    opened.page.get_by_role("tab", name="定位").wait_for()
    assert opened.page.inner_text("#ground-find") == "查找"
    find(opened, pictures[0])
    assert "标签" in opened.page.inner_text("#ground-table")
    opened.look("ground_zh")
    opened.page.click("#language >> text=English")
    opened.page.get_by_role("tab", name="Ground").wait_for()
    assert opened.page.inner_text("#ground-find") == "Find"
    assert opened.complaints == []
