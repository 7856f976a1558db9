"""Metrics of many drawings of images at once: what a bootstrap needs, without matching boxes again.

Takes `ImageCase`s once, then weights (how often each image was drawn), gives metrics. Knows no files.
A drawing with an image k times is scored as if k copies of the image were there. AP is COCO's: the same
matching, 101 recall steps and at most 100 boxes an image and class as in `coco_ap`; of equal scores, the
image with the lower id comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from paddle_ground.boxes import FloatArray
from paddle_ground.errors import EvaluationError
from paddle_ground.evaluate.drawn_precision import DrawnClass
from paddle_ground.evaluate.matching import Matches
from paddle_ground.evaluate.pairing import ImageCase
from paddle_ground.evaluate.rates import IOU_THRESHOLDS
from paddle_ground.evaluate.tally import match_case_at, score_of
from paddle_ground.records import Truth

NAMES = ("ap", "ap50", "precision", "recall", "f1", "f1_miou", "mean_iou", "parse_rate")
"""What is measured, in this order."""

_MOST_BOXES = 100  # COCO's maxDets

# Category id -> what was matched at the threshold asked for, then at each of COCO's.
_Matched: TypeAlias = "dict[int | None, tuple[Matches, ...]]"


class MatchTable:
    """What became of every box, image by image.

    Args:
        cases: One an entry of the truth, I in all.
        read_answers: Shape (I, 2): answers that could be read, and answers, of each entry.
        truth: Its classes are averaged over.
        iou_threshold: For precision, recall, F1 and mean IoU.

    Attributes:
        rows: (I, 4) hits, wrong, missed and the hits' summed IoU at `iou_threshold`.
    """

    def __init__(
        self, cases: Sequence[ImageCase], read_answers: FloatArray, truth: Truth, iou_threshold: float
    ) -> None:
        thresholds = (iou_threshold, *IOU_THRESHOLDS)
        matched: list[_Matched] = [
            {known: match_case_at(known, case, thresholds) for known in case.category_ids()} for case in cases
        ]
        self.rows = np.stack([_count(one, 0) for one in matched])
        self._by_threshold = [
            np.stack([_count(one, at)[:3] for one in matched]) for at in range(1, len(thresholds))
        ]
        self._answers = read_answers
        self._classes = _classes(cases, matched, truth)
        self._drawn: dict[tuple[int, int], FloatArray] = {}

    def measure_drawings(self, resamples: int, seed: int) -> FloatArray:
        """Score random drawings of as many images as there are; asked again, it gives the same array.

        Returns:
            Shape (resamples, len(NAMES)), 0..1; not to be written into.
        """
        key = (resamples, seed)
        if key not in self._drawn:
            self._drawn[key] = self.measure(draw_images(len(self.rows), *key))
        return self._drawn[key]

    def measure(self, weights: FloatArray) -> FloatArray:
        """Score drawings.

        Args:
            weights: Shape (R, I), how often each image was drawn.

        Returns:
            Shape (R, len(NAMES)), 0..1.
        """
        hits, wrong, missed, ious = (weights @ self.rows).T
        f1_by_threshold = [_f1(*(weights @ rows).T) for rows in self._by_threshold]
        read, answers = (weights @ self._answers).T
        aps = self._average_precision(weights)
        return np.stack(
            [
                aps.mean(axis=1), aps[:, 0], _share(hits, hits + wrong), _share(hits, hits + missed),
                _f1(hits, wrong, missed), np.mean(f1_by_threshold, axis=0), _share(ious, hits),
                _share(read, answers),
            ],
            axis=1,
        )  # fmt: skip

    def _average_precision(self, weights: FloatArray) -> FloatArray:
        """Give AP at each threshold, (R, T), as a mean over the classes with a true box in the drawing."""
        sums = np.zeros((len(weights), len(IOU_THRESHOLDS)))
        classes = np.zeros(len(weights))
        by_image = np.ascontiguousarray(weights.T)
        for one in self._classes:
            ap, to_find = one.average_precision(by_image)
            sums += ap
            classes += to_find > 0
        means: FloatArray = sums / np.maximum(classes, 1)[:, None]
        return means


def draw_images(images: int, resamples: int, seed: int) -> FloatArray:
    """Draw as many images as there are, with replacement, again and again.

    Returns:
        Shape (resamples, images): how often each image was drawn.
    """
    draws = np.random.default_rng(seed)
    counts = np.empty((resamples, images))
    for row in counts:
        row[:] = np.bincount(draws.integers(0, images, images), minlength=images)
    return counts


def check_drawing(images: int, resamples: int, confidence: float) -> None:
    """Refuse what can't be drawn.

    Raises:
        EvaluationError: See `compare`.
    """
    if not images:
        raise EvaluationError("the truth has no image; give the truth.json that was predicted")
    if resamples < 1 or not 0 < confidence < 1:
        raise EvaluationError(
            f"{resamples} resamples at confidence {confidence}; expected at least 1, and between 0 and 1"
        )


def _classes(cases: Sequence[ImageCase], matched: Sequence[_Matched], truth: Truth) -> list[DrawnClass]:
    """Gather the boxes of each class that has a true one."""
    rows = {case.image_id: row for row, case in enumerate(cases)}
    to_find: dict[int, FloatArray] = {}
    for box in truth.annotations:
        if not box.is_crowd:
            to_find.setdefault(box.category_id, np.zeros(len(cases)))[rows[box.image_id]] += 1
    gathered: dict[int, list[_Boxes]] = {category_id: [] for category_id in sorted(to_find)}
    for row, case in enumerate(cases):
        scores: dict[int | None, list[float]] = {}
        for known, region in case.regions:
            scores.setdefault(known, []).append(score_of(region.score))
        for known, mine in scores.items():
            if known in gathered:
                gathered[known].append(_boxes(row, mine, matched[row][known][1:]))
    return [_class(boxes, to_find[category_id]) for category_id, boxes in gathered.items()]


# Row of the image, scores and fates, (2, T, boxes), of the surest boxes of one class in one image.
_Boxes: TypeAlias = "tuple[int, FloatArray, FloatArray]"


def _boxes(row: int, scores: Sequence[float], by_threshold: Sequence[Matches]) -> _Boxes:
    surest = np.argsort(-np.asarray(scores), kind="stable")[:_MOST_BOXES]
    return row, np.asarray(scores)[surest], _fates(by_threshold, len(scores))[:, :, surest]


def _class(boxes: Sequence[_Boxes], to_find: FloatArray) -> DrawnClass:
    if not boxes:
        none = np.zeros((len(IOU_THRESHOLDS), 0))
        return DrawnClass(np.zeros(0, dtype=np.int64), none, none, to_find)
    images = np.repeat([row for row, _, _ in boxes], [len(scores) for _, scores, _ in boxes])
    order = np.argsort(-np.concatenate([scores for _, scores, _ in boxes]), kind="stable")
    hits, wrong = np.concatenate([fates for _, _, fates in boxes], axis=2)[:, :, order]
    return DrawnClass(images[order], hits, wrong, to_find)


def _fates(by_threshold: Sequence[Matches], boxes: int) -> FloatArray:
    """Mark hits and wrong boxes, (2, T, boxes)."""
    fates = np.zeros((2, len(IOU_THRESHOLDS), boxes))
    for at, matches in enumerate(by_threshold):
        fates[0, at, [pair.predicted for pair in matches.pairs]] = 1
        fates[1, at, list(matches.unmatched)] = 1
    return fates


def _count(matched: _Matched, at: int) -> FloatArray:
    all_matches = [by_threshold[at] for by_threshold in matched.values()]
    return np.asarray([
        sum(len(one.pairs) for one in all_matches), sum(len(one.unmatched) for one in all_matches),
        sum(len(one.missed) for one in all_matches),
        sum(pair.iou for one in all_matches for pair in one.pairs),
    ], dtype=np.float64)  # fmt: skip


def _f1(hits: FloatArray, wrong: FloatArray, missed: FloatArray) -> FloatArray:
    return _share(2 * hits, 2 * hits + wrong + missed)


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    shares: FloatArray = part / np.where(whole > 0, whole, 1)
    return shares
