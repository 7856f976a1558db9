"""Fonts: Chinese characters are drawn as characters, and what cannot be drawn is said."""

from __future__ import annotations

import logging
from pathlib import Path

import pylopdf_fonts_zh_cn
import pytest

from paddle_ground.view import fonts
from paddle_ground.view.fonts import FONT_VARIABLE, font_for, load_font, missing_characters

NOTHING = "\ue000"  # private use: drawn as the font's "no such glyph" box


@pytest.fixture
def no_chinese_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with Pillow's own font and no other."""
    monkeypatch.delenv(FONT_VARIABLE, raising=False)
    monkeypatch.setattr(fonts, "_packaged_fonts", lambda: ())
    monkeypatch.setattr(fonts, "_system_fonts", lambda characters: ())
    fonts._warn_once.cache_clear()


@pytest.mark.parametrize("text", ["一只狗", "上海环球金融中心", "猫 cat 0.91", "米饭", "土豆胡萝卜排骨汤"])
def test_chinese_characters_are_not_boxes(text: str) -> None:
    font = font_for(text, 24)
    no_glyph = bytes(font.getmask(NOTHING))
    drawn = [bytes(font.getmask(character)) for character in text if not character.isspace()]
    assert no_glyph not in drawn
    assert len(set(drawn)) == len(set(text.replace(" ", "")))  # each its own picture
    assert all(any(mask) for mask in drawn)


@pytest.mark.parametrize("text", ["person", "mañana", "Привет", "Straße", "日本語", "°", ""])
def test_other_scripts_have_a_font(text: str) -> None:
    font = font_for(text, 24)
    assert bytes(font.getmask(NOTHING)) not in [bytes(font.getmask(character)) for character in text]


def test_plain_latin_does_not_depend_on_the_chinese_font() -> None:
    assert (
        font_for("person 0.91", 20).getname() == font_for("dog", 20).getname() != font_for("狗", 20).getname()
    )


def test_missing_characters_are_named() -> None:
    assert missing_characters("", "cat 猫é") == {"猫", "é"}  # Pillow's own font is ASCII and a little more
    assert missing_characters("", " \n\u200b") == set()


def test_without_a_font_the_label_is_drawn_and_the_lack_is_said_once(
    no_chinese_font: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert font_for("猫", 20).getname() == load_font("", 20).getname()
    assert len(caplog.records) == 1
    assert "猫" in caplog.text
    assert "paddle_ground[eval]" in caplog.text
    assert FONT_VARIABLE in caplog.text


def test_the_environment_names_a_font(no_chinese_font: None, monkeypatch: pytest.MonkeyPatch) -> None:
    chinese = str(Path(pylopdf_fonts_zh_cn.__file__).parent / "NotoSansSC-Regular.otf")
    monkeypatch.setenv(FONT_VARIABLE, chinese)
    assert missing_characters(chinese, "猫") == set()
    assert font_for("person", 20).getname() == load_font(chinese, 20).getname()


def test_an_unreadable_font_is_said_and_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    monkeypatch.setenv(FONT_VARIABLE, str(broken))
    with caplog.at_level(logging.WARNING):
        font_for("person", 20)
    assert f"{broken}: no readable font" in caplog.text
