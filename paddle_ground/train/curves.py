"""What a run's log says over its steps, and a picture of it.

Takes a run folder's `log.jsonl` (see `backend.run_log`); gives series of numbers and one PNG: losses,
smoothed, learning rate, gradient norm, grounding metrics, speed. Reads no weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paddle_ground.backend.best_model import Best, read_best
from paddle_ground.backend.run_log import LOG_FILE
from paddle_ground.backend.settings import BEST_FOLDER, METRICS
from paddle_ground.backend.step_lines import read_step_lines
from paddle_ground.errors import TrainError
from paddle_ground.files import atomic_writer

PICTURE = "curves.png"
_METRIC_NAMES = dict(zip(METRICS, ("AP50", "F1@0.5", "mean IoU", "parse rate"), strict=True))


@dataclass(frozen=True)
class Series:
    """One number over the steps.

    Attributes:
        steps: In order, each once.
        values: As many.
    """

    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class RunCurves:
    """What a run logged.

    Attributes:
        run: Its folder.
        series: By the name that it is logged under.
        best: The best model that was kept; none where none was asked for.
    """

    run: Path
    series: Mapping[str, Series] = field(default_factory=dict)
    best: Best | None = None

    def get(self, name: str) -> Series:
        """Give a series; an empty one where it was never logged."""
        return self.series.get(name, Series())


def read_curves(run: Path) -> RunCurves:
    """Read a run's log.

    Args:
        run: The run folder, of a training that goes on or has ended.

    Raises:
        TrainError: It holds no log.
    """
    entries = read_step_lines(run / LOG_FILE)
    if not entries:
        raise TrainError(
            f"{run / LOG_FILE}: no logged step; name the output_dir of a training with paddle_ground's plugin"
        )
    found: dict[str, dict[int, float]] = {}
    for entry in entries:
        for name, value in entry.items():
            if name not in ("step", "time", "global_step") and isinstance(value, int | float):
                found.setdefault(name, {})[entry["step"]] = float(value)
    series = {name: Series(tuple(points), tuple(points.values())) for name, points in found.items()}
    return RunCurves(run, series, read_best(run / BEST_FOLDER))


def smoothed(values: Sequence[float], half_life: float) -> list[float]:
    """Average over the past, what is older counting less; values that are no number are passed over.

    Args:
        values: A loss each logged step.
        half_life: So many values back, one counts half.

    Returns:
        As many. The first ones lean on no zero: the weights of what is there add up to 1.
    """
    keep = 0.5 ** (1 / half_life)
    total = weight = 0.0
    found = []
    for value in values:
        if math.isfinite(value):
            total, weight = keep * total + value, keep * weight + 1
        found.append(total / weight if weight else math.nan)
    return found


def draw_curves(curves: RunCurves, output: Path, half_life: float) -> Path:
    """Draw one PNG, whole or not at all; a panel each for what was logged.

    Args:
        curves: Of one run.
        output: The picture.
        half_life: Of the smoothing, in logged steps.

    Raises:
        UnwritableError: It can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [
        (name, draw)
        for name, logged, draw in (
            ("loss", ("loss", "eval_loss"), _losses),
            ("grounding, on validation samples", METRICS, _metrics),
            ("gradient norm, before clipping", ("global_norm",), _gradient_norm),
            ("learning rate", ("learning_rate",), _learning_rate),
            ("trained tokens a second", ("tokens_per_second",), _speed),
        )
        if any(curves.get(key).steps for key in logged)
    ]
    figure = Figure(figsize=(9, 2.6 * max(1, len(panels))), dpi=110, layout="constrained")
    figure.suptitle(str(curves.run))
    axes = None
    for row, (name, draw) in enumerate(panels, start=1):
        axes = figure.add_subplot(len(panels), 1, row, title=name, sharex=axes)
        axes.grid(alpha=0.3)
        draw(axes, curves, half_life)
    figure.supxlabel("step")
    with atomic_writer(output, binary=True) as stream:
        FigureCanvasAgg(figure)
        figure.savefig(stream, format="png")
    return output


def _losses(axes: Any, curves: RunCurves, half_life: float) -> None:
    train, held_out = curves.get("loss"), curves.get("eval_loss")
    axes.plot(train.steps, train.values, color="C0", lw=0.6, alpha=0.4, label="training")
    axes.plot(train.steps, smoothed(train.values, half_life), color="C0", lw=1.6, label="training, smoothed")
    if held_out.steps:
        axes.plot(held_out.steps, held_out.values, color="C1", marker="o", ms=3, label="validation")
    axes.legend(fontsize="small")


def _metrics(axes: Any, curves: RunCurves, _: float) -> None:
    for color, (name, label) in enumerate(_METRIC_NAMES.items()):
        found = curves.get(name)
        if found.steps:
            axes.plot(found.steps, found.values, color=f"C{color}", marker="o", ms=3, label=label)
    best = curves.best
    if best is not None:
        label = (
            f"kept as best: step {best.step}, {_METRIC_NAMES.get(best.metric, best.metric)} {best.value:.3f}"
        )
        axes.plot([best.step], [best.value], color="black", marker="*", ms=10, ls="", label=label)
    axes.set_ylim(-0.02, 1.02)
    axes.legend(fontsize="small")


def _gradient_norm(axes: Any, curves: RunCurves, _: float) -> None:
    found = curves.get("global_norm")
    axes.plot(found.steps, found.values, color="C2", lw=0.9)
    if all(value > 0 for value in found.values):
        axes.set_yscale("log")


def _learning_rate(axes: Any, curves: RunCurves, _: float) -> None:
    found = curves.get("learning_rate")
    axes.plot(found.steps, found.values, color="C3", lw=1.2)
    axes.set_ylim(bottom=0)


def _speed(axes: Any, curves: RunCurves, _: float) -> None:
    found = curves.get("tokens_per_second")
    axes.plot(found.steps, found.values, color="C4", lw=0.9)
    axes.set_ylim(bottom=0)


def to_json(curves: RunCurves) -> str:
    """Give the series as JSON: name -> [[step, value], ...]; null for what is no finite number."""
    pairs = {
        name: [
            (step, value if math.isfinite(value) else None)
            for step, value in zip(series.steps, series.values, strict=True)
        ]
        for name, series in curves.series.items()
    }
    return json.dumps(pairs, allow_nan=False)
