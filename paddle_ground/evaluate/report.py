"""Everything that was measured, as text: grouped, in percent, with the classes that matter most.

Takes `DetectionMetrics`, gives text. Knows no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from paddle_ground.evaluate.detection import DetectionMetrics
from paddle_ground.evaluate.table import lay_out, percent

CLASSES_SHOWN = 20
CELLS_SHOWN = 8


def render_report(
    name: str, metrics: DetectionMetrics, classes: int = CLASSES_SHOWN, cells: int = CELLS_SHOWN
) -> str:
    """Lay out all metrics of one predictions file; everything else is in metrics.json.

    Args:
        name: Stands at the top.
        metrics: Of that file.
        classes: So many classes at most, those with most true boxes.
        cells: So many confusions at most, the most frequent.

    Returns:
        Plain text, numbers in percent but for counts, thresholds and count errors; "-" where there is
        nothing to measure.
    """
    parts = [
        f"{name}: {metrics.images} images, {metrics.truth_boxes} true boxes, "
        f"{metrics.predicted_boxes} predicted",
        _average_precision(metrics),
        _boxes(metrics),
        _answers(metrics),
        _rates(metrics),
        _classes(metrics, classes),
        _confusions(metrics, cells),
    ]
    return "\n\n".join(part for part in parts if part)


def _average_precision(metrics: DetectionMetrics) -> str:
    measured = (
        metrics.ap, metrics.ap50, metrics.ap75, metrics.ap_small, metrics.ap_medium, metrics.ap_large,
        metrics.ar_1, metrics.ar_10, metrics.ar_100,
    )  # fmt: skip
    table = lay_out(
        ["COCO", "AP", "AP50", "AP75", "small", "medium", "large", "AR1", "AR10", "AR100"],
        [
            ["AP with scores", *_percents(measured)],
            ["AP with constant scores", *_percents((metrics.ap_constant, metrics.ap50_constant))],
        ],
    )
    return table if metrics.scored else f"{table}\n(no box has a score, so both are the same)"


def _boxes(metrics: DetectionMetrics) -> str:
    best = "-" if metrics.best_threshold is None else f"{metrics.best_threshold:.4f}"
    at = f"{metrics.iou_threshold:g}"
    return lay_out(
        [f"Boxes at IoU {at}", "precision", "recall", f"F1@{at}", "F1@mIoU", "mean IoU", "best threshold",
         "F1 there"],
        [["all classes", *map(percent, (metrics.precision_50, metrics.recall_50, metrics.f1_50,
                                        metrics.f1_miou, metrics.mean_iou)), best, percent(metrics.best_f1)]],
    )  # fmt: skip


def _answers(metrics: DetectionMetrics) -> str:
    table = lay_out(
        ["Answers", "parsed", "repaired", "errors", "images without"],
        [[str(metrics.answers), percent(metrics.parse_rate), percent(metrics.repaired_rate),
          str(metrics.errors), str(metrics.missing_images)]],
    )  # fmt: skip
    repairs = ", ".join(f"{name} {times}" for name, times in metrics.repairs)
    return f"{table}\nrepairs: {repairs}" if repairs else table


def _rates(metrics: DetectionMetrics) -> str:
    rates = metrics.rates
    table = lay_out(
        ["Rates", "count error", "signed", "duplicates", "hallucination", "on empty images", "unknown names"],
        [["", f"{rates.count_error_abs:.2f}", f"{rates.count_error:+.2f}", percent(rates.duplicate_rate),
          percent(rates.hallucination_rate), str(rates.object_free_images),
          str(metrics.unknown_label_boxes)]],
    )  # fmt: skip
    referring = lay_out(
        ["Referring", "phrases", "Acc@0.5", "mean IoU"],
        [["one box a phrase", str(rates.phrases), percent(rates.referring_acc_50),
          percent(rates.referring_mean_iou)]],
    )  # fmt: skip
    return f"{table}\n\n{referring}"


def _classes(metrics: DetectionMetrics, most: int) -> str:
    ordered = sorted(metrics.classes, key=lambda one: (-one.truth_boxes, one.name))[:most]
    if not ordered:
        return ""
    shown = len(ordered)
    of = f"Classes ({shown} of {len(metrics.classes)})" if shown < len(metrics.classes) else "Classes"
    return lay_out(
        [of, "AP", "AP50", "small", "medium", "large", "precision", "recall", "F1", "true", "predicted"],
        [
            [one.name, *_percents((one.ap, one.ap50, one.ap_small, one.ap_medium, one.ap_large,
                                   one.precision_50, one.recall_50, one.f1_50)),
             str(one.truth_boxes), str(one.predicted_boxes)]
            for one in ordered
        ],
    )  # fmt: skip


def _confusions(metrics: DetectionMetrics, most: int) -> str:
    mistaken = [cell for cell in metrics.confusion if cell.truth != cell.predicted]
    mistaken.sort(key=lambda cell: (-cell.count, cell.truth or "", cell.predicted or ""))
    if not mistaken:
        return ""
    return lay_out(
        ["Most frequent mistakes: true", "predicted", "boxes"],
        [
            [cell.truth or "(nothing there)", cell.predicted or "(missed)", str(cell.count)]
            for cell in mistaken[:most]
        ],
    )


def _percents(shares: Iterable[float | None]) -> Sequence[str]:
    return [percent(share) for share in shares]
