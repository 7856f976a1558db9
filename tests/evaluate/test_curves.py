"""Curves, against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from paddle_ground.evaluate.curve_pictures import draw_curves
from paddle_ground.evaluate.curves import detection_curves
from paddle_ground.records import Category, Prediction, Region, Truth, TruthBox, TruthImage

A, B, C = ((x, 0.0, x + 10.0, 10.0) for x in (0.0, 30.0, 60.0))
TRUTH = Truth(
    (TruthImage(1, "a.png", (100, 100)),),
    (TruthBox(1, 1, 1, A, 100.0), TruthBox(2, 1, 1, B, 100.0)),
    (Category(1, "cat"), Category(2, "dog")),
)
REGIONS = (Region("cat", A, 0.9), Region("cat", C, 0.5), Region("cat", B, 0.5), Region("dog", C, 0.2))
FOUND = [Prediction(0, "a.png", (100, 100), "", "", "ok", regions=REGIONS)]


def test_points_by_hand_and_pictures(tmp_path: Path) -> None:
    curves = detection_curves(FOUND, TRUTH)
    pooled, cat = curves
    assert (pooled.name, cat.name) == ("all", "cat")
    assert pooled.thresholds == (0.9, 0.5, 0.2)
    assert pooled.precision == pytest.approx((1, 2 / 3, 1 / 2))
    assert pooled.recall == (0.5, 1.0, 1.0)
    assert pooled.f1 == pytest.approx((2 / 3, 4 / 5, 2 / 3))
    assert pooled.best_threshold == cat.best_threshold == 0.5
    for path in draw_curves(curves, tmp_path):
        with Image.open(path) as picture:
            assert picture.size == (840, 480)
            assert len(picture.convert("L").getcolors(1 << 16) or []) > 2
