"""What OpenAI's client asks without an image, and texts that are none."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from paddle_ground.infer import Engine, Request
from paddle_ground.records import Message

Photo = Callable[..., bytes]


def alone(engine: Engine, request: Request, max_tokens: int) -> str:
    answer = engine.answer([request], max_new_tokens=max_tokens)[0]
    ids = [token for token in answer.token_ids if token not in engine.loaded.end_token_ids]
    return str(engine.loaded.tokenizer.decode(ids, skip_special_tokens=False,
                                              clean_up_tokenization_spaces=False))  # fmt: skip


@pytest.fixture(scope="module")
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)


def test_a_conversation_needs_no_image(client: openai.OpenAI, engine: Engine) -> None:
    messages: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]
    done = client.chat.completions.create(model="tiny", messages=messages, max_tokens=9)
    request = Request(None, "Hello?", earlier=(Message("system", "Be brief."),))
    assert done.choices[0].message.content == alone(engine, request, 9)
    # Nor is the prompt of the training held to boxes, where there is nothing to find them in.
    own: Any = [{"role": "user", "content": "Task: Object Detection"}]
    done = client.chat.completions.create(model="tiny", messages=own, max_tokens=9)
    assert done.choices[0].message.content == alone(engine, Request(None, "Task: Object Detection"), 9)


def test_boxes_need_an_image(client: openai.OpenAI) -> None:
    class Thing(BaseModel):
        box: tuple[int, int, int, int]

    class Things(BaseModel):
        things: list[Thing]

    messages: Any = [{"role": "user", "content": "a cup"}]
    with pytest.raises(openai.BadRequestError, match="no image to find things in"):
        client.chat.completions.parse(model="tiny", messages=messages, response_format=Things)
    with pytest.raises(openai.BadRequestError, match="no image to find things in"):
        client.chat.completions.create(model="tiny", messages=messages, extra_body={"constrained": True})


def test_names_that_are_no_text_are_refused(url: str, photo: Photo) -> None:
    image = "data:image/png;base64," + base64.b64encode(photo()).decode()
    for names in ({"classes": ["cup", "\ud800"]}, {"phrase": "\ud800"}):
        body = json.dumps({"image": image, **names}).encode()
        headers = {"Content-Type": "application/json"}
        answer = httpx.post(url + "/v1/ground", content=body, headers=headers, trust_env=False)
        assert answer.status_code == 400
        assert next(iter(names)) in answer.json()["error"]["param"]
