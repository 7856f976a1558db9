"""Rates, against numbers worked out by hand."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from paddle_ground.evaluate import evaluate_detection
from paddle_ground.evaluate.rates import ConfusionCell
from paddle_ground.records import Category, Prediction, Region, Truth, TruthBox, TruthImage

TRUTH = Truth(
    tuple(TruthImage(i, f"{i}.png", (100, 100)) for i in (1, 2, 3)),
    (
        TruthBox(1, 1, 1, (0.0, 0.0, 10.0, 10.0), 100.0),
        TruthBox(2, 1, 2, (50.0, 50.0, 60.0, 60.0), 100.0),
        TruthBox(3, 1, 2, (80.0, 80.0, 90.0, 90.0), 100.0),
    ),
    (Category(1, "cat"), Category(2, "dog")),
)
FOUND = [
    Prediction(0, "1.png", (100, 100), "", "", "ok", regions=(
        Region("cat", (0.0, 0.0, 10.0, 8.0), 0.9),  # IoU 0.8
        Region("cat", (0.0, 0.0, 10.0, 10.0), 0.5),  # the same cat again
        Region("cat", (50.0, 50.0, 60.0, 60.0), 0.4),  # a dog
        Region("gizmo", (20.0, 20.0, 30.0, 30.0), 0.3),  # nothing, of no class
    )),
    Prediction(1, "2.png", (100, 100), "", "", "ok", regions=(Region("dog", (0.0, 0.0, 9.0, 9.0), 0.2),)),
    Prediction(2, "3.png", (100, 100), "", "", "ok"),
]  # fmt: skip


def test_rates_by_hand() -> None:
    metrics = evaluate_detection(FOUND, TRUTH)
    rates = metrics.rates
    assert rates.count_error_abs == pytest.approx((1 + 1 + 0) / 3)  # 4 for 3, 1 for 0, 0 for 0
    assert rates.count_error == pytest.approx(2 / 3)
    assert rates.duplicate_rate == pytest.approx(1 / 5)
    assert (rates.object_free_images, rates.hallucination_rate) == (2, 0.5)
    # Only the cat is the one of its name in its image; the surest box counts, not the best.
    assert (rates.phrases, rates.referring_acc_50) == (1, 1.0)
    assert rates.referring_mean_iou == pytest.approx(0.8)


def test_f1_over_ious_by_hand() -> None:
    # The cat is hit by its first box up to 0.80, by its second beyond: 1 hit, 4 wrong, 2 missed throughout.
    assert evaluate_detection(FOUND, TRUTH).f1_miou == pytest.approx(2 / 8)
    # One box alone of IoU 0.8: found at 0.50 ... 0.80, seven of ten, then F1 = 2 / (2 + 0 + 2).
    alone = [replace(FOUND[0], regions=FOUND[0].regions[:1])]
    assert evaluate_detection(alone, TRUTH).f1_miou == pytest.approx(0.7 * 2 / 4)


def test_confusion_by_hand() -> None:
    assert evaluate_detection(FOUND, TRUTH).confusion == (
        ConfusionCell("cat", "cat", 1),
        ConfusionCell("dog", "cat", 1),
        ConfusionCell("dog", None, 1),
        ConfusionCell(None, "(unknown)", 1),
        ConfusionCell(None, "cat", 1),
        ConfusionCell(None, "dog", 1),
    )


def test_nothing_to_divide_by_is_none() -> None:
    rates = evaluate_detection([], replace(TRUTH, images=(), annotations=())).rates
    assert (rates.hallucination_rate, rates.referring_acc_50, rates.referring_mean_iou) == (None, None, None)


def test_record_order_changes_nothing(coco_truth: Truth, jittered: Callable[..., list[Prediction]]) -> None:
    found = jittered(5)
    shuffled = random.Random(0).sample(found, len(found))
    boxes = tuple(random.Random(1).sample(coco_truth.annotations, len(coco_truth.annotations)))
    images = tuple(reversed(coco_truth.images))
    assert evaluate_detection(shuffled, replace(coco_truth, images=images, annotations=boxes)) == (
        evaluate_detection(found, coco_truth)
    )
