"""The client against a server that misbehaves in every usual way."""

from __future__ import annotations

import logging
import threading

import pytest

from paddle_ground.data.distill import client as client_module
from paddle_ground.data.distill.client import (
    RefusedError,
    RefusedRequestError,
    StoppedError,
    TeacherClient,
    UnansweredError,
)
from paddle_ground.data.distill.options import AskOptions, Endpoint, TeacherQuestion, chat_url, read_key
from paddle_ground.errors import ConfigError

KEY = "sk-very-secret-0123456789"
PIXEL = "data:image/png;base64,AAAA"
ASKING = AskOptions((TeacherQuestion("Where?"),), temperature=0.5, max_tokens=77)


@pytest.fixture
def ask(teacher, raw):
    """Function that asks the teacher with a script: a list of answers, one a request."""

    def run(*answers, key=KEY, retries=4, timeout=5.0, stop=None, first_pause=0.001):
        waiting = list(answers)
        teacher.script = lambda asked: waiting.pop(0)
        endpoint = Endpoint(chat_url(teacher.url), "big", key, "MY_KEY", timeout, retries, first_pause)
        client = TeacherClient(endpoint, ASKING, stop or threading.Event())
        try:
            return client.ask(PIXEL, "Where?", 11)
        finally:
            client.close()

    return run


@pytest.fixture
def raw(teacher):
    """Type of an answer on the level of HTTP."""
    return teacher.raw


def test_what_is_sent(teacher, ask):
    reply = ask("[]")
    assert (reply.text, reply.finish, reply.model) == ("[]", "stop", "told")
    (asked,) = teacher.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    sampling = {name: asked.body[name] for name in ("model", "temperature", "top_p", "max_tokens", "seed")}
    assert sampling == {"model": "big", "temperature": 0.5, "top_p": 1.0, "max_tokens": 77, "seed": 11}


def test_without_a_key_nothing_is_sent_for_one(teacher, ask):
    ask("[]", key=None)
    assert "Authorization" not in teacher.asked[0].headers


def test_answers_in_parts_and_silent_ones(ask):
    assert ask({"message": {"content": [{"type": "text", "text": "[1"}, {"text": "]"}]}}).text == "[1]"
    assert ask({"message": {"content": None}, "finish_reason": "length"}).finish == "length"


def test_a_broken_surrogate_pair_becomes_text_that_files_can_hold(ask):
    assert ask("a\ud800b").text == "a?b"


def test_retries_after_what_passes(teacher, ask, raw):
    busy = raw(429, b"slow down", {"Retry-After": "0"})
    assert ask(busy, raw(500), raw(503), raw(200, b'{"choices": ['), "[]").text == "[]"
    assert len(teacher.asked) == 5


def test_gives_up_and_says_why(teacher, ask, raw):
    with pytest.raises(UnansweredError, match=r"HTTP 502 the back is broken, 3 times"):
        ask(*[raw(502, b"the back is broken")] * 3, retries=2)
    assert len(teacher.asked) == 3


def test_a_hang_is_a_retry(teacher, ask, raw):
    assert ask(raw(seconds=3), "[]", timeout=0.3).text == "[]"
    assert len(teacher.asked) == 2


def test_what_is_no_chat_completion(ask, raw):
    for body in (
        b"<html>",
        b'{"choices": []}',
        b'{"error": "no"}',
        b'{"choices":[{"message":{"content":5}}]}',
    ):
        with pytest.raises(UnansweredError, match="no chat completion came, but"):
            ask(raw(body=body), retries=0)


