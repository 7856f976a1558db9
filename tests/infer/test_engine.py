"""The engine says what PaddleFormers' own `generate` says, whoever else is in the batch."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.answers import AnswerFormat
from paddle_ground.backend.loading import on_cpu
from paddle_ground.errors import ConfigError, ModelError, RecordError
from paddle_ground.infer import Engine, Request
from paddle_ground.infer.preprocess import Prompt
from paddle_ground.infer.rows import Row
from paddle_ground.infer.sampling import GREEDY, Sampling
from paddle_ground.records import GroundingConfig, write_grounding

Picture = Callable[..., Image.Image]


@pytest.fixture(scope="module")
def requests(picture: Picture) -> list[Request]:
    """Pictures of four sizes, questions of four lengths, one with two pictures."""
    return [
        Request(picture(128, 96), "Task: Object Detection"),
        Request(picture(64, 64, seed=1), "hi"),
        Request(picture(200, 70, seed=2), "Locate the red circle, the blue square and the cup on the left."),
        Request(picture(64, 96, seed=3), "<image>left, <image>right", more_images=(picture(96, 64, seed=4),)),
    ]


@contextmanager
def stock_kernels(engine: Engine) -> Iterator[None]:
    """PaddleFormers as it comes, but for the fused RMSNorm that a CPU doesn't have."""
    from paddle_ground.backend import cpu_kernels

    config = engine.loaded.config
    parts = (config, config.text_config, config.vision_config)
    cpu_kernels.restore()
    config.text_config.fuse_rms_norm = False
    for part in parts:
        part._attn_implementation = "eager"
    try:
        yield
    finally:
        for part in parts:
            part._attn_implementation = "sdpa"
        cpu_kernels.apply()


def stock_generate(engine: Engine, prompt: Prompt, max_new_tokens: int) -> tuple[int, ...]:
    import paddle

    with paddle.no_grad():
        ids, _ = engine.loaded.model.generate(
            input_ids=paddle.to_tensor(prompt.token_ids[None]),
            attention_mask=paddle.ones([1, len(prompt.token_ids)], dtype="int64"),
            pixel_values=paddle.to_tensor(prompt.patches),
            image_grid_thw=paddle.to_tensor(prompt.grids_thw),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            # Loaded through the flex checkpoint, PaddleFormers forgets generation_config.json's list.
            eos_token_id=sorted(engine.loaded.end_token_ids),
        )
    return tuple(ids.numpy()[0].tolist())


def test_greedy_answers_are_those_of_stock_generate(engine: Engine, requests: list[Request]) -> None:
    prompts = [engine.prepare(request) for request in requests]
    with stock_kernels(engine):
        expected = [stock_generate(engine, prompt, 24) for prompt in prompts]
    answers = engine.generate(prompts, max_new_tokens=24)
    assert [answer.token_ids for answer in answers] == expected
    # A model that repeats one token, or answers all alike, would prove nothing.
    assert all(len(set(ids)) > 8 for ids in expected)
    assert len(set(expected)) == len(expected)
    # One of them ends by itself.
    assert sorted(answer.finish_reason for answer in answers) == ["length", "length", "length", "stop"]


def test_an_answer_does_not_depend_on_its_neighbours(engine: Engine, requests: list[Request]) -> None:
    alone = [engine.answer([request], max_new_tokens=32)[0].token_ids for request in requests]
    together = engine.answer(requests, max_new_tokens=32)
    assert [answer.token_ids for answer in together] == alone
    turned = engine.answer(requests[::-1] + requests[:1], max_new_tokens=32)
    assert [answer.token_ids for answer in turned] == [*alone[::-1], alone[0]]


