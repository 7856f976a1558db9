"""Print metrics side by side.

Takes named `DetectionMetrics`, gives text. Knows no files.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence

from paddle_ground.evaluate.detection import DetectionMetrics

_COLUMNS: tuple[tuple[str, Callable[[DetectionMetrics], str]], ...] = (
    ("AP", lambda metrics: _percent(metrics.ap)),
    ("AP50", lambda metrics: _percent(metrics.ap50)),
    ("AP75", lambda metrics: _percent(metrics.ap75)),
    ("P", lambda metrics: _percent(metrics.precision_50)),
    ("R", lambda metrics: _percent(metrics.recall_50)),
    ("F1@0.5", lambda metrics: _percent(metrics.f1_50)),
    ("mIoU", lambda metrics: _percent(metrics.mean_iou)),
    ("parsed", lambda metrics: _percent(metrics.parse_rate)),
    ("repaired", lambda metrics: _percent(metrics.repaired_rate)),
    ("images", lambda metrics: str(metrics.images)),
    ("boxes", lambda metrics: f"{metrics.predicted_boxes}/{metrics.truth_boxes}"),
)


def render_table(rows: Sequence[tuple[str, DetectionMetrics]]) -> str:
    """Lay out one line a set of metrics, for a terminal of any width.

    Args:
        rows: Name (for example "before") and metrics.

    Returns:
        Plain text without colours, no line end at its end. All but the counts are in percent;
        "boxes" is predicted/true.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="")
    table.add_column("")
    for heading, _ in _COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, metrics in rows:
        table.add_row(name, *(cell(metrics) for _, cell in _COLUMNS))
    out = io.StringIO()
    # A fixed width: a narrow terminal shall wrap lines, not cut numbers.
    Console(file=out, width=160, color_system=None, force_terminal=False).print(table)
    lines = [line.rstrip() for line in out.getvalue().splitlines() if line.strip()]
    return textwrap.dedent("\n".join(lines))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
