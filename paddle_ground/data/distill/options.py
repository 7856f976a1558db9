"""What `distill` may be told: the teacher, what it is asked, and how.

Takes values, gives frozen options or an error that names the option. Asks nobody.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit, urlunsplit

from paddle_ground.answers import AnswerFormat
from paddle_ground.data.distill.agreement import AgreementOptions
from paddle_ground.errors import ConfigError
from paddle_ground.prompts import check_given, detect_classes, refer

DEFAULT_KEY = "OPENAI_API_KEY"
TeacherSpace = Literal["relative_1000", "absolute"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the teacher is, and how patiently it is asked.

    Attributes:
        url: Of the chat completions; see `chat_url`.
        model: Its name there.
        key: The API key; None to send none. Never shown.
        key_env: The environment variable that it is from, for messages.
        timeout: How long one answer may take, in seconds.
        retries: How often a request that failed is sent again.
        first_pause: Before that, in seconds; it doubles each time. An endpoint's Retry-After comes before it.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    key_env: str = DEFAULT_KEY
    timeout: float = 300.0
    retries: int = 5
    first_pause: float = 1.0

    @property
    def host(self) -> str:
        """Give host and port, and nothing that may be a secret."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class TeacherQuestion:
    """What the teacher is asked about every image.

    Attributes:
        prompt: The text beside the image.
        phrase: What it asks for, where answers are about one phrase; "" where they name classes.
    """

    prompt: str
    phrase: str = ""


@dataclass(frozen=True, slots=True)
class AskOptions:
    """What shapes the teacher's answers, and how they are understood.

    With others than before every image has to be asked about again; `class_names` and `space` may change.

    Attributes:
        questions: At least one; either one about classes, or one a phrase.
        class_names: Which names count; () for whatever the teacher says.
        samplings: How many answers to each question.
        temperature: Of the drawing; 0 makes all answers equal.
        top_p: Of the drawing.
        seed: Of the first sampling; the following ones have the following seeds.
        max_tokens: Where an answer is cut off; such an answer is not used.
        max_pixels: Images with more pixels are made smaller for sending; None to send files as they are.
        side_multiple: Sides of what is sent are multiples of so many pixels, such as 28 for Qwen2.5-VL in
            "absolute" space, so that its processor need not change the size again; 1 for any side.
        space: What the teacher's numbers mean: thousandths of the image, or pixels of the sent image.
    """

    questions: tuple[TeacherQuestion, ...]
    class_names: tuple[str, ...] = ()
    samplings: int = 3
    temperature: float = 0.7
    top_p: float = 1.0
    seed: int = 0
    max_tokens: int = 2048
    max_pixels: int | None = None
    side_multiple: int = 1
    space: TeacherSpace = "relative_1000"


def chat_url(endpoint: str) -> str:
    """Complete what the user named to the address of the chat completions.

    Args:
        endpoint: Such as "http://host:8000", ".../v1" or ".../v1/chat/completions".

    Raises:
        ConfigError: It is no http(s) address, or holds a user or password.
    """
    try:
        parts = urlsplit(endpoint.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("the endpoint is no address; expected something like http://host:8000/v1") from None
    if parts.username is not None or parts.password is not None:
        # Not repeated here: it would show the password.
        raise ConfigError("the endpoint's address holds a user or password; put the key into --api-key-env")
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"endpoint {endpoint!r}: expected http:// or https:// and a host")
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path = (path or "/v1") + "/chat/completions"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def read_key(name: str | None) -> str | None:
    """Take the API key from the environment.

    Args:
        name: Of the variable; None for the usual one, which need not be set.

    Raises:
        ConfigError: The named variable is not set, or its content can't be a key.
    """
    key = os.environ.get(name or DEFAULT_KEY, "").strip()
    if not key and name is not None:
        raise ConfigError(f"environment variable {name} is not set; put the API key there")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"environment variable {name or DEFAULT_KEY} holds blanks or odd characters; no key has"
        )
    return key or None


def questions_of(
    class_names: tuple[str, ...], phrases: tuple[str, ...], prompt: str | None
) -> tuple[TeacherQuestion, ...]:
    """Make the questions of the one thing that the user gave.

    Raises:
        ConfigError: None or several were given, or one is blank.
    """
    if sum((bool(class_names), bool(phrases), prompt is not None)) != 1:
        raise ConfigError("give one of --classes, --classes-file, --phrases and --prompt")
    if prompt is not None:
        check_given(prompt)
        return (TeacherQuestion(prompt),)
    if class_names:
        return (TeacherQuestion(detect_classes(class_names, AnswerFormat.JSON)),)
    return tuple(TeacherQuestion(refer(phrase, AnswerFormat.JSON), phrase) for phrase in phrases)


def read_phrases(path: Path) -> tuple[str, ...]:
    """Read a file with one phrase a line; blank lines don't count.

    Raises:
        ConfigError: It can't be read, holds no phrase, or one twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(
            f"{path}: cannot read the phrases ({reason}); give a file with one a line"
        ) from error
    phrases = tuple(" ".join(line.split()) for line in lines if line.strip())
    if not phrases:
        raise ConfigError(f"{path}: no phrase in it; write one a line")
    twice = next((phrase for number, phrase in enumerate(phrases) if phrase in phrases[:number]), None)
    if twice is not None:
        raise ConfigError(f"{path}: the phrase {twice!r} stands there twice; ask once")
    return phrases


def check(asking: AskOptions, agreement: AgreementOptions, endpoint: Endpoint, concurrency: int) -> None:
    """Refuse numbers that can't work, before anybody is asked.

    Raises:
        ConfigError: A number is out of its range; the message names the option.
    """
    votes = agreement.votes_of(asking.samplings)
    ranges = [
        ("samplings", asking.samplings, 1, 100),
        ("temperature", asking.temperature, 0, 10),
        ("top_p", asking.top_p, 1e-6, 1),
        ("seed", asking.seed, 0, 2**31),
        ("max_tokens", asking.max_tokens, 1, math.inf),
        ("max_pixels", asking.max_pixels or 1024, 1024, math.inf),
        ("side_multiple", asking.side_multiple, 1, 256),
        ("iou", agreement.iou, 1e-6, 1),
        ("votes", votes, 1, asking.samplings),
        ("min_agreement", agreement.min_agreement, 0, 1),
        ("timeout", endpoint.timeout, 0.1, 86400),
        ("retries", endpoint.retries, 0, 100),
        ("concurrency", concurrency, 1, 256),
    ]
    for name, value, low, high in ranges:
        if not low <= value <= high:
            most = "" if high == math.inf else f", and at most {high:g}"
            raise ConfigError(f"{name} is {value:g}; it must be at least {low:g}{most}")
    if asking.space not in get_args(TeacherSpace):
        raise ConfigError(
            f"teacher_space is {asking.space!r}; it must be {' or '.join(get_args(TeacherSpace))}"
        )
    if not endpoint.model.strip():
        raise ConfigError("the model's name is blank; name one that the endpoint serves")
    if asking.samplings > 1 and asking.temperature == 0:
        raise ConfigError(
            "temperature is 0, which makes all samplings one and the same; raise it, or pass --samplings 1"
        )
