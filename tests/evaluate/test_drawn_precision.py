"""Precision of drawn images, against COCO's algorithm written out for copies of the boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_ground.evaluate import drawn_precision
from paddle_ground.evaluate.drawn_precision import DrawnClass

HIT, WRONG, IGNORED = range(3)


def plain(fates: list[tuple[int, int]], to_find: list[int], weights: list[int]) -> float:
    """Lay copies out one by one and score them as pycocotools' `accumulate` does.

    Args:
        fates: (image, fate) of each box, surest first.
        to_find: True boxes of each image.
        weights: Copies of each image.
    """
    copies = [fate for image, fate in fates for _ in range(weights[image])]
    counted = [fate for fate in copies if fate != IGNORED]
    total = sum(n * w for n, w in zip(to_find, weights, strict=True))
    if not total or not counted:
        return 0.0
    found = np.cumsum([fate == HIT for fate in counted])
    recall, precision = found / total, found / np.arange(1, len(counted) + 1)
    for i in range(len(precision) - 1, 0, -1):
        precision[i - 1] = max(precision[i - 1], precision[i])
    # Axis of pycocotools' recThrs, and its choice of the first box that reaches a step.
    reached = np.searchsorted(recall, np.linspace(0.0, 1.0, 101), side="left")
    return sum(float(precision[i]) for i in reached if i < len(precision)) / 101


def drawn_class(fates: list[tuple[int, list[int]]], to_find: list[int]) -> DrawnClass:
    by_threshold = np.array([each for _, each in fates] or np.zeros((0, 2)), dtype=np.int64).T
    images = np.array([image for image, _ in fates], dtype=np.int64)
    return DrawnClass(
        images, (by_threshold == HIT) * 1.0, (by_threshold == WRONG) * 1.0, np.asarray(to_find, float)
    )


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[tuple[int, list[int]]], list[int], list[list[int]]]:
    images = draw(st.integers(1, 6))
    fate = st.sampled_from([HIT, HIT, WRONG, IGNORED])
    boxes = draw(
        st.lists(st.tuples(st.integers(0, images - 1), st.lists(fate, min_size=2, max_size=2)), min_size=1)
    )
    hits = [
        max(sum(image == i and each[t] == HIT for image, each in boxes) for t in (0, 1))
        for i in range(images)
    ]
    to_find = [n + draw(st.integers(0, 3)) for n in hits]
    drawings = draw(
        st.lists(st.lists(st.integers(0, 4), min_size=images, max_size=images), min_size=1, max_size=5)
    )
    return boxes, to_find, drawings


@settings(max_examples=200, deadline=None)
@given(scenes())
def test_precision_is_that_of_copies(
    scene: tuple[list[tuple[int, list[int]]], list[int], list[list[int]]],
) -> None:
    boxes, to_find, drawings = scene
    ap, total = drawn_class(boxes, to_find).average_precision(np.array(drawings, dtype=float).T)
    for row, weights in enumerate(drawings):
        assert total[row] == sum(n * w for n, w in zip(to_find, weights, strict=True))
        for at in (0, 1):
            wanted = plain([(image, each[at]) for image, each in boxes], to_find, weights)
            assert ap[row, at] == pytest.approx(wanted, abs=1e-12)


def test_a_recall_of_a_step_exactly_reaches_it_as_coco_has_it() -> None:
    # 7 of 100 is 0.07, which is not what linspace calls its eighth step.
    boxes = [(0, [HIT])] * 7 + [(0, [WRONG])]
    for true_boxes in (7, 25, 50, 100, 101):
        ap, _ = drawn_class(boxes, [true_boxes]).average_precision(np.ones((1, 1)))
        assert ap[0, 0] == pytest.approx(plain([(0, each[0]) for _, each in boxes], [true_boxes], [1]))


def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)
    boxes = [(int(chance.integers(20)), [int(chance.choice([HIT, WRONG, IGNORED]))]) for _ in range(60)]
    scored = drawn_class(boxes, [10] * 20)
    weights = chance.integers(0, 3, (20, 50)).astype(float)
    whole, _ = scored.average_precision(weights)
    monkeypatch.setattr(drawn_precision, "_PIECE_NUMBERS", 1)
    monkeypatch.setattr(drawn_precision, "_LEAST_DRAWINGS", 7)
    np.testing.assert_allclose(scored.average_precision(weights)[0], whole, atol=1e-12)


def test_a_class_without_boxes_scores_nothing() -> None:
    ap, total = drawn_class([], [2, 1]).average_precision(np.ones((2, 3)))
    assert (ap.tolist(), total.tolist()) == ([[0.0, 0.0]] * 3, [3.0] * 3)
