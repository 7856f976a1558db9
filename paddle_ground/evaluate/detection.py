"""Detection metrics of a set of predictions: what was found, what was missed, what was made up.

Takes `Prediction`s and a `Truth`, gives `DetectionMetrics`. Knows no files, models or pictures.
Boxes are compared in pixels; counts at one IoU threshold follow `matching`, AP follows `coco_ap`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from paddle_ground.evaluate.coco_ap import AveragePrecision, CategoryPrecision, Detection, average_precision
from paddle_ground.evaluate.curves import Curve, case_curves
from paddle_ground.evaluate.pairing import ImageCase, pair_up
from paddle_ground.evaluate.rates import ConfusionCell, Rates, confusion, f1_miou, rates
from paddle_ground.evaluate.tally import UNSCORED, Counts, count, score_of, share
from paddle_ground.records import Prediction, Truth

__all__ = ["ClassMetrics", "DetectionMetrics", "evaluate_detection"]


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class; fields as in `DetectionMetrics`."""

    name: str
    ap: float
    ap50: float
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    precision_50: float
    recall_50: float
    f1_50: float
    truth_boxes: int
    predicted_boxes: int


@dataclass(frozen=True, slots=True)
class DetectionMetrics:
    """How well boxes and names were predicted. Shares are 0..1, and 0.0 where there is nothing to divide by.

    Attributes:
        ap: COCO AP, IoU 0.50:0.95, mean over the classes that have a true box.
        ap50: COCO AP at IoU 0.5.
        ap75: COCO AP at IoU 0.75.
        precision_50: True positives of all predicted boxes that count, all classes together.
        recall_50: True positives of all true boxes, all classes together.
        f1_50: Harmonic mean of the two.
        mean_iou: Mean IoU of the true positives.
        iou_threshold: Where precision, recall and F1 were taken; 0.5 unless asked otherwise.
        parse_rate: Answers that could be read (status "ok" or "repaired") of all answers.
        repaired_rate: Answers that were read only after mending, of all answers.
        images: Images in the truth.
        missing_images: Those without any prediction; their boxes count as missed.
        answers: Predictions that were scored.
        errors: Answers with status "error": the model could not be asked.
        truth_boxes: True boxes, crowds left out.
        predicted_boxes: Predicted boxes, whatever became of them.
        true_positives: Predicted boxes that found a true one of their class.
        false_positives: Those that found none, unknown names included.
        false_negatives: True boxes that were not found.
        ignored_boxes: Predicted boxes inside a crowd box: neither right nor wrong.
        unknown_label_boxes: Predicted boxes whose name is no class of the truth. They are false positives
            here; AP leaves them out, as COCO's mean skips every class without a true box.
        scored: Whether any predicted box had a score; if not, all count as equally sure.
        repairs: How many answers needed which repair, most frequent first.
        classes: The same by class, for classes with a true or a predicted box, in the truth's order.
        f1_miou: Mean of F1 at IoU 0.50, 0.55, ... 0.95, all boxes pooled (Rex-Omni, arXiv 2510.12798).
        ap_small: See `AveragePrecision`, as for the next five.
        ap_medium: Likewise.
        ap_large: Likewise.
        ar_1: Likewise.
        ar_10: Likewise.
        ar_100: Likewise.
        rates: Counting, duplicates, hallucination, referring.
        confusion: Which name was given to which object; cells that are not zero.
        ap_constant: AP if all boxes were equally sure: what the scores are worth is `ap` less this.
        ap50_constant: Likewise at IoU 0.5.
        curves: Precision, recall and F1 against the score threshold: all boxes pooled, then by class.
        best_threshold: The score from which on pooled F1 is highest; None where no box has a score.
        best_f1: That F1.
    """

    ap: float
    ap50: float
    ap75: float
    precision_50: float
    recall_50: float
    f1_50: float
    mean_iou: float
    iou_threshold: float
    parse_rate: float
    repaired_rate: float
    images: int
    missing_images: int
    answers: int
    errors: int
    truth_boxes: int
    predicted_boxes: int
    true_positives: int
    false_positives: int
    false_negatives: int
    ignored_boxes: int
    unknown_label_boxes: int
    scored: bool
    repairs: tuple[tuple[str, int], ...]
    classes: tuple[ClassMetrics, ...]
    f1_miou: float
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar_1: float
    ar_10: float
    ar_100: float
    rates: Rates
    confusion: tuple[ConfusionCell, ...]
    ap_constant: float
    ap50_constant: float
    curves: tuple[Curve, ...]
    best_threshold: float | None
    best_f1: float

    def to_json(self) -> dict[str, object]:
        """Give what `metrics.json` holds: plain numbers, lists and mappings."""
        document = asdict(self)
        document["repairs"] = dict(self.repairs)
        document["classes"] = [asdict(one) for one in self.classes]
        document["curves"] = [one.to_json() for one in self.curves]
        return document


