"""Kinds of mistakes: cases made by hand, and counts of TIDE's own code."""

from __future__ import annotations

import random
import sys
from collections import Counter
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from paddle_ground.evaluate import drawn_precision
from paddle_ground.evaluate.gains import mending_gains
from paddle_ground.evaluate.mistakes import (
    DUPLICATE,
    FALSE,
    HIT,
    IGNORED,
    MISPLACED,
    MISSED,
    MISTAKES,
    WRONG_LABEL,
    WRONG_LABEL_AND_PLACE,
    CaseMistakes,
    count_mistakes,
    find_mistakes,
)
from paddle_ground.evaluate.pairing import ImageCase, pair_up
from paddle_ground.records import Category, Prediction, Region, Truth, TruthBox, TruthImage

Box = tuple[float, float, float, float]
CAT = (0.0, 0.0, 40.0, 40.0)
DOG = (50.0, 50.0, 90.0, 90.0)
CLASSES = (Category(1, "cat"), Category(2, "dog"))


def case(truth: list[tuple[str, Box]], found: list[tuple[str, Box, float]], crowds: int = 0) -> ImageCase:
    """Pair up one image; the last `crowds` true boxes are crowds."""
    ids = {"cat": 1, "dog": 2}
    boxes = tuple(
        TruthBox(n, 1, ids[name], box, 1.0, is_crowd=n > len(truth) - crowds)
        for n, (name, box) in enumerate(truth, start=1)
    )
    regions = tuple(Region(*one) for one in found)
    told = Prediction(0, "1.png", (100, 100), "", "", "ok", regions=regions)
    (paired,) = pair_up([told], Truth((TruthImage(1, "1.png", (100, 100)),), boxes, CLASSES))
    return paired


def kinds(mistakes: CaseMistakes) -> list[str]:
    return [one.kind for one in mistakes.outcomes]


def test_every_kind_by_hand() -> None:
    mistakes = find_mistakes(
        case(
            [("cat", CAT), ("dog", DOG)],
            [
                ("cat", (0.0, 0.0, 40.0, 38.0), 0.9),  # the cat
                ("cat", (0.0, 0.0, 40.0, 36.0), 0.8),  # the cat again
                ("dog", (50.0, 50.0, 90.0, 66.0), 0.7),  # 0.4 of the dog
                ("cat", DOG, 0.6),  # the dog, called a cat
                ("gizmo", (50.0, 50.0, 90.0, 66.0), 0.5),  # 0.4 of the dog, under no class's name
                ("dog", (42.0, 0.0, 49.0, 9.0), 0.4),  # nothing there
            ],
        )
    )
    assert kinds(mistakes) == [
        HIT, DUPLICATE, MISPLACED, WRONG_LABEL, WRONG_LABEL_AND_PLACE, FALSE,
    ]  # fmt: skip
    assert [one.iou for one in mistakes.outcomes] == pytest.approx([0.95, 0.9, 0.4, 1.0, 0.4, 0.0])
    assert [one.truth for one in mistakes.outcomes] == [0, 0, 1, 1, None, None]
    # A better place, or another name, would have found the dog: it is not counted twice.
    assert (mistakes.found, mistakes.missed) == ((0,), ())


def test_an_object_that_no_box_came_near_is_missed() -> None:
    mistakes = find_mistakes(case([("cat", CAT), ("dog", DOG)], [("gizmo", (50.0, 50.0, 90.0, 66.0), 0.5)]))
    assert (kinds(mistakes), mistakes.missed) == ([WRONG_LABEL_AND_PLACE], (0, 1))


def test_nothing_said_and_nothing_there() -> None:
    silent = find_mistakes(case([("cat", CAT)], []))
    assert (silent.outcomes, silent.missed) == ((), (0,))
    empty = find_mistakes(case([], [("cat", CAT, 0.5)]))
    assert (kinds(empty), empty.missed) == ([FALSE], ())
    assert find_mistakes(case([], [])) == CaseMistakes((), (), ())


def test_a_crowd_is_neither_found_nor_missed_nor_near() -> None:
    mistakes = find_mistakes(
        case([("dog", CAT), ("cat", DOG)], [("cat", (55.0, 55.0, 60.0, 60.0), 0.9), ("dog", DOG, 0.8)], 1)
    )
    assert kinds(mistakes) == [IGNORED, FALSE]
    assert mistakes.missed == (0,)


