"""Histograms as inline SVG, in colours that the page's theme sets.

Takes numbers, gives SVG text. Knows no sample and no page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 420, 200, 44, 26, 10
_BINS = 24
_MAX_BARS = 25


def histogram(values: npt.NDArray[np.generic], label: str, mark: float | None = None) -> str:
    """Draw how often values occur.

    Args:
        values: Shape (N,).
        label: What they are, for the axis.
        mark: A limit to draw as a line, where values come near it.
    """
    if not len(values):
        return '<p class="empty">nothing to count</p>'
    numbers = values.astype(np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    if mark is not None and mark <= 2 * high:
        high = max(high, mark)
    whole = bool((numbers == np.floor(numbers)).all())
    bins = int(min(_BINS, high - low + 1)) if whole else _BINS
    # Whole numbers get bars of their own: edges between them.
    edges = np.linspace(low - 0.5 * whole, high + 0.5 * whole if high > low or whole else low + 1, bins + 1)
    counts, _ = np.histogram(numbers, edges)
    step = (_WIDTH - _LEFT - 8) / len(counts)
    scale = (_HEIGHT - _BOTTOM - _TOP) / max(1, int(counts.max()))
    bars = []
    for place, count in enumerate(counts.tolist()):
        height = count * scale
        title = f"{edges[place]:.4g} to {edges[place + 1]:.4g}: {count}"
        bars.append(
            f'<rect class="bar" x="{_LEFT + place * step:.1f}" y="{_HEIGHT - _BOTTOM - height:.1f}" '
            f'width="{max(0.5, step - 1):.1f}" height="{height:.1f}"><title>{escape(title)}</title></rect>'
        )
    if mark is not None and low <= mark <= high:
        x = _LEFT + (mark - edges[0]) / (edges[-1] - edges[0]) * (_WIDTH - _LEFT - 8)
        bars.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}">'
            f"<title>{mark:g}</title></line>"
        )
    texts = [
        _text(_LEFT, _HEIGHT - 8, f"{low:.3g}", "start"),
        _text(_WIDTH - 8, _HEIGHT - 8, f"{high:.5g}", "end"),
        _text((_LEFT + _WIDTH) / 2, _HEIGHT - 8, label, "middle"),
        _text(_LEFT - 4, _TOP + 8, str(int(counts.max())), "end"),
    ]
    return _svg(_HEIGHT, bars + texts, label)


def bar_chart(counts: Mapping[str, int], label: str) -> str:
    """Draw the most frequent names, one bar each.

    Args:
        counts: By name, in any order.
        label: What they are.
    """
    if not counts:
        return '<p class="empty">nothing to count</p>'
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    left_out = len(rows) - _MAX_BARS
    most = rows[0][1]
    parts = []
    for place, (name, count) in enumerate(rows[:_MAX_BARS]):
        y = 4 + place * 17
        width = max(1.0, count / most * (_WIDTH - 190))
        parts += [
            _text(126, y + 11, name if len(name) <= 20 else f"{name[:19]}…", "end"),
            f'<rect class="bar" x="130" y="{y}" width="{width:.1f}" height="13">'
            f"<title>{escape(name)}: {count}</title></rect>",
            _text(134 + width, y + 11, str(count), "start"),
        ]
    height = 8 + 17 * min(len(rows), _MAX_BARS)
    if left_out > 0:
        parts.append(_text(130, height + 12, f"and {left_out} more", "start"))
        height += 18
    return _svg(height, parts, label)


def scatter(points: npt.NDArray[np.int64], label: str) -> str:
    """Draw widths and heights as dots, the larger the more there are.

    Args:
        points: Shape (N, 2).
        label: What they are.
    """
    if not len(points):
        return '<p class="empty">nothing to count</p>'
    places, counts = np.unique(points // 16 * 16 + 8, axis=0, return_counts=True)
    places = np.minimum(places, points.max(axis=0))  # The middle of the last bin may lie beyond the picture.
    order = np.argsort(-counts)[:600]
    largest = points.max(axis=0).astype(float)
    scale_x, scale_y = (_WIDTH - _LEFT - 12) / largest[0], (_HEIGHT - _BOTTOM - _TOP) / largest[1]
    dots = [
        f'<circle class="dot" cx="{_LEFT + x * scale_x:.1f}" cy="{_HEIGHT - _BOTTOM - y * scale_y:.1f}" '
        f'r="{2 + 5 * (count / counts.max()) ** 0.5:.1f}"><title>about {x} x {y}: {count}</title></circle>'
        for (x, y), count in zip(places[order].tolist(), counts[order].tolist(), strict=True)
    ]
    texts: Sequence[str] = [
        _text(_LEFT - 4, _TOP + 8, f"{largest[1]:.0f}", "end"),
        _text(_WIDTH - 8, _HEIGHT - 8, f"{largest[0]:.0f}", "end"),
        _text((_LEFT + _WIDTH) / 2, _HEIGHT - 8, label, "middle"),
    ]
    return _svg(_HEIGHT, [*dots, *texts], label)


def _svg(height: int, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
