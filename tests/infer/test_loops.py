"""A model that goes in circles is stopped, with and without a grammar, and its answer says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PIL import Image

from paddle_ground.answers import AnswerFormat, AnswerRegion, render
from paddle_ground.errors import ConfigError
from paddle_ground.infer import Answer, Engine, Request, Sampling, ground
from paddle_ground.infer.grounding import constraint_of, read_answer
from paddle_ground.infer.loops import RepeatGuard

CUP, HAT = AnswerRegion("cup", (1, 2, 30, 40)), AnswerRegion("hat", (5, 6, 7, 8))


@pytest.mark.parametrize("fmt", list(AnswerFormat))
@pytest.mark.parametrize(
    ("regions", "stops"), [([CUP] * 3, False), ([CUP, HAT] * 3, False), ([CUP] * 4, True)]
)
def test_a_region_may_be_said_so_often(
    engine: Engine, fmt: AnswerFormat, regions: list[AnswerRegion], stops: bool
) -> None:
    guard = RepeatGuard(engine.vocabulary, max_repeats=3)
    # `render` refuses nothing here: repeated regions are well-formed, they are only no good answer.
    for token in engine.vocabulary.encode(render(regions, fmt)):
        guard.take(token)
    assert guard.stopped is stops


def test_it_stops_at_the_region_that_was_one_too_many(engine: Engine) -> None:
    guard = RepeatGuard(engine.vocabulary, max_repeats=2)
    tokens = engine.vocabulary.encode(render([CUP] * 9, AnswerFormat.TOKENS))
    written = []
    for token in tokens:
        written.append(token)
        guard.take(token)
        if guard.stopped:
            break
    assert engine.vocabulary.offsets(written)[0].decode() == render([CUP] * 3, AnswerFormat.TOKENS)


def test_words_alone_never_stop_an_answer(engine: Engine) -> None:
    guard = RepeatGuard(engine.vocabulary, max_repeats=1)
    for token in engine.vocabulary.encode("the cup > the hat {really} [sic] " * 20):
        guard.take(token)
    assert not guard.stopped


def test_the_reading_says_so(engine: Engine) -> None:
    text = render([CUP] * 4, AnswerFormat.TOKENS)
    for reason, status in (("stop", ("duplicate_dropped",)), ("loop", ("duplicate_dropped", "loop_stopped"))):
        reading = read_answer(Answer(text, (), 0.0, reason, (100, 100), 9), engine)
        assert len(reading.regions) == 1
        assert (reading.status, reading.repairs) == ("repaired", status)
    for reason, expected in (("stop", ("ok", ())), ("loop", ("repaired", ("loop_stopped",)))):
        words = Answer("A cup, and a cup, and a cup.", (), 0.0, reason, (100, 100), 9)
        reading = read_answer(words, engine, words=True)
        assert (reading.status, reading.repairs) == expected


def test_a_free_answer_is_guarded_and_otherwise_what_it_was(
    engine: Engine, picture: Callable[..., Image.Image]
) -> None:
    image = picture(64, 64)
    guarded = ground(engine, image, "cup", free=True, max_new_tokens=12)
    (plain,) = engine.generate([engine.prepare(Request(image, guarded.prompt))], max_new_tokens=12)
    assert guarded.text == plain.text
    drawn = [
        ground(engine, image, "cup", free=True, max_new_tokens=12, sampling=Sampling(5.0, 1.0, seed)).text
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_guard_that_allows_nothing_is_refused(engine: Engine) -> None:
    with pytest.raises(ConfigError, match="max_repeats is 0"):
        constraint_of(engine, None, free=True, max_repeats=0, size_wh=(64, 64))
