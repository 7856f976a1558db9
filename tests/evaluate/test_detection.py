"""Detection metrics: equal to pycocotools on real COCO, and to hand-worked numbers where that has none."""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from paddle_ground.errors import EvaluationError
from paddle_ground.evaluate import evaluate_detection, render_table
from paddle_ground.records import Category, Prediction, Region, Truth, TruthBox, TruthImage

Jittered = Callable[..., list[Prediction]]


def coco_stats(predictions: list[Prediction], truth: Truth) -> tuple[list[float], dict[str, int]]:
    """AP, AP50, AP75 and the counts at IoU 0.5, by pycocotools."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    image_ids = {image.file_name: image.id for image in truth.images}
    category_ids = {category.name: category.id for category in truth.categories}
    results = [
        {
            "image_id": image_ids[prediction.image],
            "category_id": category_ids[region.label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": 1.0 if region.score is None else region.score,
        }
        for prediction in predictions
        for region in prediction.regions
        if region.label in category_ids
        for x1, y1, x2, y2 in [region.box_xyxy_px]
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        gold = coco.COCO()
        gold.dataset = truth.to_coco()
        gold.createIndex()
        evaluation = cocoeval.COCOeval(gold, gold.loadRes(results), "bbox")
        evaluation.params.maxDets = [1, 10, 100]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    counts = {"hits": 0, "wrong": 0, "ignored": 0, "missed": 0}
    for outcome in evaluation.evalImgs:
        if outcome is None or outcome["aRng"] != [0, 1e10]:
            continue
        for matched, is_ignored in zip(outcome["dtMatches"][0], outcome["dtIgnore"][0], strict=True):
            counts["ignored" if is_ignored else "hits" if matched else "wrong"] += 1
        for matched, is_ignored in zip(outcome["gtMatches"][0], outcome["gtIgnore"], strict=True):
            counts["missed"] += not matched and not is_ignored
    return [float(value) for value in evaluation.stats[:9]], counts


@pytest.mark.parametrize("with_scores", [True, False])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_equal_to_pycocotools_on_real_coco(
    coco_truth: Truth, jittered: Jittered, seed: int, with_scores: bool
) -> None:
    predictions = jittered(seed, with_scores=with_scores)
    metrics = evaluate_detection(predictions, coco_truth)
    stats, counts = coco_stats(predictions, coco_truth)
    assert 0.1 < stats[0] < 0.9  # the case says something
    assert [metrics.ap, metrics.ap50, metrics.ap75] == pytest.approx(stats[:3], abs=1e-9)
    sizes_and_recall = [
        metrics.ap_small, metrics.ap_medium, metrics.ap_large, metrics.ar_1, metrics.ar_10, metrics.ar_100
    ]  # fmt: skip
    assert sizes_and_recall == pytest.approx(stats[3:], abs=1e-9)
    unknown = sum(region.label == "gizmo" for one in predictions for region in one.regions)
    assert metrics.unknown_label_boxes == unknown > 0
    assert metrics.true_positives == counts["hits"]
    assert metrics.false_positives == counts["wrong"] + unknown
    assert metrics.ignored_boxes == counts["ignored"]
    assert metrics.false_negatives == counts["missed"]
    assert metrics.scored is with_scores


def test_real_coco_has_crowds_and_they_are_ignored(coco_truth: Truth) -> None:
    crowd = [box for box in coco_truth.annotations if box.is_crowd]
    assert crowd
    names = {category.id: category.name for category in coco_truth.categories}
    images = {image.id: image for image in coco_truth.images}
    predictions = [
        Prediction(i, images[box.image_id].file_name, images[box.image_id].size_wh, str(i), "", "ok",
                   regions=(Region(names[box.category_id], box.box_xyxy_px),))
        for i, box in enumerate(crowd)
    ]  # fmt: skip
    metrics = evaluate_detection(predictions, coco_truth)
    assert metrics.ignored_boxes + metrics.true_positives == len(crowd)
    assert metrics.false_positives == 0
    assert metrics.truth_boxes == len(coco_truth.annotations) - len(crowd)


def test_exact_predictions_score_one(coco_truth: Truth) -> None:
    names = {category.id: category.name for category in coco_truth.categories}
    predictions = [
        Prediction(
            index, image.file_name, image.size_wh, "", "", "ok",
            regions=tuple(
                Region(names[box.category_id], box.box_xyxy_px)
                for box in coco_truth.annotations
                if box.image_id == image.id and not box.is_crowd
            ),
        )
        for index, image in enumerate(coco_truth.images)
    ]  # fmt: skip
    metrics = evaluate_detection(predictions, coco_truth)
    assert (metrics.ap, metrics.f1_50, metrics.mean_iou) == pytest.approx((1.0, 1.0, 1.0))
    assert all(one.ap50 == pytest.approx(1.0) for one in metrics.classes if one.truth_boxes)


def test_record_order_changes_nothing(coco_truth: Truth, jittered: Jittered) -> None:
    predictions = jittered(4, with_scores=False)
    metrics = evaluate_detection(predictions, coco_truth)
    chance = random.Random(0)
    for _ in range(3):
        shuffled = replace(
            coco_truth,
            images=tuple(chance.sample(coco_truth.images, len(coco_truth.images))),
            annotations=tuple(chance.sample(coco_truth.annotations, len(coco_truth.annotations))),
        )
        assert evaluate_detection(chance.sample(predictions, len(predictions)), shuffled) == metrics


# --- by hand -----------------------------------------------------------------------------------------

TRUTH = Truth(
    images=(TruthImage(1, "a.png", (100, 100)), TruthImage(2, "b.png", (50, 60))),
    annotations=(
        TruthBox(1, 1, 7, (0.0, 0.0, 10.0, 10.0), 100.0),
        TruthBox(2, 1, 7, (50.0, 50.0, 70.0, 70.0), 400.0),
        TruthBox(3, 2, 8, (0.0, 0.0, 20.0, 20.0), 400.0),
    ),
    categories=(Category(7, "cat"), Category(8, "Dog"), Category(9, "cow")),
)


def prediction(
    image: str, *regions: Region, index: int = 0, status: str = "ok", **more: object
) -> Prediction:
    size_wh = {"a.png": (100, 100), "b.png": (50, 60)}.get(image, (9, 9))
    fields = {"prompt": "find", "text": "...", **more}
    return Prediction(index, image, size_wh, status=status, regions=regions, **fields)  # type: ignore[arg-type]


def test_counts_by_hand() -> None:
    found = [
        prediction(
            "a.png",
            Region("cat", (0.0, 0.0, 10.0, 8.0)),  # IoU 0.8: hit
            Region("cat", (0.0, 0.0, 10.0, 10.0)),  # the same cat again: wrong
            Region("dog", (50.0, 50.0, 70.0, 70.0)),  # a cat called a dog: wrong, and a cat missed
            Region("dragon", (1.0, 1.0, 2.0, 2.0)),  # no class at all: wrong
        ),
        prediction("b.png", Region(" dog", (0.0, 0.0, 20.0, 20.0)), index=1, status="repaired",
                   repairs=("clipped", "duplicate_dropped")),
    ]  # fmt: skip
    metrics = evaluate_detection(found, TRUTH)
    assert (metrics.true_positives, metrics.false_positives, metrics.false_negatives) == (2, 3, 1)
    assert metrics.precision_50 == pytest.approx(2 / 5)
    assert metrics.recall_50 == pytest.approx(2 / 3)
    assert metrics.f1_50 == pytest.approx(0.5)
    assert metrics.mean_iou == pytest.approx(0.9)
    # AP50: cat finds 1 of 2 with its first box: precision 1 up to recall 0.5, that is 51 of 101 points.
    # Dog: the hit on b.png ties with the wrong box on a.png, which comes first: precision 1/2 throughout.
    assert metrics.ap50 == pytest.approx((51 / 101 + 0.5) / 2)
    assert metrics.unknown_label_boxes == 1
    assert metrics.repairs == (("clipped", 1), ("duplicate_dropped", 1))
    assert (metrics.parse_rate, metrics.repaired_rate) == (1.0, 0.5)
    assert [(one.name, one.truth_boxes, one.predicted_boxes) for one in metrics.classes] == [
        ("cat", 2, 2),
        ("Dog", 1, 2),
    ]


def test_rates_count_answers() -> None:
    found = [
        prediction("a.png", index=0, status="failed"),
        # An image that could not be opened has no size.
        replace(prediction("a.png", index=1, status="error", prompt="again", error="gone"), size_wh=(0, 0)),
        prediction("b.png", index=2, status="ok"),
        prediction("b.png", index=3, status="repaired", prompt="again"),
    ]
    metrics = evaluate_detection(found, TRUTH)
    assert (metrics.parse_rate, metrics.repaired_rate, metrics.errors, metrics.answers) == (0.5, 0.25, 1, 4)
    assert metrics.missing_images == 0


def test_an_unanswered_image_counts_as_missed() -> None:
    metrics = evaluate_detection([prediction("b.png", Region("Dog", (0.0, 0.0, 20.0, 20.0)))], TRUTH)
    assert (metrics.missing_images, metrics.false_negatives, metrics.recall_50) == (
        1,
        2,
        pytest.approx(1 / 3),
    )
    assert metrics.ap50 == pytest.approx(0.5)  # dog 1, cat 0


def test_nothing_predicted_and_nothing_to_find() -> None:
    nothing = evaluate_detection([prediction("a.png"), prediction("b.png", index=1)], TRUTH)
    assert (nothing.ap, nothing.f1_50, nothing.precision_50, nothing.false_negatives) == (0.0, 0.0, 0.0, 3)
    empty = evaluate_detection(
        [prediction("a.png", Region("cat", (0, 0, 9, 9)))], replace(TRUTH, annotations=())
    )
    assert (empty.ap, empty.f1_50, empty.false_positives) == (0.0, 0.0, 1)


def test_prompts_of_one_image_are_pooled() -> None:
    found = [
        prediction("a.png", Region("cat", (0.0, 0.0, 10.0, 10.0)), prompt="first"),
        prediction("a.png", Region("cat", (50.0, 50.0, 70.0, 70.0)), index=1, prompt="second"),
    ]
    assert evaluate_detection(found, TRUTH).true_positives == 2


def test_names_that_differ_in_case_only_stay_apart() -> None:
    truth = replace(TRUTH, categories=(Category(7, "cat"), Category(8, "Cat")))
    metrics = evaluate_detection([prediction("b.png", Region("Cat", (0.0, 0.0, 20.0, 20.0)))], truth)
    assert metrics.true_positives == 1
    assert (
        evaluate_detection([prediction("b.png", Region("CAT", (0, 0, 20, 20)))], truth).unknown_label_boxes
        == 1
    )


def test_another_threshold_is_used_and_named() -> None:
    found = [prediction("a.png", Region("cat", (0.0, 0.0, 10.0, 8.0)))]
    assert evaluate_detection(found, TRUTH, 0.75).true_positives == 1
    strict = evaluate_detection(found, TRUTH, 0.85)
    assert (strict.true_positives, strict.iou_threshold) == (0, 0.85)


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ([prediction("c.png")], "1 of 1 predictions are of images that are not in the truth, first 'c.png'"),
        (
            [replace(prediction("a.png"), size_wh=(100, 90))],
            "a.png: predicted at 100 x 90.*truth says 100 x 100",
        ),
        ([prediction("a.png"), prediction("a.png", index=1)], "a.png: predicted twice for one prompt"),
    ],
)
def test_what_does_not_belong_together_is_refused(found: list[Prediction], complaint: str) -> None:
    with pytest.raises(EvaluationError, match=complaint):
        evaluate_detection(found, TRUTH)


def test_ambiguous_truth_is_refused() -> None:
    with pytest.raises(EvaluationError, match="called 'cat'"):
        evaluate_detection([], replace(TRUTH, categories=(*TRUTH.categories, Category(10, "cat"))))
    with pytest.raises(EvaluationError, match=r"'a\.png' twice"):
        evaluate_detection([], replace(TRUTH, images=(*TRUTH.images, TruthImage(3, "a.png", (1, 1)))))


def test_metrics_survive_json() -> None:
    metrics = evaluate_detection([prediction("a.png", Region("cat", (0.0, 0.0, 10.0, 8.0)))], TRUTH)
    document = json.loads(json.dumps(metrics.to_json(), allow_nan=False))
    assert document["true_positives"] == 1
    assert document["classes"][0]["name"] == "cat"
    assert document["repairs"] == {}
    assert set(document) == set(type(metrics).__dataclass_fields__)


def test_table_shows_every_row_in_full() -> None:
    metrics = evaluate_detection([prediction("a.png", Region("cat", (0.0, 0.0, 10.0, 8.0)))], TRUTH)
    lines = render_table([("before", metrics), ("after tuning", metrics)]).splitlines()
    assert lines[0].split()[:2] == ["AP", "AP50"]
    assert lines[-1].startswith("after tuning")
    # 1 of 3 found, IoU 0.8; AP50 of cat 51/101, of dog 0; AP counts 7 of the 10 IoU thresholds.
    assert lines[-1].split()[2:] == [
        "17.7",
        "25.2",
        "25.2",
        "100.0",
        "33.3",
        "50.0",
        "80.0",
        "100.0",
        "0.0",
        "2",
        "1/3",
    ]
    assert "\x1b" not in "".join(lines)
