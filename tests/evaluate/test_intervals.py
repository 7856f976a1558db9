"""Intervals of one model's metrics, against scipy's bootstrap and known cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paddle_ground.errors import EvaluationError
from paddle_ground.evaluate import evaluate_detection
from paddle_ground.evaluate.intervals import metric_intervals
from paddle_ground.records import Category, Prediction, Region, Truth, TruthBox, TruthImage

BOX = (0.0, 0.0, 10.0, 10.0)


def run_of(hits: list[bool]) -> tuple[list[Prediction], Truth]:
    """One cat an image, found or not."""
    truth = Truth(
        tuple(TruthImage(i, f"{i}.png", (20, 20)) for i in range(1, len(hits) + 1)),
        tuple(TruthBox(i, i, 1, BOX, 100.0) for i in range(1, len(hits) + 1)),
        (Category(1, "cat"),),
    )
    told = [
        Prediction(i, f"{i + 1}.png", (20, 20), "", "", "ok", regions=(Region("cat", BOX),) * hit)
        for i, hit in enumerate(hits)
    ]
    return told, truth


def test_the_interval_of_recall_is_the_binomial_one() -> None:
    stats = pytest.importorskip("scipy.stats")
    told, truth = run_of([True, True, False, True] * 50)
    recall = {one.name: one for one in metric_intervals(told, truth, resamples=4000)}["recall"]
    assert recall.value == 0.75
    # Recall of a drawing of 200 images is a binomial number of hits of 200.
    low, high = (stats.binom.ppf(p, 200, 0.75) / 200 for p in (0.025, 0.975))
    assert (recall.low, recall.high) == (pytest.approx(low, abs=0.006), pytest.approx(high, abs=0.006))


def test_values_are_those_of_the_metrics() -> None:
    told, truth = run_of([True, False, True])
    told[1] = replace(told[1], status="failed")
    metrics = evaluate_detection(told, truth)
    values = {one.name: one.value for one in metric_intervals(told, truth, resamples=10)}
    assert values == pytest.approx(
        {
            "ap": metrics.ap, "ap50": metrics.ap50, "precision": metrics.precision_50,
            "recall": metrics.recall_50, "f1": metrics.f1_50, "f1_miou": metrics.f1_miou,
            "mean_iou": metrics.mean_iou, "parse_rate": metrics.parse_rate,
        }
    )  # fmt: skip


def test_the_seed_decides_and_a_sure_thing_has_no_width() -> None:
    told, truth = run_of([True, False] * 10)
    assert metric_intervals(told, truth, resamples=50) == metric_intervals(told, truth, resamples=50)
    assert metric_intervals(told, truth, resamples=50, seed=1) != metric_intervals(told, truth, resamples=50)
    told, truth = run_of([True] * 5)
    assert {(one.low, one.high) for one in metric_intervals(told, truth, resamples=50)} == {(1.0, 1.0)}


def test_a_truth_without_images_is_refused() -> None:
    with pytest.raises(EvaluationError, match="no image"):
        metric_intervals([], Truth((), (), ()))
