"""COCO average precision, computed by faster-coco-eval.

Takes detections as plain numbers and a `Truth`, gives AP. Knows no answers and no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paddle_ground.boxes import xyxy_to_xywh
from paddle_ground.errors import MissingExtraError
from paddle_ground.records import Truth


@dataclass(frozen=True, slots=True)
class Detection:
    """One predicted box of a known class, ready for COCO's evaluation; pixels."""

    image_id: int
    category_id: int
    box_xyxy_px: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True, slots=True)
class CategoryPrecision:
    """AP of one class, 0..1; None for a size of which the truth has no box."""

    ap: float = 0.0
    ap50: float = 0.0
    ap_small: float | None = None
    ap_medium: float | None = None
    ap_large: float | None = None


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """COCO's box AP, all sizes, at most 100 predictions an image and class.

    Attributes:
        ap: Mean over IoU 0.50, 0.55, ... 0.95 and over the classes that have a true box; 0..1.
        ap50: At IoU 0.5.
        ap75: At IoU 0.75.
        by_category: The same by category id, for those classes.
        ap_small: AP of objects up to 32 x 32 pixels; None, as for the next two, where the truth has none.
        ap_medium: Up to 96 x 96 pixels.
        ap_large: Beyond.
        ar_1: Average recall with at most 1 prediction an image and class.
        ar_10: With at most 10.
        ar_100: With at most 100.
    """

    ap: float
    ap50: float
    ap75: float
    by_category: Mapping[int, CategoryPrecision]
    ap_small: float | None = None
    ap_medium: float | None = None
    ap_large: float | None = None
    ar_1: float = 0.0
    ar_10: float = 0.0
    ar_100: float = 0.0


def average_precision(detections: Sequence[Detection], truth: Truth) -> AveragePrecision:
    """Compute COCO's AP.

    Args:
        detections: Boxes of the truth's categories, in any order of images; within one image, equal
            scores keep their order.
        truth: Crowd boxes are ignored as COCO does.

    Returns:
        Zeros where the truth has no box to find.

    Raises:
        MissingExtraError: faster-coco-eval is not installed.
    """
    to_find = {box.category_id for box in truth.annotations if not box.is_crowd}
    if not to_find or not detections:
        return AveragePrecision(0.0, 0.0, 0.0, dict.fromkeys(sorted(to_find), CategoryPrecision()))
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise MissingExtraError("average precision", "faster-coco-eval", "eval") from error
    gold = COCO(_sorted_coco(truth))
    found = gold.loadRes(_results(detections))
    evaluation = COCOeval_faster(gold, found, iouType="bbox", print_function=_quiet)
    evaluation.evaluate()
    evaluation.accumulate()
    # Axes: IoU threshold, recall step, category, area range (0 = all), most detections (last = 100).
    by_size = np.asarray(evaluation.eval["precision"])[:, :, :, :, -1]
    precision = by_size[:, :, :, 0]
    recall = np.asarray(evaluation.eval["recall"])[:, :, 0, :]
    thresholds = np.asarray(evaluation.params.iouThrs)
    by_category = {
        int(category_id): CategoryPrecision(
            _mean(precision[:, :, k]),
            _mean(precision[_at(thresholds, 0.5), :, k]),
            *(_mean_or_none(by_size[:, :, k, size]) for size in (1, 2, 3)),
        )
        for k, category_id in enumerate(evaluation.params.catIds)
        if int(category_id) in to_find
    }
    return AveragePrecision(
        ap=_mean(precision),
        ap50=_mean(precision[_at(thresholds, 0.5)]),
        ap75=_mean(precision[_at(thresholds, 0.75)]),
        by_category=by_category,
        ap_small=_mean_or_none(by_size[:, :, :, 1]),
        ap_medium=_mean_or_none(by_size[:, :, :, 2]),
        ap_large=_mean_or_none(by_size[:, :, :, 3]),
        ar_1=_mean(recall[:, :, 0]),
        ar_10=_mean(recall[:, :, 1]),
        ar_100=_mean(recall[:, :, 2]),
    )


def _sorted_coco(truth: Truth) -> dict[str, object]:
    """COCO's tie-breaks follow the order of the records: fix it, so that file order changes nothing."""
    document = truth.to_coco()
    return {name: sorted(rows, key=lambda row: row["id"]) for name, rows in document.items()}


def _results(detections: Sequence[Detection]) -> list[dict[str, object]]:
    ordered = sorted(detections, key=lambda one: one.image_id)  # stable: order within an image stays
    boxes_xywh = xyxy_to_xywh([one.box_xyxy_px for one in ordered]).tolist()
    return [
        {"image_id": one.image_id, "category_id": one.category_id, "bbox": box, "score": one.score}
        for one, box in zip(ordered, boxes_xywh, strict=True)
    ]


def _at(thresholds: np.ndarray[tuple[int, ...], np.dtype[np.float64]], wanted: float) -> int:
    return int(np.argmin(np.abs(thresholds - wanted)))


def _mean(precision: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """COCO marks what has no truth with -1 and leaves it out."""
    counted = precision[precision > -1]
    return float(counted.mean()) if counted.size else 0.0


def _mean_or_none(precision: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float | None:
    return _mean(precision) if (precision > -1).any() else None


def _quiet(*_: object) -> None:
    """Swallow the library's progress lines."""