@pytest.mark.parametrize(("height", "kind"), [(20.0, HIT), (19.9, MISPLACED), (4.0, MISPLACED), (3.9, FALSE)])
def test_where_a_kind_ends(height: float, kind: str) -> None:
    assert kinds(find_mistakes(case([("cat", CAT)], [("cat", (0.0, 0.0, 40.0, height), 0.9)]))) == [kind]


def test_a_stricter_threshold_makes_hits_misplaced() -> None:
    loose = case([("cat", CAT)], [("cat", (0.0, 0.0, 40.0, 28.0), 0.9)])
    assert kinds(find_mistakes(loose, 0.5)) == [HIT]
    assert kinds(find_mistakes(loose, 0.75)) == [MISPLACED]


def test_counts_name_every_kind() -> None:
    mistakes = [find_mistakes(case([("cat", CAT)], [])), find_mistakes(case([], [("cat", CAT, 0.5)] * 2))]
    assert count_mistakes(mistakes) == {**dict.fromkeys(MISTAKES, 0), MISSED: 1, FALSE: 2}
    assert count_mistakes([]) == dict.fromkeys(MISTAKES, 0)


def gains(paired: ImageCase) -> dict[str, float]:
    """Give the gains that are not zero."""
    found = mending_gains([paired], [find_mistakes(paired)])
    assert tuple(found) == MISTAKES
    return {kind: gain for kind, gain in found.items() if gain}


def test_gains_by_hand() -> None:
    nothing, half_a_cat = (42.0, 0.0, 49.0, 9.0), (50.0, 50.0, 90.0, 66.0)
    # Of two cats one is found, after a false box: 51 of 101 recall steps at precision 1/2.
    # Without the false box at 1; with the third one in place all 101 at 2/3.
    mixed = case(
        [("cat", CAT), ("cat", DOG)], [("cat", nothing, 0.9), ("cat", CAT, 0.8), ("cat", half_a_cat, 0.7)]
    )
    assert gains(mixed) == pytest.approx({FALSE: 25.5 / 101, MISPLACED: 2 / 3 - 25.5 / 101})
    # The dog is called a cat and a gizmo: cats have 1/2, dogs 0. The surer box gets its name, the other goes.
    named = case([("cat", CAT), ("dog", DOG)], [("cat", DOG, 0.9), ("cat", CAT, 0.8), ("gizmo", DOG, 0.7)])
    assert gains(named) == pytest.approx({WRONG_LABEL: 0.75})
    # Nobody saw the dog: cats have 1, dogs 0, and 1 is left if the dog is not asked for.
    assert gains(case([("cat", CAT), ("dog", DOG)], [("cat", CAT, 0.8)])) == pytest.approx({MISSED: 0.5})
    # A second box before any other on the same cat, at 51 of 101 steps, and of the third at 2/3 of all.
    doubled = case([("cat", CAT), ("cat", DOG)], [("cat", CAT, 0.9), ("cat", CAT, 0.8), ("cat", DOG, 0.7)])
    assert gains(doubled) == pytest.approx({DUPLICATE: 1 - (51 + 50 * 2 / 3) / 101})
    assert gains(case([], [("cat", CAT, 0.5)])) == gains(case([("cat", CAT)], [])) == {}


# --- TIDE's own code ----------------------------------------------------------------------------------


def crowded_scenes() -> tuple[Truth, list[Prediction]]:
    """Draw 60 images of three classes, with boxes shifted, doubled, renamed, invented and left out."""
    chance = random.Random(7)
    names = ("cat", "dog", "cow")
    images, boxes, told = [], [], []
    for i in range(60):
        images.append(TruthImage(i + 1, f"{i}.png", (200, 200)))
        regions = []
        for _ in range(chance.randint(0, 6)):
            x, y, w, h = (chance.uniform(0, 120), chance.uniform(0, 120), *[chance.uniform(20, 80)] * 2)
            name = chance.randrange(3)
            boxes.append(TruthBox(len(boxes) + 1, i + 1, name + 1, (x, y, x + w, y + h), w * h))
            for _ in range(chance.choice([0, 1, 2, 3])):
                dx, dy = (chance.gauss(0, 0.15) * w for _ in range(2))
                label = names[name if chance.random() < 0.75 else chance.randrange(3)]
                regions.append(Region(label, (x + dx, y + dy, x + w + dx, y + h + dy), chance.random()))
        for _ in range(chance.choice([0, 0, 1])):
            x, y = chance.uniform(0, 150), chance.uniform(0, 150)
            regions.append(Region(chance.choice(names), (x, y, x + 30, y + 30), chance.random()))
        told.append(Prediction(i, f"{i}.png", (200, 200), "", "", "ok", regions=tuple(regions)))
    categories = tuple(Category(n, name) for n, name in enumerate(names, start=1))
    return Truth(tuple(images), tuple(boxes), categories), told


