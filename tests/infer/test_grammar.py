"""Whatever a model wants, what it writes can be read; and whatever can be rendered can be written."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from paddle_ground.answers import AnswerFormat, AnswerRegion, parse, render
from paddle_ground.errors import ConfigError
from paddle_ground.infer import Engine, Request
from paddle_ground.infer.grammar import Grammar, number_follow
from paddle_ground.infer.loops import MAX_REPEATS
from paddle_ground.infer.preprocess import Prompt
from paddle_ground.infer.rows import Finished, Row
from paddle_ground.infer.sampling import GREEDY

NAMES = ("cup", "cupboard", "red circle", 'the "best"', "红色")
PROMPT = Prompt(np.arange(3), np.zeros((4, 1), np.float32), np.array([[1, 2, 2]]), (40, 30))


@pytest.fixture(scope="module")
def make(engine: Engine) -> Callable[..., Grammar]:
    """Make a grammar for the test model's tokenizer, each once."""
    made: dict[object, Grammar] = {}
    end = engine.loaded.tokenizer.eos_token_id

    def grammar(fmt: AnswerFormat, labels: tuple[str, ...] | None = None) -> Grammar:
        key = (fmt, labels)
        if key not in made:
            made[key] = Grammar(engine.vocabulary, fmt, end, 1000, labels)
        return made[key]

    return grammar


def write(engine: Engine, grammar: Grammar, seed: int, limit: int, *, spread: float, jump: bool) -> Finished:
    """Let a model of random wishes, the same at every token for `spread` 0, write an answer."""
    rng = np.random.default_rng(seed)
    wish = rng.normal(size=engine.vocabulary.size).astype(np.float32)
    row = Row(PROMPT, engine.loaded.end_token_ids, limit, GREEDY, grammar.start(), jump)
    while not row.reason:
        # The wish depends on what was written, and not on how often the model was asked.
        noise = np.random.default_rng([seed, len(row.token_ids)]).normal(size=len(wish)) if spread else 0
        row.feed((wish + spread * noise).astype(np.float32))
    return row.finished()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(AnswerFormat), st.booleans(), st.integers(0, 2**32), st.integers(120, 400),
    st.sampled_from([0.0, 1.0]),
)  # fmt: skip
def test_whatever_the_wishes_the_answer_is_well_formed(
    engine: Engine, make: Callable[..., Grammar], fmt: AnswerFormat, known: bool, seed: int, limit: int,
    spread: float,
) -> None:  # fmt: skip
    grammar = make(fmt, NAMES if known else None)
    done = write(engine, grammar, seed, limit, spread=spread, jump=True)
    assert done == write(engine, grammar, seed, limit, spread=spread, jump=False)
    parsed = parse(engine.loaded.tokenizer.decode(done.token_ids), fmt)
    assert parsed.status == "ok", engine.loaded.tokenizer.decode(done.token_ids)
    for region in parsed.regions:
        x1, y1, x2, y2 = region.box
        assert 0 <= x1 < x2 <= 1000
        assert 0 <= y1 < y2 <= 1000
        assert region.label in NAMES if known else region.label.strip()
    assert len(done.logprobs) == len(done.token_ids)


@pytest.mark.parametrize("fmt", AnswerFormat)
@pytest.mark.parametrize("labels", [None, NAMES])
def test_a_rendered_answer_is_one_that_can_be_written(
    engine: Engine, make: Callable[..., Grammar], fmt: AnswerFormat, labels: tuple[str, ...] | None
) -> None:
    names = NAMES if labels else ("cup", "a red, (round) thing", "红色 圆形", "3d 猫")
    boxes = [(0, 0, 1, 1), (0, 9, 1000, 1000), (999, 12, 1000, 345), (5, 60, 70, 80), (1, 2, 3, 4)]
    regions = [AnswerRegion(name, box) for name, box in zip(names, boxes, strict=False)]
    for count in range(len(regions) + 1):
        text = render(regions[:count], fmt)
        ids = [*engine.vocabulary.encode(text), engine.loaded.tokenizer.eos_token_id]
        walk = make(fmt, labels).start()
        for token in ids:
            assert token in walk.allowed(), (text, engine.vocabulary.bytes_of(token))
            walk.take(token)
        assert walk.finish(ids, [0.0] * len(ids), "stop").token_ids == tuple(ids)


