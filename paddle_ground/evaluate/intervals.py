"""How sure a metric is: its interval over images drawn again and again.

Takes one model's predictions and a truth, gives `Interval`s. Knows no files. Percentiles of a bootstrap over
images (Efron and Tibshirani, 1993); for the difference of two models see `compare`, which pairs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paddle_ground.evaluate.compare import RESAMPLES, match_table
from paddle_ground.evaluate.resampling import NAMES, MatchTable, check_drawing
from paddle_ground.records import Prediction, Truth


@dataclass(frozen=True, slots=True)
class Interval:
    """One metric, all 0..1.

    Attributes:
        name: As in `Difference`.
        value: Over all images, each once.
        low: Lower end of the interval.
        high: Its upper end.
    """

    name: str
    value: float
    low: float
    high: float


def metric_intervals(
    found: Sequence[Prediction],
    truth: Truth,
    iou_threshold: float = 0.5,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[Interval, ...]:
    """Measure one model, with intervals; the arguments and errors are those of `compare`."""
    check_drawing(len(truth.images), resamples, confidence)  # before the work
    return table_intervals(match_table(found, truth, iou_threshold), resamples, seed, confidence)


def table_intervals(
    table: MatchTable, resamples: int = RESAMPLES, seed: int = 0, confidence: float = 0.95
) -> tuple[Interval, ...]:
    """Do what `metric_intervals` does, from what was matched already."""
    check_drawing(len(table.rows), resamples, confidence)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(table.measure_drawings(resamples, seed), [tail, 100 - tail], axis=0)
    whole = table.measure(np.ones((1, len(table.rows))))[0]
    return tuple(Interval(name, *(float(v[k]) for v in (whole, low, high))) for k, name in enumerate(NAMES))