# Of `tide_result` with tidecv 1.0.1.
TIDE_COUNTS = {
    0.5: dict(zip(MISTAKES, (47, 11, 46, 27, 5, 60), strict=True)),
    0.75: dict(zip(MISTAKES, (51, 11, 154, 11, 19, 9), strict=True)),
}
# AP in percent gained by mending each, of `run.fix_main_errors()`.
TIDE_GAINS = {
    0.5: dict(zip(MISTAKES, (13.665381, 2.564219, 13.598263, 6.407901, 0.691752, 3.528025), strict=True)),
    0.75: dict(zip(MISTAKES, (3.092771, 0.537029, 46.059337, 1.025484, 0.477266, 0.098837), strict=True)),
}


def our_counts(iou_threshold: float) -> dict[str, int]:
    truth, told = crowded_scenes()
    return count_mistakes([find_mistakes(one, iou_threshold) for one in pair_up(told, truth)])


def tide_result(
    monkeypatch: pytest.MonkeyPatch, iou_threshold: float
) -> tuple[dict[str, int], dict[str, float]]:
    """Let TIDE's authors' code count the same scenes, and measure what mending would gain."""
    for drawing in ("cv2", "seaborn", "appdirs"):  # only its plots and downloads need them
        monkeypatch.setitem(sys.modules, drawing, MagicMock())
    tidecv: Any = pytest.importorskip("tidecv", reason="tidecv (TIDE's own code) is not installed")
    truth, told = crowded_scenes()
    true_data, found_data = tidecv.Data("truth"), tidecv.Data("found")
    ids = {one.name: one.id for one in truth.categories}
    for one in truth.categories:
        true_data.add_class(one.id, one.name)
        found_data.add_class(one.id, one.name)
    for image in truth.images:
        true_data.add_image(image.id, image.file_name)
        found_data.add_image(image.id, image.file_name)
    for box in truth.annotations:
        x1, y1, x2, y2 = box.box_xyxy_px
        true_data.add_ground_truth(box.image_id, box.category_id, [x1, y1, x2 - x1, y2 - y1])
    for answer in told:
        for region in answer.regions:
            x1, y1, x2, y2 = region.box_xyxy_px
            found_data.add_detection(
                answer.index + 1, ids[region.label], region.score, [x1, y1, x2 - x1, y2 - y1]
            )
    tide = tidecv.TIDE()
    run = tide.evaluate(true_data, found_data, pos_threshold=iou_threshold, mode=tidecv.TIDE.BOX)
    short = {
        "Miss": MISSED, "Bkg": FALSE, "Loc": MISPLACED, "Cls": WRONG_LABEL, "Both": WRONG_LABEL_AND_PLACE,
        "Dupe": DUPLICATE,
    }  # fmt: skip
    counts = Counter(short[error.short_name] for error in run.errors)
    gains = {short[error.short_name]: float(gain) for error, gain in run.fix_main_errors().items()}
    return {kind: counts[kind] for kind in MISTAKES}, {kind: gains[kind] for kind in MISTAKES}


@pytest.mark.parametrize("iou_threshold", [0.5, 0.75])
def test_counts_equal_those_of_tide(iou_threshold: float) -> None:
    assert our_counts(iou_threshold) == TIDE_COUNTS[iou_threshold]


@pytest.mark.parametrize("iou_threshold", [0.5, 0.75])
def test_gains_equal_those_of_tide(monkeypatch: pytest.MonkeyPatch, iou_threshold: float) -> None:
    # Its recall steps are k / 100; those of COCO, by linspace, differ in the last digit, and some box tells.
    monkeypatch.setattr(drawn_precision, "_RECALL_STEPS", np.arange(101) / 100)
    truth, told = crowded_scenes()
    cases = pair_up(told, truth)
    gains = mending_gains(cases, [find_mistakes(one, iou_threshold) for one in cases])
    in_percent = {kind: 100 * gain for kind, gain in gains.items()}
    assert in_percent == pytest.approx(TIDE_GAINS[iou_threshold], abs=1e-6)


@pytest.mark.parametrize("iou_threshold", [0.5, 0.75])
def test_tide_still_says_so(monkeypatch: pytest.MonkeyPatch, iou_threshold: float) -> None:
    counts, gains = tide_result(monkeypatch, iou_threshold)
    assert counts == TIDE_COUNTS[iou_threshold]
    assert gains == pytest.approx(TIDE_GAINS[iou_threshold], abs=1e-6)
