"""Answers: what is rendered reads back, and what is broken is mended and named.

Real models' answers are in test_answers_real.py, texts made to be slow in test_answers_hostile.py.
"""

from __future__ import annotations

import math

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
    answer_script,
    parse,
    render,
    render_target,
    says_plain_box,
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


@pytest.mark.parametrize("fmt", list(AnswerFormat))
@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_script_of_a_format_is_what_render_writes(fmt: AnswerFormat, count: int) -> None:
    script = answer_script(fmt)
    regions = [AnswerRegion(f"cat {i}", (i, 20 + i, 300 + i, 400 + i)) for i in range(count)]
    said = []
    for region in regions:
        values = dict(zip(("x1", "y1", "x2", "y2"), map(str, region.box), strict=True), label=region.label)
        slots = [values[slot] for slot in script.slots]
        said.append(
            slots[0] + "".join(join + slot for join, slot in zip(script.joins, slots[1:], strict=True))
        )
    text = script.first + script.more.join(said) + script.close if said else script.empty
    assert text == render(regions, fmt)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("The cat[100, 100, 500, 1000] sleeps.", True),
        ("between [ 1,2 ,3,4 ]", True),
        ("[100, 200, 300]", False),
        ("[1, 2, 3, 4, 5]", False),
        ("a list [a, b, c, d]", False),
    ],
)
def test_a_box_of_plain_numbers_is_seen_inside_a_sentence(text: str, there: bool) -> None:
    assert says_plain_box(text) is there
