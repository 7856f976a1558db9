"""Matching, against hand-worked cases and against pycocotools' own choice of pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_ground.boxes import coverage_matrix
from paddle_ground.evaluate.matching import match_boxes

TEN = (0.0, 0.0, 10.0, 10.0)


def test_a_box_of_half_the_area_is_found_at_one_half() -> None:
    half = (0.0, 0.0, 10.0, 5.0)  # intersection 50, union 100
    found = match_boxes([half], [1.0], [TEN], [False])
    assert [(pair.predicted, pair.truth, pair.iou) for pair in found.pairs] == [(0, 0, 0.5)]
    assert match_boxes([half], [1.0], [TEN], [False], 0.51).unmatched == (0,)


def test_the_surer_box_chooses_first() -> None:
    exact, rough = TEN, (0.0, 0.0, 10.0, 8.0)
    found = match_boxes([exact, rough], [0.4, 0.9], [TEN], [False])
    assert [(pair.predicted, pair.iou) for pair in found.pairs] == [(1, 0.8)]
    assert found.unmatched == (0,)  # a second answer for one object is wrong


def test_equal_scores_are_taken_in_their_order() -> None:
    found = match_boxes([(0.0, 0.0, 10.0, 8.0), TEN], [1.0, 1.0], [TEN], [False])
    assert [pair.predicted for pair in found.pairs] == [0]


def test_each_box_takes_the_true_box_it_overlaps_most() -> None:
    truth = [(0.0, 0.0, 10.0, 10.0), (2.0, 0.0, 12.0, 10.0)]
    found = match_boxes([(1.8, 0.0, 11.8, 10.0)], [1.0], truth, [False, False])
    assert [pair.truth for pair in found.pairs] == [1]
    assert found.missed == (0,)


def test_a_crowd_takes_any_number_and_leaves_neither_right_nor_wrong() -> None:
    crowd = (0.0, 0.0, 100.0, 100.0)
    inside = [(10.0 * i, 10.0, 10.0 * i + 8.0, 30.0) for i in range(5)]
    outside = (200.0, 200.0, 210.0, 210.0)
    found = match_boxes([*inside, outside], [1.0] * 6, [crowd], [True])
    assert (found.pairs, found.ignored, found.unmatched, found.missed) == ((), (0, 1, 2, 3, 4), (5,), ())


def test_a_true_box_goes_before_the_crowd_around_it() -> None:
    found = match_boxes([TEN], [1.0], [(0.0, 0.0, 100.0, 100.0), TEN], [True, False])
    assert [pair.truth for pair in found.pairs] == [1]
    assert found.ignored == ()


def test_nothing_against_nothing() -> None:
    assert match_boxes([], [], [], []) == match_boxes(np.zeros((0, 4)), [], np.zeros((0, 4)), [])
    assert match_boxes([TEN], [1.0], [], []).unmatched == (0,)
    assert match_boxes([], [], [TEN], [False]).missed == (0,)


def box_arrays(most: int) -> st.SearchStrategy[list[tuple[float, ...]]]:
    corner = st.integers(0, 12)
    one = st.tuples(corner, corner, st.integers(1, 8), st.integers(1, 8))
    return st.lists(
        one.map(lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))), max_size=most
    )


@given(box_arrays(6), box_arrays(6))
def test_coverage_is_pycocotools_crowd_iou(a: list[tuple[float, ...]], b: list[tuple[float, ...]]) -> None:
    mask = pytest.importorskip("pycocotools.mask")
    if a and b:
        xywh = [np.array([[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in boxes]) for boxes in (a, b)]
        expected = mask.iou(xywh[0], xywh[1], [1] * len(b))
        np.testing.assert_allclose(coverage_matrix(a, b), expected, atol=1e-12)


@settings(max_examples=150)
@given(st.data(), box_arrays(7), box_arrays(7))
def test_pairs_are_those_of_pycocotools(
    data: st.DataObject, predicted: list[tuple[float, ...]], truth: list[tuple[float, ...]]
) -> None:
    scores = data.draw(
        st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=len(predicted), max_size=len(predicted))
    )
    crowd = data.draw(st.lists(st.booleans(), min_size=len(truth), max_size=len(truth)))
    pairs, ignored, unmatched = coco_choice(predicted, scores, truth, crowd)
    found = match_boxes(predicted, scores, truth, crowd)
    assert {(pair.predicted, pair.truth) for pair in found.pairs} == pairs
    assert set(found.ignored) == ignored
    assert set(found.unmatched) == unmatched
    assert set(found.missed) == {i for i, flag in enumerate(crowd) if not flag} - {t for _, t in pairs}


def coco_choice(
    predicted: list[tuple[float, ...]], scores: list[float], truth: list[tuple[float, ...]], crowd: list[bool]
) -> tuple[set[tuple[int, int]], set[int], set[int]]:
    """What pycocotools' evaluateImg decides at IoU 0.5: pairs, ignored and unmatched rows, from 0 on."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    if not predicted:
        return set(), set(), set()

    def entry(i: int, box: tuple[float, ...]) -> dict[str, object]:
        x1, y1, x2, y2 = box
        area = (x2 - x1) * (y2 - y1)
        bbox = [x1, y1, x2 - x1, y2 - y1]
        return {"id": i + 1, "image_id": 1, "category_id": 1, "bbox": bbox, "area": area}

    gold, found = coco.COCO(), coco.COCO()
    images, categories = [{"id": 1, "width": 99, "height": 99}], [{"id": 1, "name": "x"}]
    gold.dataset = {
        "images": images, "categories": categories,
        "annotations": [{**entry(i, box), "iscrowd": int(crowd[i])} for i, box in enumerate(truth)],
    }  # fmt: skip
    found.dataset = {
        "images": images, "categories": categories,
        "annotations": [{**entry(i, box), "score": scores[i]} for i, box in enumerate(predicted)],
    }  # fmt: skip
    gold.createIndex()
    found.createIndex()
    evaluation = cocoeval.COCOeval(gold, found, "bbox")
    evaluation.evaluate()
    outcome = next(one for one in evaluation.evalImgs if one is not None and one["aRng"] == [0, 1e10])
    pairs, ignored, unmatched = set(), set(), set()
    for dt_id, gt_id, is_ignored in zip(
        outcome["dtIds"], outcome["dtMatches"][0], outcome["dtIgnore"][0], strict=True
    ):
        if is_ignored:
            ignored.add(int(dt_id) - 1)
        elif gt_id:
            pairs.add((int(dt_id) - 1, int(gt_id) - 1))
        else:
            unmatched.add(int(dt_id) - 1)
    return pairs, ignored, unmatched
