"""Answers that begin while others are under way are the answers that each gives alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.answers import AnswerFormat
from paddle_ground.infer import Engine, Request, Sampling
from paddle_ground.infer.grammar import Grammar
from paddle_ground.infer.preprocess import Prompt
from paddle_ground.infer.rows import Row
from paddle_ground.infer.session import Session, reading_groups

Picture = Callable[..., Image.Image]


@pytest.fixture(scope="module")
def prompts(engine: Engine, picture: Picture) -> list[Prompt]:
    return [
        engine.prepare(Request(picture(64 + 32 * i, 64, seed=i), "Locate the red circle. " * (1 + i)))
        for i in range(5)
    ]


def test_rows_that_come_and_go_answer_as_each_does_alone(engine: Engine, prompts: list[Prompt]) -> None:
    draws = [Sampling(), Sampling(0.8, 0.9, 7), Sampling(), Sampling(1.1, 1.0, 3), Sampling()]
    limits = [9, 14, 4, 11, 6]
    alone = [
        engine.generate([prompt], max_new_tokens=limit, sampling=draw)[0].token_ids
        for prompt, limit, draw in zip(prompts, limits, draws, strict=True)
    ]
    rows = [
        engine.row(prompt, max_new_tokens=limit, sampling=draw)
        for prompt, limit, draw in zip(prompts, limits, draws, strict=True)
    ]
    session, waiting = Session(engine), list(rows)
    session.admit([waiting.pop(0)])
    while session.running or waiting:  # a new one at every second step
        session.advance() if session.running else None
        session.advance() if session.running else None
        if waiting:
            session.admit([waiting.pop(0)])
    assert [engine.answer_of(row).token_ids for row in rows] == alone


def test_rows_that_are_dropped_leave_the_others_as_they_were(engine: Engine, prompts: list[Prompt]) -> None:
    alone = [answer.token_ids for answer in engine.generate(prompts[:3], max_new_tokens=10)]
    session, rows = Session(engine), [engine.row(prompt, max_new_tokens=10) for prompt in prompts[:3]]
    session.admit(rows)
    session.advance()
    session.drop([rows[1], engine.row(prompts[4])])  # one of them never ran
    assert [id(row) for row in session.running] == [id(rows[0]), id(rows[2])]
    while session.running:
        session.advance()
    assert [tuple(rows[i].token_ids) for i in (0, 2)] == [alone[0], alone[2]]
    session.drop(rows)  # all have gone already


def test_a_prompt_that_cannot_be_read_costs_no_other_answer(engine: Engine, prompts: list[Prompt]) -> None:
    alone = engine.generate(prompts[:1], max_new_tokens=10)[0].token_ids
    session, row = Session(engine), engine.row(prompts[0], max_new_tokens=10)
    session.admit([row])
    session.advance()

    class Broken:
        restricts, stopped = True, False

        def allowed(self) -> Any:
            raise ValueError("no way on")

    with pytest.raises(ValueError, match="no way on"):
        session.admit([engine.row(prompts[1]), engine.row(prompts[2], constraint=Broken())])  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r".+"):  # fewer patches than the image tokens want
        session.admit([engine.row(replace(prompts[1], patches=prompts[1].patches[:8]))])
    while session.running:
        session.advance()
    assert tuple(row.token_ids) == alone


def test_room_that_a_long_prompt_needed_is_given_back(engine: Engine, picture: Picture) -> None:
    long = engine.prepare(Request(picture(64, 64), "the red circle " * 120))
    short = engine.prepare(Request(picture(64, 64), "hi"))
    alone = engine.generate([short], max_new_tokens=60)[0].token_ids
    session, row = Session(engine), engine.row(short, max_new_tokens=60)
    session.admit([row])
    session.admit([engine.row(long, max_new_tokens=2)])
    wide = session._generation._decoder.cache.columns
    while session.running:
        session.advance()
        if len(session.running) == 1 and len(row.token_ids) == 5:
            assert session._generation._decoder.cache.columns < wide / 2
    assert tuple(row.token_ids) == alone


def row_of_length(length: int) -> Row:
    prompt = SimpleNamespace(token_ids=np.zeros(length))
    return Row(prompt, frozenset(), 1, Sampling())  # type: ignore[arg-type]


def test_prompts_are_read_with_their_like() -> None:
    lengths = [30, 3000, 33, 90, 2900, 31]
    groups = [[len(row.prompt.token_ids) for row in group]
              for group in reading_groups([row_of_length(n) for n in lengths])]  # fmt: skip
    assert groups == [[30, 31, 33, 90], [2900], [3000]]  # two of 3000 tokens would be 6000 at once
    assert list(reading_groups([])) == []


@pytest.mark.parametrize("fmt", list(AnswerFormat))
def test_what_is_settled_stands_in_the_answer_whatever_comes(fmt: AnswerFormat, engine: Engine) -> None:
    end = int(engine.loaded.tokenizer.eos_token_id)
    grammar = Grammar(engine.vocabulary, fmt, end, 30, ["cup", "red plate"])
    rng = np.random.default_rng(5)
    for _ in range(60):
        row = Row(prompts_stub(), frozenset({end}), 90, Sampling(), grammar.start(2))
        seen = []
        while not row.reason:
            logits = np.zeros(engine.vocabulary.size, np.float32)
            logits[rng.integers(0, engine.vocabulary.size, 40)] = 9
            logits[engine.vocabulary.encode("1")[0]] = 5  # small numbers, so that boxes are said again
            row.feed(logits)
            seen.append(row.settled().token_ids)
        whole = row.finished().token_ids
        assert all(whole[: len(part)] == part for part in seen)


def prompts_stub() -> Prompt:
    return Prompt(np.zeros(3, np.int64), np.zeros((1, 1), np.float32), np.ones((1, 3), np.int64), (9, 9))
