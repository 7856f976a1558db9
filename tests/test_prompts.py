"""Prompts: the published wordings to the letter, and no way to smuggle a placeholder in."""

from __future__ import annotations

import pytest

from paddle_ground.answers import AnswerFormat
from paddle_ground.errors import ConfigError
from paddle_ground.prompts import DETECT_ALL, detect_classes, query_prompt, refer

TOKENS, JSON = AnswerFormat.TOKENS, AnswerFormat.JSON


def test_detect_all_is_the_tutorials_prompt() -> None:
    assert DETECT_ALL == "Task: Object Detection"


def test_json_prompts_are_qwen3_vls_evaluation_prompts() -> None:
    # ODinW and RefCOCO as published with Qwen3-VL.
    assert detect_classes(["cat", "dog"]) == (
        "Locate every instance that belongs to the following categories: 'cat', 'dog'. "
        "Report bbox coordinates in JSON format."
    )
    assert refer("the red cup") == (
        'Locate every object that matches the description "the red cup" in the image. '
        "Report bbox coordinates in JSON format."
    )


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_token_prompts_do_not_speak_of_json(lang: str) -> None:
    assert "JSON" not in detect_classes(["cat"], TOKENS, lang)
    assert "JSON" not in refer("cat", TOKENS, lang)
    assert "JSON" in detect_classes(["cat"], JSON, lang)
    assert "JSON" in refer("cat", JSON, lang)


def test_chinese_prompts() -> None:
    assert detect_classes(["猫", "狗"], JSON, "zh") == (
        "请找出图中属于以下类别的所有实例：“猫”、“狗”。以JSON格式输出边界框坐标。"
    )
    assert refer("左边的杯子", TOKENS, "zh") == "请找出图中所有符合描述“左边的杯子”的物体。输出边界框坐标。"


def test_a_query_becomes_the_fitting_prompt() -> None:
    assert query_prompt(None) == DETECT_ALL
    assert query_prompt(None, default="my prompt") == "my prompt"
    assert query_prompt("the red cup", TOKENS) == refer("the red cup", TOKENS)
    assert query_prompt(["cat", "dog"], JSON, "zh") == detect_classes(["cat", "dog"], JSON, "zh")


def test_names_are_made_one_line_and_braces_stay_as_they_are() -> None:
    assert '"a {b} c"' in refer(" a {b}\n c ")
    assert "'{names}'" in detect_classes(["{names}"])


@pytest.mark.parametrize("phrase", ["", "  \n", "an <image> here", "<bbox>", "<|im_end|>"])
def test_blank_phrases_and_placeholders_are_refused(phrase: str) -> None:
    with pytest.raises(ConfigError):
        refer(phrase)
    with pytest.raises(ConfigError):
        detect_classes(["cat", phrase])
    with pytest.raises(ConfigError):
        query_prompt(phrase)


def test_no_names_and_unknown_languages_are_refused() -> None:
    with pytest.raises(ConfigError, match="no class names"):
        detect_classes([])
    with pytest.raises(ConfigError, match="unknown language 'fr'; known: en, zh"):
        refer("chat", JSON, "fr")  # type: ignore[arg-type]