def test_a_row_stops_at_its_end_token_and_the_others_go_on(engine: Engine, requests: list[Request]) -> None:
    free = engine.answer(requests, max_new_tokens=16)
    # Let a token that only the second answer holds, in its middle, be the end.
    others = {token for answer in (free[0], *free[2:]) for token in answer.token_ids}
    ids = free[1].token_ids
    end = next(token for token in ids[3:] if token not in others and token not in ids[:3])
    ends = engine.loaded.end_token_ids | {end}
    stopping = Engine(replace(engine.loaded, end_token_ids=ends))
    answers = stopping.answer(requests, max_new_tokens=16)
    assert answers[1].token_ids == ids[: ids.index(end) + 1]
    assert answers[1].finish_reason == "stop"
    assert [a.token_ids for a in (answers[0], *answers[2:])] == [a.token_ids for a in (free[0], *free[2:])]
    assert [a.finish_reason for a in (answers[0], *answers[2:])] == ["length", "length", "stop"]
    assert stopping.answer(requests[1:2], max_new_tokens=16)[0].token_ids == answers[1].token_ids


def test_text_is_raw_and_figures_are_those_of_the_request(engine: Engine, picture: Picture) -> None:
    tokenizer = engine.loaded.tokenizer
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    row = Row(
        Prompt(np.arange(7), np.zeros((4, 1), np.float32), np.array([[1, 2, 2]]), (40, 30)),
        engine.loaded.end_token_ids,
        limit=99,
        sampling=GREEDY,
    )
    for token in [*tokenizer("<|box_start|>(1,2),(3,4)<|box_end|>")["input_ids"], end]:
        assert not row.reason
        row.write(token, -0.25)
    answer = engine.answer_of(row)
    assert answer.logprobs == (-0.25,) * len(answer.token_ids)
    assert answer.text == "<|box_start|>(1,2),(3,4)<|box_end|><|im_end|>"
    assert (answer.finish_reason, answer.size_wh, answer.prompt_tokens) == ("stop", (40, 30), 7)
    asked = engine.answer([Request(picture(128, 96), "hi")], max_new_tokens=3)[0]
    assert asked.size_wh == (128, 96)
    assert len(asked.token_ids) == 3
    assert asked.seconds > 0


def test_images_are_seen_once_and_only_last_logits_are_computed(
    engine: Engine, requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = engine.loaded.model
    seen: list[str] = []
    shapes: list[list[int]] = []

    def watch(owner: Any, note: Callable[[Any], None]) -> None:
        stock = type(owner).forward
        monkeypatch.setattr(
            owner, "forward", lambda *args, **kwargs: (note(args), stock(owner, *args, **kwargs))[1]
        )

    watch(model.visual, lambda _: seen.append("vision tower"))
    watch(model.lm_head, lambda args: shapes.append(list(args[0].shape)))
    engine.answer(requests, max_new_tokens=5)
    assert seen == ["vision tower"]
    assert [shape[:2] for shape in shapes] == [[len(requests), 1]] * 5


def test_nothing_to_ask_and_nothing_to_say(engine: Engine, requests: list[Request]) -> None:
    assert engine.answer([]) == []
    with pytest.raises(ConfigError, match="max_new_tokens is 0"):
        engine.answer(requests, max_new_tokens=0)


def test_a_model_that_does_not_say_how_to_ask_it_is_told_aloud(
    model_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="paddle_ground"):
        assert Engine.load(model_dir).grounding is None
    assert "no grounding.json" in caplog.text
    assert "relative_1000" in caplog.text
    caplog.clear()
    with pytest.raises(ModelError, match="no such model folder"):
        Engine.load(model_dir / "nowhere")
    assert not caplog.text  # nothing is assumed of a folder that is not there


def test_pixel_limits_of_training_hold_in_inference(
    model_dir: Path, tmp_path: Path, picture: Picture, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(model_dir, tmp_path / "model"))
    write_grounding(folder, GroundingConfig("relative_1000", "tokens", "Task", 32 * 32, 128 * 64))
    limited = Engine.load(folder)
    prompt = limited.prepare(Request(picture(256, 128), "hi"))
    # 256 x 128 shrunk to an area of 128 * 64 is 128 x 64: 8 x 4 patches of 16 pixels.
    assert prompt.grids_thw.tolist() == [[1, 4, 8]]
    assert prompt.size_wh == (256, 128)
    assert "grounding.json" not in caplog.text


def test_a_grammar_is_made_once_also_for_a_model_that_says_no_format(engine: Engine) -> None:
    """Of a vocabulary of 150,000 tokens it takes half a second, in which a server answers nobody."""
    silent = Engine(engine.loaded, None)
    assert silent.grammar() is None
    free = silent.grammar(default=AnswerFormat.JSON)
    assert free is not None
    assert silent.grammar(default=AnswerFormat.TOKENS) not in (None, free)
    for number in range(100):
        silent.grammar([f"name {number}"], AnswerFormat.JSON)
    assert silent.grammar(default=AnswerFormat.JSON) is free
    assert len(silent._grammars) < 40


def test_a_broken_grounding_file_is_an_error_and_no_default(model_dir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_dir, tmp_path / "model"))
    (folder / "grounding.json").write_text('{"coordinate_space": "relative_1000"}')
    with pytest.raises(RecordError, match="answer_format"):
        Engine.load(folder)