def evaluate_detection(
    predictions: Sequence[Prediction],
    truth: Truth,
    iou_threshold: float = 0.5,
    cases: Sequence[ImageCase] | None = None,
) -> DetectionMetrics:
    """Score predictions against exact pixel boxes.

    The order of the predictions and of the truth's records does not matter. Names are compared as they
    are, else without regard to case. Where `iou_threshold` is not 0.5, the fields named `..._50` hold
    the values at that threshold.

    Args:
        predictions: At most one an image and prompt; several prompts of one image are pooled.
        truth: Every image that was to be answered.
        iou_threshold: For precision, recall, F1 and mean IoU; AP has its own thresholds.
        cases: What `pair_up` gives for these two, where it is there already.

    Raises:
        EvaluationError: A prediction's image is not in the truth, has another size there, or was
            predicted twice for one prompt.
        MissingExtraError: faster-coco-eval is not installed.
    """
    cases = pair_up(predictions, truth) if cases is None else cases
    tally = count(cases, iou_threshold)
    ap, constant = _average_precisions(cases, truth)
    curves = case_curves(cases, truth, iou_threshold)
    scored = any(region.score is not None for case in cases for _, region in case.regions)
    total = sum(tally.by_category.values(), Counts())
    statuses = Counter(prediction.status for prediction in predictions)
    repairs = Counter(name for prediction in predictions for name in prediction.repairs)
    return DetectionMetrics(
        ap=ap.ap,
        ap50=ap.ap50,
        ap75=ap.ap75,
        precision_50=total.precision,
        recall_50=total.recall,
        f1_50=total.f1,
        mean_iou=share(tally.iou_sum, total.hits),
        iou_threshold=iou_threshold,
        parse_rate=share(statuses["ok"] + statuses["repaired"], len(predictions)),
        repaired_rate=share(statuses["repaired"], len(predictions)),
        images=len(truth.images),
        missing_images=sum(not case.is_answered for case in cases),
        answers=len(predictions),
        errors=statuses["error"],
        truth_boxes=total.hits + total.missed,
        predicted_boxes=sum(len(case.regions) for case in cases),
        true_positives=total.hits,
        false_positives=total.wrong,
        false_negatives=total.missed,
        ignored_boxes=total.ignored,
        unknown_label_boxes=sum(category_id is None for case in cases for category_id, _ in case.regions),
        scored=scored,
        repairs=tuple(sorted(repairs.items(), key=lambda item: (-item[1], item[0]))),
        classes=tuple(
            _class_metrics(category.name, tally.by_category[category.id], ap.by_category.get(category.id))
            for category in truth.categories
            if category.id in tally.by_category
        ),
        f1_miou=f1_miou(cases),
        ap_small=ap.ap_small,
        ap_medium=ap.ap_medium,
        ap_large=ap.ap_large,
        ar_1=ap.ar_1,
        ar_10=ap.ar_10,
        ar_100=ap.ar_100,
        rates=rates(cases, iou_threshold),
        confusion=confusion(cases, truth, iou_threshold),
        ap_constant=constant.ap,
        ap50_constant=constant.ap50,
        curves=curves,
        best_threshold=curves[0].best_threshold if scored else None,
        best_f1=max(curves[0].f1, default=0.0),
    )


def _average_precisions(
    cases: Sequence[ImageCase], truth: Truth
) -> tuple[AveragePrecision, AveragePrecision]:
    """Give AP with the model's scores, and with one score for all."""
    detections = [
        Detection(case.image_id, category_id, region.box_xyxy_px, score_of(region.score))
        for case in cases
        for category_id, region in case.regions
        if category_id is not None
    ]
    ap = average_precision(detections, truth)
    if all(one.score == UNSCORED for one in detections):
        return ap, ap
    return ap, average_precision([replace(one, score=UNSCORED) for one in detections], truth)


def _class_metrics(name: str, counts: Counts, found: CategoryPrecision | None) -> ClassMetrics:
    ap = found or CategoryPrecision()
    return ClassMetrics(
        name=name,
        ap=ap.ap,
        ap50=ap.ap50,
        ap_small=ap.ap_small,
        ap_medium=ap.ap_medium,
        ap_large=ap.ap_large,
        precision_50=counts.precision,
        recall_50=counts.recall,
        f1_50=counts.f1,
        truth_boxes=counts.hits + counts.missed,
        predicted_boxes=counts.hits + counts.wrong + counts.ignored,
    )
