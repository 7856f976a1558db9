"""The API as OpenAI's own client uses it, over a real socket."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable
from typing import Any, Literal

import httpx
import openai
import pytest
from PIL import Image
from pydantic import BaseModel

from paddle_ground.infer import Engine, Request, Sampling, ground
from paddle_ground.records import Message

Photo = Callable[..., bytes]

# One for all: each new client would read the machine's certificates.
HTTP = httpx.Client(verify=False, trust_env=False, timeout=60)


def data_url(photo: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(photo).decode()


def turn(photo: bytes, text: str = "say something") -> dict[str, Any]:
    return {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": data_url(photo)}},
            {"type": "text", "text": text},
        ],
    }


def opened(photo: bytes) -> Image.Image:
    return Image.open(io.BytesIO(photo))


def alone(engine: Engine, request: Request, max_tokens: int, sampling: Sampling | None = None) -> str:
    answer = engine.answer([request], max_new_tokens=max_tokens, sampling=sampling or Sampling())[0]
    ids = [token for token in answer.token_ids if token not in engine.loaded.end_token_ids]
    return str(engine.loaded.tokenizer.decode(ids, skip_special_tokens=False,
                                              clean_up_tokenization_spaces=False))  # fmt: skip


@pytest.fixture(scope="module")
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)


def test_the_answer_is_the_engines(client: openai.OpenAI, engine: Engine, photo: Photo) -> None:
    done = client.chat.completions.create(model="tiny", messages=[turn(photo())], max_tokens=12)  # type: ignore[list-item]
    assert done.choices[0].message.content == alone(engine, Request(opened(photo()), "say something"), 12)
    assert done.choices[0].finish_reason == "length"
    assert done.object == "chat.completion"
    assert done.model == "tiny"
    assert done.usage is not None
    assert (done.usage.completion_tokens, done.usage.total_tokens) == (12, done.usage.prompt_tokens + 12)
    asked = engine.prepare(Request(opened(photo()), "say something"))
    assert done.usage.prompt_tokens == len(asked.token_ids)


def test_a_whole_conversation_is_heard(client: openai.OpenAI, engine: Engine, photo: Photo) -> None:
    messages: Any = [
        {"role": "system", "content": "You find things."},
        turn(photo(seed=1), "what is left?"),
        {"role": "assistant", "content": "a cup"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "and in "},
                {"type": "image_url", "image_url": {"url": data_url(photo(64, 64)), "detail": "high"}},
                {"type": "text", "text": " this one?"},
            ],
        },
    ]
    done = client.chat.completions.create(
        model="tiny", messages=messages, max_completion_tokens=9, temperature=0.8, top_p=0.9, seed=11,
        user="me", presence_penalty=0, tools=[], tool_choice="none", stream_options=None,
    )  # fmt: skip
    request = Request(
        opened(photo(seed=1)),
        "and in <image> this one?",
        more_images=(opened(photo(64, 64)),),
        earlier=(
            Message("system", "You find things."),
            Message("user", "<image>what is left?"),
            Message("assistant", "a cup"),
        ),
    )
    assert done.choices[0].message.content == alone(engine, request, 9, Sampling(0.8, 0.9, 11))


def test_streams_choices_and_figures(client: openai.OpenAI, photo: Photo) -> None:
    wanted: Any = {
        "model": "tiny", "messages": [turn(photo())], "max_tokens": 14, "n": 3, "temperature": 1.0, "seed": 5,
    }  # fmt: skip
    whole = client.chat.completions.create(**wanted)
    texts, reasons, usage = {0: "", 1: "", 2: ""}, {}, None
    for chunk in client.chat.completions.create(
        **wanted, stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
    assert [texts[i] for i in range(3)] == [choice.message.content for choice in whole.choices]
    assert len(set(texts.values())) == 3
    assert [reasons[i] for i in range(3)] == [choice.finish_reason for choice in whole.choices]
    assert usage == whole.usage
    second = client.chat.completions.create(**{**wanted, "n": 1, "seed": 6}).choices[0]
    assert second.message.content == texts[1]  # each choice can be had alone
    unseeded = {client.chat.completions.create(**{**wanted, "n": 1, "seed": None}).choices[0].message.content
                for _ in range(3)}  # fmt: skip
    assert len(unseeded) > 1


def test_stop_and_logprobs(client: openai.OpenAI, engine: Engine, photo: Photo) -> None:
    whole = client.chat.completions.create(
        model="tiny", messages=[turn(photo())], max_tokens=12, logprobs=True  # type: ignore[list-item]
    ).choices[0]  # fmt: skip
    answer = engine.answer([Request(opened(photo()), "say something")], max_new_tokens=12)[0]
    assert whole.logprobs is not None
    assert whole.logprobs.content is not None
    assert [t.logprob for t in whole.logprobs.content] == pytest.approx(answer.logprobs, abs=1e-4)
    said = b"".join(bytes(t.bytes or ()) for t in whole.logprobs.content).decode(errors="replace")
    assert said == whole.message.content
    stop = said[8:11]
    cut = client.chat.completions.create(
        model="tiny", messages=[turn(photo())], max_tokens=12, stop=[stop, "\n\n"]  # type: ignore[list-item]
    ).choices[0]  # fmt: skip
    assert cut.message.content == said[: said.index(stop)]
    assert cut.finish_reason == "stop"


class Thing(BaseModel):
    box: tuple[int, int, int, int]
    name: Literal["cup", "red circle"]


class Things(BaseModel):
    things: list[Thing]


def test_a_pydantic_schema_is_filled_in(client: openai.OpenAI, photo: Photo) -> None:
    found = 0
    for seed in range(4):
        try:
            done = client.chat.completions.parse(
                model="tiny", messages=[turn(photo(64, 64, seed), "cup?")], max_tokens=90,  # type: ignore[list-item]
                response_format=Things,
            )  # fmt: skip
            things = done.choices[0].message.parsed
        except openai.LengthFinishReasonError as error:  # whole all the same, up to the last whole box
            things = Things.model_validate_json(error.completion.choices[0].message.content or "")
        assert things is not None
        found += len(things.things)
    assert found > 0, "a model that finds nothing proves nothing"


def test_the_prompt_of_the_training_is_answered_as_predict_answers_it(
    client: openai.OpenAI, engine: Engine, photo: Photo
) -> None:
    found = ground(engine, opened(photo()), max_new_tokens=60)
    done = client.chat.completions.create(
        model="tiny", messages=[turn(photo(), "Task: Object Detection")], max_tokens=60  # type: ignore[list-item]
    )  # fmt: skip
    assert done.choices[0].message.content == found.text.removesuffix("<|im_end|>")


@pytest.mark.parametrize("query", [{"phrase": "the cup"}, {"classes": ["cup", "red circle"]}, {}])
def test_ground_gives_regions_in_pixels(
    url: str, engine: Engine, photo: Photo, query: dict[str, Any]
) -> None:
    body = {"image": data_url(photo(64, 64)), "max_tokens": 60, **query}
    answer = HTTP.post(url + "/v1/ground", json=body)
    assert answer.status_code == 200, answer.text
    value = query.get("phrase") or (tuple(query["classes"]) if "classes" in query else None)
    expected = json.loads(
        json.dumps(ground(engine, opened(photo(64, 64)), value, max_new_tokens=60).to_json())
    )
    got = answer.json()
    assert [(r["label"], r["box_xyxy_px"]) for r in got["regions"]] == [
        (r["label"], r["box_xyxy_px"]) for r in expected["regions"]
    ]
    for name in ("size_wh", "status", "repairs", "finish_reason", "prompt"):
        assert got[name] == expected[name]
    scores = [region["score"] for region in got["regions"]]
    assert all(0 < score <= 1 for score in scores)
    if scores:
        less = HTTP.post(url + "/v1/ground", json={**body, "min_score": math.nextafter(max(scores), 2)})
        assert less.json()["regions"] == []


def test_models_health_and_metrics(client: openai.OpenAI, url: str, photo: Photo) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    card = client.models.retrieve("tiny").model_dump()
    assert card["grounding"]["class_names"] == ["red circle", "blue square", "cup"]
    assert HTTP.get(url + "/health").json() == {"status": "ready"}
    before = metrics(url)
    client.chat.completions.create(model="tiny", messages=[turn(photo())], max_tokens=5)  # type: ignore[list-item]
    after = metrics(url)
    name = 'paddle_ground_requests_total{path="/v1/chat/completions",status="200"}'
    assert after[name] == before[name] + 1
    assert (
        after["paddle_ground_completion_tokens_total"] == before["paddle_ground_completion_tokens_total"] + 5
    )
    assert after["paddle_ground_ready"] == 1


def metrics(url: str) -> dict[str, float]:
    lines = HTTP.get(url + "/metrics").text.splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


def boxes_under(things: str, box: str) -> dict[str, Any]:
    """Write the schema of a list of boxes, under these keys."""
    numbers = {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4}
    thing = {"type": "object", "properties": {box: numbers}}
    return {"type": "object", "properties": {things: {"type": "array", "items": thing}}}


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"model": "other"}, 404, "model_not_found"),
    ({"messages": []}, 400, "messages"),
    ({"temperature": 3}, 400, "temperature"),
    ({"temperature": "hot"}, 400, "temperature"),
    ({"top_p": 0}, 400, "top_p"),
    ({"max_tokens": 0}, 400, "max_tokens"),
    ({"max_tokens": 99_999}, 400, "context_length_exceeded"),
    ({"max_tokens": 5, "max_completion_tokens": 5}, 400, "max_tokens"),
    ({"stop": ""}, 400, "stop"),
    ({"stop": ["a", "b", "c", "d", "e"]}, 400, "stop"),
    ({"n": 99}, 400, "n"),
    ({"temprature": 1}, 400, "temprature"),
    ({"tools": [{"type": "function"}]}, 400, "tools"),
    ({"frequency_penalty": 0.5}, 400, "frequency_penalty"),
    ({"top_logprobs": 3}, 400, "top_logprobs"),
    ({"response_format": {"type": "json_object"}}, 400, "response_format"),
    ({"response_format": {"type": "json_schema"}}, 400, "response_format"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "string"}}}}, 400,
     "response_format"),
    ({"messages": [{"role": "user", "content": "<|im_end|>"}]}, 400, "messages.0.content"),
    ({"messages": [{"role": "user", "content": "a <image>"}]}, 400, "messages.0.content"),
    ({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}, 400, "messages"),
    ({"messages": [{"role": "assistant", "content": "a"}]}, 400, "messages"),
    ({"messages": [{"role": "tool", "content": "a"}]}, 400, "role"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, 400, "messages.0.content"),
    ({"stop": "\udfff"}, 400, "stop"),
    ({"a\nb": 1}, 400, "a b"),
    *[
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": boxes_under(*keys)}}}, 400,
         "response_format")
        for keys in (("\ud800", "box"), ("things", "\ud800"), ("a\nb", "box"), ("things", "b" * 201))
    ],
]  # fmt: skip


@pytest.mark.parametrize(("change", "status", "named"), BAD, ids=[str(change)[:60] for change, _, _ in BAD])
def test_what_cannot_be_kept_is_refused_by_name(
    url: str, photo: Photo, change: dict[str, Any], status: int, named: str
) -> None:
    body = {"model": "tiny", "messages": [turn(photo())], **change}
    for stream in (False, True):
        answer = HTTP.post(
            url + "/v1/chat/completions", content=json.dumps({**body, "stream": stream}),
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        assert answer.status_code == status, answer.text
        error = answer.json()["error"]
        assert "\n" not in error["message"]
        assert set(error) == {"message", "type", "param", "code"}
        assert named in str(error["param"]) or named == error["code"], error


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"\\ud800"', b"\xff\xfe", b"[" * 100_000, b'{"model": "\\ud800"}',
             b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}',
             b'{"model": "tiny", "temperature": NaN, "messages": [{"role": "user", "content": "hi"}]}'],
    ids=lambda body: repr(body[:30]),
)  # fmt: skip
def test_no_body_breaks_the_server(url: str, body: bytes) -> None:
    for path in ("/v1/chat/completions", "/v1/ground"):
        answer = HTTP.post(url + path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["type"] == "invalid_request_error"


def test_other_paths_and_methods_are_answered_in_openais_words(url: str) -> None:
    missing = HTTP.get(url + "/v1/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    wrong = HTTP.get(url + "/v1/chat/completions")
    assert wrong.status_code == 405
    assert "error" in wrong.json()


def test_the_clients_own_exceptions_come_up(client: openai.OpenAI, photo: Photo) -> None:
    with pytest.raises(openai.NotFoundError, match="it has 'tiny'"):
        client.chat.completions.create(model="x", messages=[turn(photo())])  # type: ignore[list-item]
    with pytest.raises(openai.BadRequestError, match="image 1: no image"):
        client.chat.completions.create(model="tiny", messages=[turn(b"nothing")])  # type: ignore[list-item]
    with pytest.raises(openai.BadRequestError, match="image 1: not a whole image"):
        client.chat.completions.create(
            model="tiny", messages=[turn(photo(200, 200)[:9000])], stream=True  # type: ignore[list-item]
        )  # fmt: skip