def test_places_that_run_free_are_taken_by_the_next_prompt(engine: Engine, requests: list[Request]) -> None:
    prompts = [engine.prepare(request) for request in [*requests, *requests[::-1]]]
    alone = [engine.generate([prompt], max_new_tokens=20)[0].token_ids for prompt in prompts]
    for size in (1, 2, 3, 5):
        answers = engine.generate(prompts, max_new_tokens=20, batch_size=size)
        assert [answer.token_ids for answer in answers] == alone
    with pytest.raises(ConfigError, match="batch_size is 0"):
        engine.generate(prompts, batch_size=0)


def test_log_probabilities_are_those_of_a_plain_softmax(engine: Engine, requests: list[Request]) -> None:
    import paddle

    prompt = engine.prepare(requests[0])
    (answer,) = engine.generate([prompt], max_new_tokens=6)
    whole = np.concatenate([prompt.token_ids, answer.token_ids])
    with paddle.no_grad():
        logits = engine.loaded.model(
            input_ids=paddle.to_tensor(whole[None]),
            pixel_values=paddle.to_tensor(prompt.patches),
            image_grid_thw=paddle.to_tensor(prompt.grids_thw),
        )
    logits = (logits[0] if isinstance(logits, tuple) else getattr(logits, "logits", logits)).numpy()[0]
    rows = logits[len(prompt.token_ids) - 1 : -1].astype(np.float64)
    expected = [
        row[token] - np.log(np.exp(row).sum()) for row, token in zip(rows, answer.token_ids, strict=True)
    ]
    np.testing.assert_allclose(answer.logprobs, expected, atol=1e-4)


def test_draws_are_seeded_row_by_row(engine: Engine, requests: list[Request]) -> None:
    drawn = Sampling(temperature=1.0, top_p=0.9, seed=5)
    together = engine.answer(requests, max_new_tokens=12, sampling=drawn)
    alone = [engine.answer([request], max_new_tokens=12, sampling=drawn)[0] for request in requests]
    assert [a.token_ids for a in together] == [a.token_ids for a in alone]
    other = engine.answer(requests, max_new_tokens=12, sampling=replace(drawn, seed=6))
    assert [a.token_ids for a in together] != [a.token_ids for a in other]
    greedy = engine.answer(requests, max_new_tokens=12)
    cold = engine.answer(requests, max_new_tokens=12, sampling=Sampling(temperature=1e-6, seed=1))
    assert [a.token_ids for a in cold] == [a.token_ids for a in greedy]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_refused_where_no_kernel_can_multiply_it(model_dir: Path, dtype: str) -> None:
    if not on_cpu():
        pytest.skip("this machine has a GPU, which can")
    with pytest.raises(ModelError, match=f"no {dtype} matrices on a CPU; use --dtype float32"):
        Engine.load(model_dir, dtype=dtype)
