"""What to ask a model: the task prompts for detection and for referring expressions, in two languages.

Takes class names or a phrase, gives the text of the user's turn without its ``<image>``. Knows the
answer formats by name, and nothing of images, models or boxes. English wording follows Qwen3-VL's
published evaluation prompts (ODinW, RefCOCO) and the PaddleFormers grounding tutorial, because a
model answers best to what it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from paddle_ground.answers import AnswerFormat, reserved_mark
from paddle_ground.errors import ConfigError

__all__ = ["DETECT_ALL", "Language", "check_given", "detect_classes", "query_prompt", "refer"]

Language = Literal["en", "zh"]

DETECT_ALL = "Task: Object Detection"
"""The PaddleFormers tutorial's prompt: every object of every class that the model was tuned on."""

# A model that writes box tokens was never shown the words "JSON format"; it is asked for boxes only.
_DETECT = {
    ("en", AnswerFormat.JSON): "Locate every instance that belongs to the following categories: {names}. "
    "Report bbox coordinates in JSON format.",
    ("en", AnswerFormat.TOKENS): "Locate every instance that belongs to the following categories: {names}. "
    "Report bbox coordinates.",
    ("zh", AnswerFormat.JSON): "请找出图中属于以下类别的所有实例：{names}。以JSON格式输出边界框坐标。",
    ("zh", AnswerFormat.TOKENS): "请找出图中属于以下类别的所有实例：{names}。输出边界框坐标。",
}
_REFER = {
    ("en", AnswerFormat.JSON): 'Locate every object that matches the description "{phrase}" in the image. '
    "Report bbox coordinates in JSON format.",
    ("en", AnswerFormat.TOKENS): 'Locate every object that matches the description "{phrase}" in the image. '
    "Report bbox coordinates.",
    ("zh", AnswerFormat.JSON): "请找出图中所有符合描述“{phrase}”的物体。以JSON格式输出边界框坐标。",
    ("zh", AnswerFormat.TOKENS): "请找出图中所有符合描述“{phrase}”的物体。输出边界框坐标。",
}


def detect_classes(names: Iterable[str], fmt: AnswerFormat = AnswerFormat.JSON, lang: Language = "en") -> str:
    """Ask for all objects of the named classes.

    Args:
        names: Class names in the order in which they shall be asked for; at least one.
        fmt: The answer format that the model was tuned on.
        lang: "en" or "zh".

    Returns:
        For example ``Locate every instance that belongs to the following categories: 'cat', 'dog'. ...``

    Raises:
        ConfigError: No name, a blank one, or an unknown language.
    """
    plain = [_plain(name, "class name") for name in names]
    if not plain:
        raise ConfigError("no class names to ask for; name at least one")
    if _language(lang) == "zh":
        listing = "、".join(f"“{name}”" for name in plain)
    else:
        listing = ", ".join(f"'{name}'" for name in plain)
    return _DETECT[lang, fmt].format(names=listing)


def refer(phrase: str, fmt: AnswerFormat = AnswerFormat.JSON, lang: Language = "en") -> str:
    """Ask for the objects that a phrase describes.

    Args:
        phrase: For example "the cup left of the laptop".
        fmt: The answer format that the model was tuned on.
        lang: "en" or "zh".

    Raises:
        ConfigError: The phrase is blank, or an unknown language.
    """
    plain = _plain(phrase, "phrase")
    return _REFER[_language(lang), fmt].format(phrase=plain)


def query_prompt(
    query: str | Iterable[str] | None,
    fmt: AnswerFormat = AnswerFormat.JSON,
    lang: Language = "en",
    default: str = DETECT_ALL,
) -> str:
    """Turn what a user typed into a prompt.

    Args:
        query: A phrase ("the red cup"), several class names, or None for the model's own prompt.
        fmt: The answer format that the model was tuned on.
        lang: "en" or "zh".
        default: The prompt that the model was tuned on, from its `grounding.json`.

    Raises:
        ConfigError: A blank phrase or name, or an unknown language.
    """
    if query is None:
        return default
    if isinstance(query, str):
        return refer(query, fmt, lang)
    return detect_classes(query, fmt, lang)


def _plain(text: str, what: str) -> str:
    """One line, no placeholder: an <image> in a phrase would ask the processor for another picture."""
    plain = " ".join(text.split())
    if not plain:
        raise ConfigError(f"a blank {what}; say what to look for")
    mark = reserved_mark(plain)
    if mark is not None:
        raise ConfigError(f"the {what} {plain!r} holds {mark!r}, which models read as a command")
    return plain


def _language(lang: str) -> str:
    if lang not in ("en", "zh"):
        raise ConfigError(f"unknown language {lang!r}; known: en, zh")
    return lang


def check_given(prompt: str) -> None:
    """Refuse a prompt that a user gave and no file can hold.

    Raises:
        ConfigError: It is blank, or not all of it is text: a shell hands other encodings on as they are.
    """
    if not prompt.strip():
        raise ConfigError("the prompt is blank; say what to look for, or leave it out")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        place = f"character {error.start + 1}"
        raise ConfigError(f"the prompt is not UTF-8 text ({place}); write it in UTF-8") from error
