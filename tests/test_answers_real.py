"""Real answers of many models read as their sources say.

Expected values are the boxes of the sources' own tests (`shared/data/answers.jsonl`), or were read off
the text by eye.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from paddle_ground.answers import AnswerPoint, parse

# Lines of formats that this step does not read: PaliGemma, Florence-2, Kosmos-2 location tokens, Gemini's
# y-first box_2d, Moondream's and OpenAI's x_min keys. They must be told apart, not misread.
FOREIGN = (
    "PaliGemma",
    "Florence",
    "florence",
    "Gemini",
    "google-gemini",
    "Moondream",
    "Kosmos",
    "openai",
    "spacexai",
)
# What our reading makes of Qwen-family lines whose source names no boxes; by line, counted from 0.
BY_EYE: dict[int, tuple[str, list[tuple[str, tuple[int, int, int, int]]]]] = {
    63: ("repaired", [("main hanging sign for Hop Inn", (574, 301, 660, 468))]),
    64: ("repaired", [("white sign with red text listing amenities", (584, 496, 651, 660))]),
    65: ("repaired", [("central bear logo", (395, 276, 618, 740))]),
    67: ("failed", []),  # prose
    68: ("failed", []),  # prose
    69: ("failed", []),  # bbox_3d
    70: ("failed", []),  # bbox_3d
    79: ("repaired", [("Woman", (451, 379, 731, 806)), ("her dog", (219, 424, 576, 896))]),
    80: ("repaired", [("上海环球金融中心", (667, 437, 760, 874)), ("东方明珠", (506, 75, 582, 946))]),
    96: ("repaired", [("", (342, 308, 670, 766))]),
    97: ("repaired", [("", (233, 489, 378, 606))]),  # box tokens inside broken JSON
    98: ("ok", [("watch", (x, 118, x + 121, 825)) for x in (323, 444, 565, 686)]),
    101: ("repaired", [("standing woman next to guy in longsleeved blue shirt", (0, 0, 644, 476))]),
    104: ("repaired", [("一只狗", (221, 423, 569, 886)), ("一个女人", (451, 381, 733, 793))]),
    106: ("repaired", [("nutrition-table", (272, 494, 732, 621))]),
}


@pytest.fixture(scope="module")
def real_answers(shared_data: Path) -> list[dict[str, Any]]:
    path = shared_data / "answers.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    with path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def coord_max_of(row: dict[str, Any]) -> tuple[float, tuple[float, float]]:
    """The parser's maximum, and what stands for the right and the bottom border."""
    if row["model"] == "Qwen2.5-VL":
        width, height = row["model_input_size"]
        return math.inf, (width, height)
    if "999" in row["coord_system"]:
        return 999, (999, 999)
    return 1000, (1000, 1000)


def test_boxes_agree_with_the_sources_own(real_answers: list[dict[str, Any]]) -> None:
    compared = 0
    for number, row in enumerate(real_answers):
        if row["expected_boxes_pixel_xyxy"] is None or row["model"].startswith(FOREIGN):
            continue
        coord_max, (right, bottom) = coord_max_of(row)
        width, height = row["image_size"]
        read = parse(row["text"], coord_max=coord_max)
        classes = row.get("classes_filter")
        kept = [region for region in read.regions if classes is None or region.label in classes]
        boxes = [
            [x1 / right * width, y1 / bottom * height, x2 / right * width, y2 / bottom * height]
            for x1, y1, x2, y2 in (region.box for region in kept)
        ]
        # Negative numbers are clipped by us and not by the source: the image ends there.
        expected = [[max(value, 0.0) for value in box] for box in row["expected_boxes_pixel_xyxy"]]
        # The sources round, or divide 0..999 by 1000 and a bit: a tenth of a pixel on 1440 is well inside.
        assert boxes == [pytest.approx(box, abs=0.11) for box in expected], f"line {number}: {row['note']}"
        assert [region.label for region in kept] == row["expected_labels"], f"line {number}: {row['note']}"
        compared += len(expected)
    assert compared == 36


def test_qwen_answers_without_expected_boxes_read_sensibly(real_answers: list[dict[str, Any]]) -> None:
    for number, (status, wanted) in BY_EYE.items():
        read = parse(real_answers[number]["text"])
        assert [(r.label, r.box) for r in read.regions] == wanted, f"line {number}"
        assert read.status == status, f"line {number}"


def test_a_list_with_two_names_takes_the_english_one(real_answers: list[dict[str, Any]]) -> None:
    read = parse(real_answers[62]["text"])
    assert [region.label for region in read.regions][:3] == ["Rice", "Rice", "Potato Carrot Pork Rib Soup"]
    assert (len(read.regions), read.repairs) == (7, ("key_renamed",))


def test_point_answers_give_points(real_answers: list[dict[str, Any]]) -> None:
    assert parse(real_answers[66]["text"]).points == (AnswerPoint("point_1", (925, 618)),)
    assert parse(real_answers[105]["text"]).points == (AnswerPoint("", (246, 113)),)


def test_absolute_pixels_survive_without_a_maximum(real_answers: list[dict[str, Any]]) -> None:
    read = parse(real_answers[95]["text"], coord_max=math.inf)
    assert read.status == "ok"
    assert [r.box for r in read.regions] == [
        (1769, 1013, 1778, 1027),
        (483, 954, 519, 987),
        (419, 507, 429, 519),
    ]


def test_foreign_formats_are_told_apart_not_misread(real_answers: list[dict[str, Any]]) -> None:
    seen = 0
    for number, row in enumerate(real_answers):
        if row["model"].startswith(FOREIGN):
            read = parse(row["text"])
            assert read.regions == (), f"line {number}"
            assert read.status == "failed" or row["expected_boxes_pixel_xyxy"] == [], f"line {number}"
            seen += 1
    assert seen >= 50


def test_no_cut_of_a_real_answer_raises_or_gives_a_bad_box(real_answers: list[dict[str, Any]]) -> None:
    for row in real_answers:
        text = row["text"]
        whole = len(parse(text).regions)
        for end in range(0, len(text), 1 + len(text) // 23):
            read = parse(text[:end])
            assert len(read.regions) <= max(whole, 1)
            for x1, y1, x2, y2 in (region.box for region in read.regions):
                assert 0 <= x1 < x2 <= 1000
                assert 0 <= y1 < y2 <= 1000
