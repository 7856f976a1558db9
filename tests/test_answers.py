"""Answers: what is rendered reads back, and real models' answers read as their sources say.

Expected values come from the sources of `shared/data/answers.jsonl` (their own tests' boxes), from the
formats' published examples, or were read off the text by eye.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.answers import (
    AnswerFormat,
    AnswerPoint,
    AnswerRegion,
    ParsedAnswer,
    Repair,
    answer_format,
    parse,
    render,
    render_target,
)
from paddle_ground.errors import AnswerError

TOKENS, JSON = AnswerFormat.TOKENS, AnswerFormat.JSON
CAT = AnswerRegion("cat", (1.0, 2.0, 30.0, 40.0))
DOG = AnswerRegion("dog", (5.0, 6.0, 70.0, 80.0))


def tokens(label: str, box: tuple[int, int, int, int]) -> str:
    x1, y1, x2, y2 = box
    return f"<|object_ref_start|>{label}<|object_ref_end|><|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"


# --- rendering ---------------------------------------------------------------------------------------


def test_token_answer_is_what_the_paddleformers_plugin_expands() -> None:
    assert render([CAT, DOG], TOKENS) == (
        "<|object_ref_start|>cat<|object_ref_end|><|box_start|>(1,2),(30,40)<|box_end|>, "
        "<|object_ref_start|>dog<|object_ref_end|><|box_start|>(5,6),(70,80)<|box_end|>"
    )


def test_json_answer_has_the_layout_of_qwen3_vl() -> None:
    assert render([CAT, DOG], JSON) == (
        '```json\n[\n\t{"bbox_2d": [1, 2, 30, 40], "label": "cat"},\n'
        '\t{"bbox_2d": [5, 6, 70, 80], "label": "dog"}\n]\n```'
    )


def test_token_target_holds_one_placeholder_pair_a_box() -> None:
    target = render_target([CAT, DOG], TOKENS)
    assert target.content == "<ref-object><bbox>, <ref-object><bbox>"
    assert target.refs == ("cat", "dog")
    assert target.boxes == ((1, 2, 30, 40), (5, 6, 70, 80))


def test_expanding_the_token_target_gives_the_rendered_answer() -> None:
    # The expansion as PaddleFormers 1.2 does it: each placeholder in order, int() of the numbers.
    target = render_target([CAT, DOG], TOKENS)
    text = target.content
    for ref in target.refs:
        text = text.replace("<ref-object>", f"<|object_ref_start|>{ref}<|object_ref_end|>", 1)
    for x1, y1, x2, y2 in target.boxes:
        text = text.replace(
            "<bbox>", f"<|box_start|>({int(x1)},{int(y1)}),({int(x2)},{int(y2)})<|box_end|>", 1
        )
    assert text == render([CAT, DOG], TOKENS)


def test_json_target_is_the_text_itself() -> None:
    target = render_target([CAT], JSON)
    assert (target.content, target.refs, target.boxes) == (render([CAT], JSON), (), ())


@pytest.mark.parametrize(("fmt", "text"), [(TOKENS, "none"), (JSON, "```json\n[]\n```")])
def test_no_objects_is_said_and_understood(fmt: AnswerFormat, text: str) -> None:
    assert render([], fmt) == text
    assert render_target([], fmt).content == text
    assert parse(text, fmt) == ParsedAnswer((), "ok")
    assert parse(text) == ParsedAnswer((), "ok")


@pytest.mark.parametrize("fmt", [TOKENS, JSON])
@pytest.mark.parametrize(
    ("region", "complaint"),
    [
        (AnswerRegion(" ", CAT.box), "blank"),
        (AnswerRegion("cat ", CAT.box), "padded"),
        (AnswerRegion("a<|box_end|>b", CAT.box), r"<\|box_end\|>.*special token"),
        (AnswerRegion("<|im_end|>", CAT.box), "special token"),
        (AnswerRegion("<ref-object>", CAT.box), "placeholder"),
        (AnswerRegion("an <image>", CAT.box), "placeholder"),
        (AnswerRegion("</think>", CAT.box), "special token"),
        (AnswerRegion("\ud83d", CAT.box), "surrogate"),
        (AnswerRegion("cat", (1, 2, 1, 40)), "no area"),
        (AnswerRegion("cat", (30, 2, 1, 40)), "no area"),
        (AnswerRegion("cat", (1, 2, 30, math.nan)), "whole numbers"),
        (AnswerRegion("cat", (1, 2, 30, math.inf)), "whole numbers"),
        (AnswerRegion("cat", (1, 2, 30.5, 40)), "whole numbers"),
        (AnswerRegion("cat", (-1, 2, 30, 40)), "whole numbers"),
    ],
)
def test_what_no_model_should_learn_is_refused(
    fmt: AnswerFormat, region: AnswerRegion, complaint: str
) -> None:
    with pytest.raises(AnswerError, match=f"region 1.*{complaint}"):
        render([CAT, region], fmt)
    with pytest.raises(AnswerError, match="region 1"):
        render_target([CAT, region], fmt)


def test_unknown_format_is_refused_by_name() -> None:
    assert answer_format("json") is JSON
    with pytest.raises(AnswerError, match="unknown answer format 'xml'; known: tokens, json"):
        answer_format("xml")


# --- there and back ----------------------------------------------------------------------------------

NASTY = st.sampled_from(
    ["一只狗", 'the "big" one', "it's", "a, b", "[1, 2]", "{x}", "(1,2),(3,4)", "line\nbreak", "none", "[]",
     "```json", "a\\b", "\\", '"', "'", "},{", ']}]', "bbox_2d", '{"bbox_2d": [1, 2, 3, 4]}', "<box", "<|",
     "|>", "<|odd", "a > b", "😀", "\x00x", "\u2028x", "\\u0041"]
)  # fmt: skip
LABELS = st.one_of(NASTY, st.text(min_size=1, max_size=20), st.lists(NASTY, min_size=2).map("".join))


@st.composite
def regions(draw: st.DrawFn) -> list[AnswerRegion]:
    found = []
    for label in draw(st.lists(LABELS, max_size=6)):
        x1, y1 = draw(st.integers(0, 999)), draw(st.integers(0, 999))
        x2, y2 = draw(st.integers(x1 + 1, 1000)), draw(st.integers(y1 + 1, 1000))
        found.append(AnswerRegion(label, (x1, y1, x2, y2)))
    return list(dict.fromkeys(found))


def renders(wanted: list[AnswerRegion], fmt: AnswerFormat) -> str | None:
    try:
        return render(wanted, fmt)
    except AnswerError:
        return None


@pytest.mark.parametrize("fmt", [TOKENS, JSON])
@given(wanted=regions())
def test_what_is_rendered_reads_back(fmt: AnswerFormat, wanted: list[AnswerRegion]) -> None:
    text = renders(wanted, fmt)
    if text is not None:
        for tail in ("", "<|im_end|>", "<|im_end|><|endoftext|><|endoftext|>"):
            assert parse(text + tail, fmt) == ParsedAnswer(tuple(wanted), "ok")
            assert parse(text + tail) == ParsedAnswer(tuple(wanted), "ok")


@pytest.mark.parametrize(
    "label", ["一只狗", 'the "big" one', "it's", "a, b", "[1, 2]", "line\nbreak", "(1,2),(3,4)"]
)
@pytest.mark.parametrize("fmt", [TOKENS, JSON])
def test_awkward_labels_are_not_refused(fmt: AnswerFormat, label: str) -> None:
    wanted = (AnswerRegion(label, CAT.box), DOG)
    assert parse(render(wanted, fmt)).regions == wanted


@given(wanted=regions(), cut=st.floats(0, 1))
@pytest.mark.parametrize("fmt", [TOKENS, JSON])
def test_a_cut_answer_keeps_a_beginning_of_the_regions(
    fmt: AnswerFormat, wanted: list[AnswerRegion], cut: float
) -> None:
    plain = [AnswerRegion(f"thing {i}", region.box) for i, region in enumerate(wanted)]
    text = render(plain, fmt)
    text = text[: int(len(text) * cut)]
    read = parse(text, fmt)
    assert list(read.regions) == plain[: len(read.regions)]
    # Only what the cut went through may be lost.
    alone = [
        render([region], fmt).removeprefix("```json\n[\n\t").removesuffix("\n]\n```") for region in plain
    ]
    assert len(read.regions) >= sum(piece in text for piece in alone)


@given(text=st.text(alphabet=st.sampled_from("[]{}()<>|\",:'1.-e abox_2d`\\\n"), max_size=300))
def test_no_text_raises(text: str) -> None:
    for fmt in (None, TOKENS, JSON):
        read = parse(text, fmt)
        for region in read.regions:
            x1, y1, x2, y2 = region.box
            assert 0 <= x1 < x2 <= 1000
            assert 0 <= y1 < y2 <= 1000
        assert (read.status == "ok") <= (read.repairs == ())


# --- one quirk a row ---------------------------------------------------------------------------------

CAT_TOKENS, DOG_TOKENS = tokens("cat", (1, 2, 30, 40)), tokens("dog", (5, 6, 70, 80))
CAT_JSON, DOG_JSON = (
    '{"bbox_2d": [1, 2, 30, 40], "label": "cat"}',
    '{"bbox_2d": [5, 6, 70, 80], "label": "dog"}',
)

QUIRKS: list[tuple[str, str, list[AnswerRegion], set[str]]] = [
    # name, text, regions, repairs
    ("special tokens skipped", "cat(1,2),(30,40), dog(5,6),(70,80)", [CAT, DOG], set()),
    ("skipped, with blanks", "cat (1, 2), (30, 40); dog (5, 6), (70, 80).", [CAT, DOG], set()),
    ("skipped, a line each", "cat(1,2),(30,40)\ndog(5,6),(70,80)", [CAT, DOG], set()),
    ("skipped, cut in a box", "cat(1,2),(30,40), dog(5,6),(7", [CAT], {"truncated_tail_dropped"}),
    ("skipped, cut in a name", "cat(1,2),(30,40), do", [CAT], {"truncated_tail_dropped"}),
    ("skipped, talk after", "cat(1,2),(30,40) on a mat", [CAT], {"prose_ignored"}),
    ("skipped, no name", "(1,2),(30,40)", [AnswerRegion("", CAT.box)], {"label_missing"}),
    ("two boxes a name", f"{CAT_TOKENS}<|box_start|>(5,6),(70,80)<|box_end|>",
     [CAT, AnswerRegion("cat", DOG.box)], set()),
    ("cut in a name", f"{CAT_TOKENS}, <|object_ref_start|>do", [CAT], {"truncated_tail_dropped"}),
    ("cut after a name", f"{CAT_TOKENS}, <|object_ref_start|>dog<|object_ref_end|>", [CAT],
     {"truncated_tail_dropped"}),
    ("cut in a box", f"{CAT_TOKENS}, {DOG_TOKENS[:-15]}", [CAT], {"truncated_tail_dropped"}),
    ("cut in a number", f"{CAT_TOKENS}, {DOG_TOKENS[:-12]}", [CAT], {"truncated_tail_dropped"}),
    ("cut before the end token", f"{CAT_TOKENS}, {DOG_TOKENS[:-11]}", [CAT, DOG], {"truncated_tail_closed"}),
    ("cut in the end token", CAT_TOKENS[:-3], [CAT], {"truncated_tail_closed"}),
    ("cut in the next token", f"{CAT_TOKENS}, <|object_ref_st", [CAT], {"truncated_tail_dropped"}),
    ("name end missing", CAT_TOKENS.replace("<|object_ref_end|>", ""), [CAT], {"marker_missing"}),
    ("box end missing", f"{CAT_TOKENS.replace('<|box_end|>', '')}, {DOG_TOKENS}",
     [CAT, DOG], {"marker_missing"}),
    ("box tokens missing", "<|object_ref_start|>cat<|object_ref_end|>(1,2),(30,40)",
     [CAT], {"marker_missing"}),
    ("three numbers", f"{CAT_TOKENS}, {DOG_TOKENS.replace(',80', '')}", [CAT], {"malformed_dropped"}),
    ("empty box", f"{CAT_TOKENS}, {DOG_TOKENS.replace('(5,6),(70,80)', '')}", [CAT], {"malformed_dropped"}),
    ("name without a box", f"<|object_ref_start|>cow<|object_ref_end|>, {CAT_TOKENS}", [CAT],
     {"malformed_dropped"}),
    ("talk between", f"I see {CAT_TOKENS} and {DOG_TOKENS}.", [CAT, DOG], {"prose_ignored"}),
    ("loop", ", ".join([CAT_TOKENS] * 50 + [DOG_TOKENS] * 2), [CAT, DOG], {"duplicate_dropped"}),
    ("same box, two names", f"{CAT_TOKENS}, {tokens('pet', (1, 2, 30, 40))}",
     [CAT, AnswerRegion("pet", CAT.box)], set()),
    ("swapped corners", tokens("cat", (30, 2, 1, 40)), [CAT], {"swapped_corners"}),
    ("both corners swapped", tokens("cat", (30, 40, 1, 2)), [CAT], {"swapped_corners"}),
    ("out of range", tokens("cat", (-5, 2, 1200, 40)), [AnswerRegion("cat", (0, 2, 1000, 40))], {"clipped"}),
    ("wholly outside", f"{CAT_TOKENS}, {tokens('dog', (1100, 5, 1200, 9))}", [CAT],
     {"clipped", "degenerate_dropped"}),
    ("no area", f"{CAT_TOKENS}, {tokens('dog', (5, 5, 5, 9))}", [CAT], {"degenerate_dropped"}),
    ("decimals", "<|box_start|>(1.5,2),(30,40)<|box_end|>", [AnswerRegion("", (1.5, 2, 30, 40))],
     {"label_missing", "non_integer"}),
    ("runaway digits", f"{CAT_TOKENS}, {DOG_TOKENS.replace('80', '8' * 400)}", [CAT], {"malformed_dropped"}),
    ("unexpanded placeholder", "<|object_ref_start|><ref-object><|object_ref_end|><|box_start|>(1,2),(30,40)",
     [AnswerRegion("<ref-object>", CAT.box)], {"placeholder_unexpanded", "truncated_tail_closed"}),
    ("goes on after its end", f"{CAT_TOKENS}<|im_end|>\n<|im_start|>user\nmore",
     [CAT], {"text_after_end_dropped"}),
    ("chat header", f"<|im_start|>assistant\n{CAT_TOKENS}<|im_end|>", [CAT], set()),
    ("empty think block", f"<think>\n\n</think>\n\n{CAT_TOKENS}", [CAT], set()),
    ("think block", f"<think>a cat at (9,9),(10,10)?</think>{CAT_TOKENS}", [CAT], {"thinking_dropped"}),
    ("Qwen-VL's older tokens", "<ref>cat</ref><box>(1,2),(30,40)</box>", [CAT], set()),
    ("a relation is no object", f"<ref>cat</ref><box>[[1, 2, 30, 40]]</box>, <pred>near</pred>"
     f"<box>[[9, 9, 99, 99]]</box><box>[[8, 8, 88, 88]]</box>, {DOG_TOKENS}", [CAT, DOG], set()),
    ("lists in a box token", "<ref>cat</ref><box>[[1, 2, 30, 40], [5, 6, 70, 80]]</box>",
     [CAT, AnswerRegion("cat", DOG.box)], set()),
    ("one list too long", "<ref>cat</ref><box>[[9, 9, 9, 9, 9], [1, 2, 30, 40]]</box>", [CAT],
     {"malformed_dropped"}),
    # JSON
    ("no fence", f"[{CAT_JSON}, {DOG_JSON}]", [CAT, DOG], set()),
    ("fence without a name", f"```\n[{CAT_JSON}]\n```", [CAT], set()),
    ("fence not closed", f"```json\n[{CAT_JSON}]", [CAT], {"fence_unclosed"}),
    ("talk and a fence", f"Sure!\n```json\n[{CAT_JSON}]\n```\nDone.", [CAT], {"prose_ignored"}),
    ("a lone object", CAT_JSON, [CAT], {"not_a_list"}),
    ("JSON lines", f"{CAT_JSON}\n{DOG_JSON}", [CAT, DOG], {"not_a_list"}),
    ("wrapped", f'{{"objects": [{CAT_JSON}, {DOG_JSON}]}}', [CAT, DOG], {"not_a_list"}),
    ("list of lists", f"[[{CAT_JSON}], [{DOG_JSON}]]", [CAT, DOG], set()),
    ("cut in an object", f"```json\n[{CAT_JSON}, {DOG_JSON[:20]}", [CAT],
     {"fence_unclosed", "truncated_tail_dropped"}),
    ("cut in a label", f"[{CAT_JSON}, {DOG_JSON[:-3]}", [CAT], {"truncated_tail_dropped"}),
    ("cut before the brace", f"[{CAT_JSON}, {DOG_JSON[:-1]}", [CAT, DOG], {"truncated_tail_closed"}),
    ("cut before the bracket", f"[{CAT_JSON}, {DOG_JSON}", [CAT, DOG], {"truncated_tail_closed"}),
    ("cut in the first object", f"[{CAT_JSON[:25]}", [], {"truncated_tail_dropped"}),
    ("Python quotes", "[{'bbox_2d': [1, 2, 30, 40], 'label': 'cat'}]", [CAT], {"json_mended"}),
    ("no quotes", "[{bbox_2d: [1, 2, 30, 40], label: cat}]", [CAT], {"json_mended"}),
    ("trailing commas", f"[{CAT_JSON[:-1]},}}, {DOG_JSON},]", [CAT, DOG], {"json_mended"}),
    ("missing comma", f"[{CAT_JSON} {DOG_JSON}]", [CAT, DOG], {"json_mended"}),
    ("missing bracket", f"[{CAT_JSON.replace('40]', '40')}, {DOG_JSON}]", [CAT, DOG], {"json_mended"}),
    ("stray quote", "[" + CAT_JSON.replace("cat", 'c"t') + f", {DOG_JSON}]",
     [AnswerRegion("c", CAT.box), DOG],
     {"json_mended"}),
    ("other keys", '[{"bbox": [1, 2, 30, 40], "name": "cat"}]', [CAT], {"key_renamed"}),
    ("no keys", "[1, 2, 30, 40]", [AnswerRegion("", CAT.box)], {"key_renamed", "label_missing"}),
    ("no label", '[{"bbox_2d": [1, 2, 30, 40]}]', [AnswerRegion("", CAT.box)], {"label_missing"}),
    ("label null", '[{"bbox_2d": [1, 2, 30, 40], "label": null}]',
     [AnswerRegion("", CAT.box)], {"label_missing"}),
    ("box in quotes", '[{"bbox_2d": "[1, 2, 30, 40]", "label": "cat"}]', [CAT], {"json_mended"}),
    ("corner pairs", '[{"bbox_2d": [[1, 2], [30, 40]], "label": "cat"}]', [CAT], set()),
    ("boxes of one label", '[{"bbox_2d": [[1, 2, 30, 40], [5, 6, 70, 80]], "label": "cat"}]',
     [CAT, AnswerRegion("cat", DOG.box)], set()),
    ("five numbers", f'[{{"bbox_2d": [1, 2, 3, 4, 5], "label": "cow"}}, {CAT_JSON}]', [CAT],
     {"malformed_dropped"}),
    ("not a number", f'[{{"bbox_2d": [1, 2, 3, NaN], "label": "cow"}}, {CAT_JSON}]', [CAT],
     {"malformed_dropped"}),
    ("box_2d has no one order", '[{"box_2d": [1, 2, 30, 40], "label": "cat"}]', [],
     {"malformed_dropped", "prose_ignored"}),
    ("further keys", '[{"bbox_2d": [1, 2, 30, 40], "label": "cat", "parts": {"n": [3, 4]}}]', [CAT], set()),
    ("fractions", '[{"bbox_2d": [0.1, 0.2, 0.3, 0.5], "label": "cat"}]',
     [AnswerRegion("cat", (100, 200, 300, 500))], {"fractions_scaled"}),
    ("escapes", '[{"bbox_2d": [1, 2, 30, 40], "label": "\\u732b \\"x\\""}]',
     [AnswerRegion('猫 "x"', CAT.box)],
     set()),
    ("spoken of, not said", 'The "label" [sic] is unclear.', [], {"prose_ignored"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "wanted", "repairs"), [row[1:] for row in QUIRKS], ids=[row[0] for row in QUIRKS]
)
def test_quirk(text: str, wanted: list[AnswerRegion], repairs: set[str]) -> None:
    read = parse(text)
    assert [(r.label, pytest.approx(r.box)) for r in read.regions] == [(r.label, r.box) for r in wanted]
    assert set(read.repairs) == repairs
    assert read.status == ("failed" if not wanted else "repaired" if repairs else "ok")


def test_repairs_come_in_one_order_and_once() -> None:
    text = ", ".join([tokens("cat", (30, 2, -1, 1040))] * 3)
    assert parse(text).repairs == ("swapped_corners", "clipped", "duplicate_dropped")
    assert all(name in {member.value for member in Repair} for name in parse(text).repairs)


@pytest.mark.parametrize("text", ["none", "None.", "no objects", "[]", "无", "```json\n[]\n```<|im_end|>"])
def test_ways_to_say_nothing(text: str) -> None:
    assert parse(text) == ParsedAnswer((), "ok")


@pytest.mark.parametrize(
    ("text", "repair"),
    [
        ("There are no dogs in the image.", "prose_ignored"),
        ("图中没有狗。", "prose_ignored"),
        ('{"objects": []}', "not_a_list"),
        ("", "empty_answer"),
        (" \n<|im_end|>", "empty_answer"),
    ],
)
def test_nothing_said_in_another_way_is_a_repair(text: str, repair: str) -> None:
    assert parse(text) == ParsedAnswer((), "repaired", (repair,))


def test_the_other_format_is_read_and_reported() -> None:
    assert parse(CAT_TOKENS, JSON) == ParsedAnswer((CAT,), "repaired", ("other_format",))
    assert parse(f"[{CAT_JSON}]", TOKENS) == ParsedAnswer((CAT,), "repaired", ("other_format",))
    assert parse("none", JSON) == ParsedAnswer((), "repaired", ("other_format",))


def test_points_are_kept_apart() -> None:
    read = parse('[{"point_2d": [10, 20], "label": "nose"}]')
    assert read == ParsedAnswer((), "repaired", ("point_not_box",), (AnswerPoint("nose", (10, 20)),))
    mixed = parse(f'[{{"point_2d": [10, 20], "label": "nose"}}, {CAT_JSON}]')
    assert mixed.regions == (CAT,)
    assert mixed.points == read.points


def test_coordinates_without_a_maximum_are_not_clipped() -> None:
    text = tokens("cat", (1769, 1013, 1778, 1027))
    assert parse(text, coord_max=math.inf).regions == (AnswerRegion("cat", (1769, 1013, 1778, 1027)),)
    assert parse(text).status == "failed"


# --- real answers ------------------------------------------------------------------------------------

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


# --- hostile input: the work grows with the text, not with its square ----------------------------------

HOSTILE: dict[str, Callable[[int], str]] = {
    "round brackets": lambda n: "(" * n,
    "square brackets": lambda n: "[" * n,
    "braces": lambda n: "{" * n,
    "closed brackets": lambda n: "[" * (n // 2) + "]" * (n // 2),
    "braces with keys": lambda n: '{"bbox_2d":[' * (n // 12),
    "quotes": lambda n: '["' * (n // 2),
    "escapes": lambda n: '["' + '\\"' * (n // 2),
    "digits": lambda n: "[" + "9" * n,
    "digits in a box token": lambda n: "<|box_start|>(" + "9" * n,
    "half corners": lambda n: "(1,2),(" * (n // 7),
    "blanks": lambda n: "(" + " " * n + "1",
    "box starts": lambda n: "<|box_start|>" * (n // 13),
    "name starts": lambda n: "<|object_ref_start|>a" * (n // 21),
    "end tokens": lambda n: "<|im_end|>" * (n // 10),
    "think blocks": lambda n: "<think>" * (n // 7) + "</think>" * (n // 8),
    "fences": lambda n: "```json\n" * (n // 8),
    "empty lists": lambda n: "[]" * (n // 2),
    "a loop of boxes": lambda n: (CAT_TOKENS + ", ") * (n // (len(CAT_TOKENS) + 2)),
    "a loop of objects": lambda n: "[" + (CAT_JSON + ", ") * (n // (len(CAT_JSON) + 2)),
    "deep boxes": lambda n: "[[1,2,3,4]," * (n // 11),
}  # fmt: skip


def count_calls(text: str) -> int:
    """Count the calls, ours and the interpreter's, that one parse makes."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        parse(text)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_costs_work_in_proportion(make: Callable[[int], str]) -> None:
    small, large = count_calls(make(2_000)), count_calls(make(8_000))
    assert large <= 4.5 * small + 200  # 16 times would be quadratic
    parse(make(100_000))  # ends at all: no recursion limit, no explosion