@pytest.mark.parametrize("fmt", AnswerFormat)
def test_an_answer_that_goes_round_in_circles_is_ended_and_says_so(
    engine: Engine, make: Callable[..., Grammar], fmt: AnswerFormat
) -> None:
    regions = [AnswerRegion("cup", (1, 2, 3, 4)), *[AnswerRegion("cup", (5, 6, 7, 8))] * (MAX_REPEATS + 3)]
    ids = engine.vocabulary.encode(render(regions, fmt))
    row = Row(PROMPT, engine.loaded.end_token_ids, 999, GREEDY, make(fmt).start(), jump=False)
    for token in ids:
        if not row.reason:
            row.write(token, -0.5)
    assert row.reason == "loop"
    assert len(row.token_ids) < len(ids)
    text = engine.loaded.tokenizer.decode(row.finished().token_ids)
    assert text == render(regions[:2], fmt) + "<|im_end|>"


@pytest.mark.parametrize(
    ("text", "least", "most", "digits", "may_end"),
    [
        ("", 0, 999, "0123456789", False),
        ("0", 0, 999, "", True),  # no leading zeros
        ("99", 0, 999, "0123456789", True),
        ("100", 0, 999, "", True),
        ("", 1000, 1000, "1", False),
        ("10", 1000, 1000, "0", False),
        ("", 346, 1000, "13456789", False),  # 1 only for 1000
        ("3", 346, 1000, "456789", False),
        ("34", 346, 1000, "6789", False),
    ],
)
def test_numbers_within_limits(text: str, least: int, most: int, digits: str, may_end: bool) -> None:
    assert number_follow(text, least, most) == (digits, may_end)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_every_number_within_limits_can_be_written_and_no_other(least: int, value: int) -> None:
    text = str(value)
    path = [text[:at] for at in range(len(text) + 1)]
    steps = all(longer[-1] in number_follow(shorter, least, 1000)[0] for shorter, longer in pairwise(path))
    assert (steps and number_follow(text, least, 1000)[1]) == (least <= value)


def test_the_engine_writes_the_same_with_and_without_jumps_and_free_is_as_before(
    engine: Engine, make: Callable[..., Grammar], picture: Callable[..., Image.Image]
) -> None:
    sizes = [(64, 64), (96, 64), (128, 128), (64, 96), (64, 64)]
    prompts = [engine.prepare(Request(picture(*size, seed=i), "hi")) for i, size in enumerate(sizes)]
    free = [answer.token_ids for answer in engine.generate(prompts, max_new_tokens=70)]
    kinds = [make(AnswerFormat.TOKENS), make(AnswerFormat.JSON), None, make(AnswerFormat.JSON, NAMES), None]

    def run(size: int) -> list[tuple[int, ...]]:
        constraints = [kind.start() if kind else None for kind in kinds]
        answers = engine.generate(prompts, max_new_tokens=70, constraints=constraints, batch_size=size)
        return [answer.token_ids for answer in answers]

    together = run(5)
    assert run(2) == together
    engine.jump_forward = False
    try:
        assert run(5) == together
    finally:
        engine.jump_forward = True
    assert (together[2], together[4]) == (free[2], free[4])
    texts = [engine.loaded.tokenizer.decode(ids) for ids in together]
    assert [parse(texts[i]).status for i in (0, 1, 3)] == ["ok"] * 3


def test_class_names_must_be_there(make: Callable[..., Grammar]) -> None:
    with pytest.raises(ConfigError, match="no class names"):
        make(AnswerFormat.JSON, ())
    with pytest.raises(ConfigError, match="blank"):
        make(AnswerFormat.JSON, ("cup", " "))