def test_a_closed_port(teacher):
    endpoint = Endpoint("http://127.0.0.1:1/v1/chat/completions", "big", None, retries=0)
    client = TeacherClient(endpoint, ASKING, threading.Event())
    with pytest.raises(UnansweredError, match=r"127\.0\.0\.1:1: no answer \(ConnectError"):
        client.ask(PIXEL, "Where?", 0)
    client.close()


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (401, RefusedError, r"HTTP 401, it refuses the key from MY_KEY .*--api-key-env"),
        (403, RefusedError, "HTTP 403"),
        (404, RefusedError, r"knows no model 'big', or nothing at /v1/chat/completions .*--model"),
        (400, RefusedRequestError, "HTTP 400, it refuses the request"),
    ],
)
def test_refusals_are_final_and_hide_the_key(teacher, ask, raw, status, kind, message):
    with pytest.raises(kind, match=message) as caught:
        ask(raw(status, f"Incorrect API key provided: {KEY}".encode()))
    assert KEY not in str(caught.value)
    assert "***" in str(caught.value)
    assert len(teacher.asked) == 1


def test_no_redirect_is_followed(teacher, ask, raw):
    with pytest.raises(RefusedError, match=r"sends us to elsewhere\.example; pass the final address"):
        ask(raw(307, b"", {"Location": f"http://u:{KEY}@elsewhere.example/v1/chat/completions"}))
    assert len(teacher.asked) == 1


def test_an_echoed_key_is_cut_from_answers(ask):
    assert ask(f"your key is {KEY}").text == "your key is ***"
    assert ask("none", key="none").text == "none"  # What servers without keys are given.


def test_pauses_follow_the_server_and_else_double(ask, raw, monkeypatch):
    pauses = []
    stop = threading.Event()
    monkeypatch.setattr(stop, "wait", lambda seconds: pauses.append(seconds) or False)
    ask(raw(500), raw(429, b"", {"Retry-After": "7"}), raw(500), "[]", stop=stop, first_pause=1.0)
    assert pauses == [1.0, 7.0, 4.0]


def test_a_very_long_pause_ends_the_run(ask, raw):
    with pytest.raises(RefusedError, match="asks to wait for 86400 s"):
        ask(raw(429, b"", {"Retry-After": "86400"}))


def test_a_stopped_run_asks_no_more(teacher, ask, raw):
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        ask("[]", stop=stop)
    assert teacher.asked == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
    ],
)
def test_retry_after(header, seconds):
    assert client_module._seconds(header) == seconds


def test_nothing_logs_or_shows_the_key(teacher, ask, raw, caplog):
    with caplog.at_level(logging.DEBUG, "paddle_ground"):
        ask(raw(500, KEY.encode()), "[]")
    assert KEY not in caplog.text
    assert KEY not in repr(Endpoint("http://h/v1", "m", KEY))


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://host:8000", "http://host:8000/v1/chat/completions"),
        ("http://host:8000/", "http://host:8000/v1/chat/completions"),
        ("https://host/v1", "https://host/v1/chat/completions"),
        ("https://host/api/v3/", "https://host/api/v3/chat/completions"),
        ("https://host/v1/chat/completions", "https://host/v1/chat/completions"),
        ("https://host/v1?version=2", "https://host/v1/chat/completions?version=2"),
    ],
)
def test_endpoints(given, url):
    assert chat_url(given) == url


@pytest.mark.parametrize(
    "given", ["host:8000", "ftp://host/v1", "file:///etc/passwd", "http://", "http://h:x/"]
)
def test_no_endpoints(given):
    with pytest.raises(ConfigError, match="http"):
        chat_url(given)


def test_an_endpoint_with_a_password_is_refused_without_showing_it():
    with pytest.raises(ConfigError) as caught:
        chat_url("https://me:pass-word@host/v1")
    assert "pass-word" not in str(caught.value)


def test_keys(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert read_key(None) is None
    monkeypatch.setenv("MINE", " abc\n")
    assert read_key("MINE") == "abc"
    with pytest.raises(ConfigError, match="NOT_THERE is not set"):
        read_key("NOT_THERE")
    monkeypatch.setenv("MINE", "secret\nX-Evil: 1")
    with pytest.raises(ConfigError) as caught:
        read_key("MINE")
    assert "secret" not in str(caught.value)
