"""Curves, against numbers worked out by hand."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from paddle_ground.evaluate.curve_pictures import draw_curves
from paddle_ground.evaluate.curves import Curve, detection_curves
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


def test_coco_precision_and_order(coco_truth: Truth, jittered: Callable[..., list[Prediction]]) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    chance = random.Random(7)
    # No two boxes of one score: pycocotools orders those by record, a threshold takes them together.
    predictions = [
        replace(one, regions=tuple(replace(region, score=chance.random()) for region in one.regions))
        for one in jittered(6)
    ]
    image_ids = {image.file_name: image.id for image in coco_truth.images}
    category_ids = {category.name: category.id for category in coco_truth.categories}
    results = [
        {"image_id": image_ids[one.image], "category_id": category_ids[region.label], "score": region.score,
         "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for one in predictions for region in one.regions if region.label in category_ids
        for x1, y1, x2, y2 in [region.box_xyxy_px]
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        gold = coco.COCO()
        gold.dataset = coco_truth.to_coco()
        gold.createIndex()
        evaluation = cocoeval.COCOeval(gold, gold.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    names = {category.id: category.name for category in coco_truth.categories}
    classes = [names[category_id] for category_id in evaluation.params.catIds]
    curves = detection_curves(predictions, coco_truth)
    for curve in curves[1:]:
        wanted = evaluation.eval["precision"][0, :, classes.index(curve.name), 0, -1]
        found = [curve.precision_at(recall) for recall in evaluation.params.recThrs]
        assert found == pytest.approx(wanted.tolist(), abs=1e-9), curve.name
    assert sum(len(curve.thresholds) > 3 for curve in curves) > 3  # the case says something
    shuffled = replace(
        coco_truth,
        images=tuple(chance.sample(coco_truth.images, len(coco_truth.images))),
        annotations=tuple(chance.sample(coco_truth.annotations, len(coco_truth.annotations))),
    )
    assert detection_curves(chance.sample(predictions, len(predictions)), shuffled) == curves


def test_json_keeps_the_ends_and_the_best_point() -> None:
    n = 1000
    f1 = tuple(1.0 if i == 333 else i / n / 2 for i in range(n))
    scores = tuple(1 - i / n for i in range(n))
    document = Curve("all", scores, f1, f1, f1, scores[333], 5).to_json()
    assert document["points"] == n
    kept = document["thresholds"]
    assert isinstance(kept, list)
    assert len(kept) <= 201
    assert (kept[0], kept[-1]) == (scores[0], scores[-1])
    assert document["best_threshold"] in kept
