"""Curves of a training as inline SVG, in colours that the page's theme sets.

Takes what a run logged; gives HTML. A long run is thinned: neighbours are averaged. Knows no page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from paddle_ground.train.curves import RunCurves, Series, smoothed

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 480, 210, 52, 10, 12, 28
_POINTS = 300
_HALF_LIFE = 10.0
_GRID = 4


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        name: For the legend, as HTML.
        series: Its points.
        style: Class of its colour.
        faint: It is behind a smoothed one.
    """

    name: str
    series: Series
    style: str
    faint: bool = False


def charts(curves: RunCurves, word: Callable[[str], str]) -> str:
    """Draw losses, grounding metrics, gradient norm, learning rate and speed, as far as they were logged.

    Args:
        curves: Of one run.
        word: Key -> name; the keys are `chart_...`.
    """
    loss = curves.get("loss")
    smooth = Series(loss.steps, tuple(smoothed(loss.values, _HALF_LIFE)))
    metrics = ("eval_ap50", "eval_f1", "eval_mean_iou", "eval_parse_rate")
    panels = (
        ("chart_loss", (
            Line(word("chart_training"), loss, "c0", faint=True),
            Line(word("chart_smoothed"), smooth, "c0"),
            Line(word("chart_validation"), curves.get("eval_loss"), "c1"),
        )),
        ("chart_metrics", tuple(
            Line(word(f"chart_{name}"), curves.get(name), f"c{place}") for place, name in enumerate(metrics)
        )),
        ("chart_norm", (Line("", curves.get("global_norm"), "c2"),)),
        ("chart_rate", (Line("", curves.get("learning_rate"), "c3"),)),
        ("chart_speed", (Line("", curves.get("tokens_per_second"), "c4"),)),
    )  # fmt: skip
    drawn = [
        f"<figure><figcaption>{escape(word(title))}</figcaption>{chart(lines, word(title))}</figure>"
        for title, lines in panels
        if any(line.series.steps for line in lines)
    ]
    return f'<div class="charts">{"".join(drawn)}</div>'


def chart(lines: Sequence[Line], title: str) -> str:
    """Draw lines over the steps in one picture, with a legend of those that are named.

    Args:
        lines: Those without points are left out.
        title: For those who don't see it.
    """
    thin = [(line, points) for line in lines if (points := thinned(line.series))]
    if not thin:
        return ""
    steps = [step for _, points in thin for step, _ in points]
    values = [value for _, points in thin for _, value in points]
    low, high = _range(min(values), max(values))
    first, last = min(steps), max(max(steps), min(steps) + 1)

    def place(step: float, value: float) -> tuple[float, float]:
        x = _LEFT + (step - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)
        return x, _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _BOTTOM - _TOP)

    parts = [*_grid(low, high, place, first), *_marks(first, last)]
    for line, points in thin:
        parts += _drawn(line, [place(*point) for point in points], points)
    legend = "".join(_named(line, points[-1][1]) for line, points in thin)
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'{"".join(parts)}</svg><div class="legend">{legend}</div>'
    )


def _named(line: Line, last: float) -> str:
    style = f"{line.style} faint" if line.faint else line.style
    return f'<span class="{style}">{escape(line.name)} {_short(last)}</span>'


def thinned(series: Series) -> list[tuple[float, float]]:
    """Give (step, value), neighbours averaged where there are many; what is no number is left out."""
    points = [
        (float(step), value)
        for step, value in zip(series.steps, series.values, strict=True)
        if math.isfinite(value)
    ]
    size = -(-len(points) // _POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), max(1, size))]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _range(low: float, high: float) -> tuple[float, float]:
    """Give the axis' ends: from 0 where that costs little, and never of no length."""
    if 0 < low < high / 3:
        low = 0.0
    if high - low < 1e-12 + 1e-9 * abs(high):
        wide = abs(high) * 0.1 or 1.0
        return low - wide, high + wide
    return low, high + (high - low) * 0.04


def _grid(
    low: float, high: float, place: Callable[[float, float], tuple[float, float]], first: float
) -> list[str]:
    parts = []
    for number in range(_GRID + 1):
        value = low + (high - low) * number / _GRID
        _, y = place(first, value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>')
    return parts


def _short(value: float) -> str:
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1e}" if 0 < size < 0.001 else f"{value:.3g}"


def _marks(first: float, last: float) -> list[str]:
    y = _HEIGHT - 8
    middle = (first + last) // 2
    return [
        f'<text x="{x}" y="{y}" text-anchor="{anchor}">{step:g}</text>'
        for x, anchor, step in (
            (_LEFT, "start", first),
            (_LEFT + (middle - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT), "middle", middle),
            (_WIDTH - _RIGHT, "end", last),
        )
        if anchor != "middle" or first < step < last
    ]


def _drawn(line: Line, places: list[tuple[float, float]], points: list[tuple[float, float]]) -> list[str]:
    style = f"{line.style}{' faint' if line.faint else ''}"
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline class="line {style}" points="{path}"/>']
    if len(places) <= 40 and not line.faint:
        parts += [
            f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="2.5">'
            f"<title>{step:g}: {value:.5g}</title></circle>"
            for (x, y), (step, value) in zip(places, points, strict=True)
        ]
    return parts
