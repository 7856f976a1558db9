"""Class colours: stable, far apart, and readable under text."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.data.classes import COCO_CLASSES
from paddle_ground.view.colors import BLACK, PALETTE, WHITE, label_color, relative_luminance, text_color_on


def test_a_label_has_one_colour_in_every_process() -> None:
    program = (
        "from paddle_ground.view.colors import label_color; print(label_color('person'), label_color('猫'))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert answers == {f"{label_color('person')} {label_color('猫')}\n"}


def test_case_blanks_and_crowd_make_no_difference() -> None:
    assert label_color("Person ") == label_color("person") == label_color("person (crowd)")


def test_the_palette_is_used_widely() -> None:
    assert len(set(PALETTE)) == 36
    assert len({label_color(name) for name in COCO_CLASSES}) >= 28  # 80 names into 36: about 32 by chance
    common = [
        "person",
        "bird",
        "cat",
        "cow",
        "dog",
        "horse",
        "sheep",
        "car",
        "bus",
        "train",
        "boat",
        "bicycle",
    ]
    assert len({label_color(name) for name in common}) == len(common)


@given(st.text())
def test_every_label_has_a_colour(label: str) -> None:
    assert label_color(label) in PALETTE


@pytest.mark.parametrize("color", PALETTE)
def test_text_on_every_colour_passes_wcag_aa(color: tuple[int, int, int]) -> None:
    light, dark = sorted((relative_luminance(color), relative_luminance(text_color_on(color))), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_luminance_is_wcags() -> None:
    assert relative_luminance(WHITE) == pytest.approx(1.0)
    assert relative_luminance(BLACK) == 0.0
    assert relative_luminance((255, 0, 0)) == pytest.approx(0.2126)
    # W3C's example: #767676 is the darkest grey that gives 4.5 on white.
    assert 1.05 / (relative_luminance((0x76, 0x76, 0x76)) + 0.05) == pytest.approx(4.54, abs=0.01)
    assert text_color_on((255, 255, 0)) == BLACK
    assert text_color_on((0, 0, 160)) == WHITE
