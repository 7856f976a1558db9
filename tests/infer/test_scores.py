"""Scores worked out by hand from given probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from PIL import Image

from paddle_ground.answers import AnswerFormat, AnswerRegion, render
from paddle_ground.infer import Answer, Engine
from paddle_ground.infer.grounding import read_answer
from paddle_ground.infer.scores import scored_regions

TOKENS = (
    "<|object_ref_start|>{}<|object_ref_end|><|box_start|>(1,20),(300,4)<|box_end|>, "
    "<|object_ref_start|>红<|object_ref_end|><|box_start|>(5,6),(7,8)<|box_end|><|im_end|>"
)
JSON = '```json\n[\n\t{{"bbox_2d": [1, 20, 300, 40], "label": "{}"}}\n]\n```<|im_end|>'


def odds(engine: Engine, text: str, probability: Callable[[str], float]) -> tuple[list[int], list[float]]:
    ids = engine.vocabulary.encode(text)
    pieces = [engine.vocabulary.bytes_of(token).decode("latin-1") for token in ids]
    return ids, [math.log(probability(piece)) for piece in pieces]


def test_label_and_digits_count_and_marks_don_t(engine: Engine) -> None:
    def probability(piece: str) -> float:
        if piece.isdigit():
            return 0.25
        return 0.5 if piece.strip().isalpha() else 0.001

    for text in (TOKENS.format("cup").replace("4)", "40)"), JSON.format("cup")):
        first, *_ = scored_regions(*odds(engine, text, probability), engine.vocabulary, 1000)
        assert (first.region.label, first.region.box) == ("cup", (1, 20, 300, 40))
        assert first.score == pytest.approx(0.5 * 0.25)


@pytest.mark.parametrize("label", ["size <5 cm", "a</b", 'the "x"', "{1} [2]"])
@pytest.mark.parametrize("fmt", AnswerFormat)
def test_a_region_has_a_score_of_its_own_whatever_its_name_holds(
    engine: Engine, label: str, fmt: AnswerFormat
) -> None:
    regions = [AnswerRegion(label, (1, 20, 300, 40)), AnswerRegion("cup", (555, 555, 777, 777))]
    ids, logprobs = odds(engine, render(regions, fmt), lambda piece: 0.5 if piece in "57" else 1.0)
    found = list(scored_regions(ids, logprobs, engine.vocabulary, 1000))
    assert [one.region.label for one in found] == [label, "cup"]
    assert found[1].score == pytest.approx(0.5)
    assert found[0].score > 0.5


def test_the_mean_is_geometric_and_characters_may_span_tokens(engine: Engine) -> None:
    ids, logprobs = odds(engine, TOKENS.format("x").replace("4)", "40)"), lambda _: 1.0)
    digit = engine.vocabulary.encode("7")[0]
    logprobs[ids.index(digit)] = math.log(0.0016)
    chinese = engine.vocabulary.encode("红")
    logprobs[ids.index(chinese[0])] = math.log(0.25)
    _, second = scored_regions(ids, logprobs, engine.vocabulary, 1000)
    assert second.region.label == "红"
    # One of four digits: the fourth root of 0.0016 is 0.2.
    assert second.score == pytest.approx(0.2 * 0.25 ** (1 / len(chinese)))


def test_scores_reach_regions_and_mended_ones_are_scored_as_the_whole(
    engine: Engine, picture: Callable[..., Image.Image]
) -> None:
    ids, logprobs = odds(engine, JSON.format("cup"), lambda piece: 0.5 if piece.isdigit() else 1.0)
    text = engine.loaded.tokenizer.decode(ids)
    answer = Answer(text, tuple(ids), 0.1, "stop", (100, 100), 9, tuple(logprobs))
    assert [region.score for region in read_answer(answer, engine).regions] == [pytest.approx(0.5)]
    other_key = JSON.format("cup").replace("bbox_2d", "bbox")
    ids, logprobs = odds(engine, other_key, lambda piece: 0.5 if piece.isdigit() else 0.9)
    text = engine.loaded.tokenizer.decode(ids)
    answer = Answer(text, tuple(ids), 0.1, "stop", (100, 100), 9, tuple(logprobs))
    mean = math.exp(sum(logprobs) / len(logprobs))
    assert [region.score for region in read_answer(answer, engine).regions] == [pytest.approx(mean)]


def test_bytes_of_tokens_add_up_to_the_text(engine: Engine) -> None:
    text = "a 红色 cup🙂\n<|box_start|>(1,2)<think>"
    ids = engine.vocabulary.encode(text)
    whole, starts = engine.vocabulary.offsets(ids)
    assert whole.decode() == text
    assert starts[-1] == len(whole)
    assert len(starts) == len(ids) + 1
