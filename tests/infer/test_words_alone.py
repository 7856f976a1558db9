"""Questions without an image: the model's own logits, alone and beside questions with images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.backend.tiny import PRESETS, build_tiny_model
from paddle_ground.infer import Engine, Request
from paddle_ground.records import Message

Picture = Callable[..., Image.Image]
TALK = Request(
    None,
    "And of two?",
    earlier=(
        Message("system", "Be brief."),
        Message("user", "What is a box?"),
        Message("assistant", "Four."),
    ),
)


@pytest.fixture(scope="module", params=["test", "test_qwen2_5_vl"])
def talker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A small model of each family, with wide random weights."""
    folder: Path = tmp_path_factory.mktemp(request.param) / "model"
    return Engine.load(
        build_tiny_model(folder, replace(PRESETS[request.param], initializer_range=0.5), seed=2)
    )


def plain_logits(engine: Engine, token_ids: list[int]) -> Any:
    """Read all tokens anew, by the model's whole forward pass: no cache, no decoder of ours."""
    import paddle

    with paddle.no_grad():
        ids = paddle.to_tensor(np.array([token_ids], np.int64))
        return engine.loaded.model(input_ids=ids, return_dict=True).logits[0, -1].astype("float64").numpy()


def test_greedy_answers_are_those_of_the_whole_forward_pass(talker: Engine) -> None:
    for request in (Request(None, "Hello, who are you?"), TALK):
        prompt = talker.prepare(request)
        answer = talker.generate([prompt], max_new_tokens=8)[0]
        ids, logprobs = prompt.token_ids.tolist(), []
        for token in answer.token_ids:
            logits = plain_logits(talker, ids)
            assert token == int(logits.argmax())
            logprobs.append(-np.log(np.exp(logits - logits.max()).sum()))
            ids.append(token)
        np.testing.assert_allclose(answer.logprobs, logprobs, atol=2e-4)
        assert len(set(answer.token_ids)) > 3, "one token again and again would prove nothing"


def test_the_prompt_is_the_conversation_and_nothing_of_an_image(talker: Engine) -> None:
    prompt = talker.prepare(TALK)
    text = talker.loaded.tokenizer.decode(prompt.token_ids)
    assert text.count("<|im_start|>") == 5
    assert "Be brief." in text
    assert "vision" not in text
    assert (prompt.size_wh, prompt.patches.shape, prompt.grids_thw.shape) == ((0, 0), (0, 0), (0, 3))


def test_words_and_images_are_answered_side_by_side_as_alone(talker: Engine, picture: Picture) -> None:
    requests = [
        Request(None, "hi"),
        Request(picture(96, 64), "Task: Object Detection"),
        TALK,
        Request(picture(64, 64, seed=1), "<image>left, <image>right", (picture(64, 96, seed=2),)),
    ]
    alone = [talker.answer([request], max_new_tokens=12)[0].token_ids for request in requests]
    assert [answer.token_ids for answer in talker.answer(requests, max_new_tokens=12)] == alone
    assert [answer.token_ids for answer in talker.answer(requests[::-2], max_new_tokens=12)] == alone[::-2]
    assert len(set(alone)) == len(alone)
