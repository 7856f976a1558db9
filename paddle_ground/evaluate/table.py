"""Print metrics side by side.

Takes named `DetectionMetrics`, gives text. Knows no files.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence

from paddle_ground.evaluate.detection import DetectionMetrics

_COLUMNS: tuple[tuple[str, Callable[[DetectionMetrics], str]], ...] = (
    ("AP", lambda metrics: percent(metrics.ap)),
    ("AP50", lambda metrics: percent(metrics.ap50)),
    ("AP75", lambda metrics: percent(metrics.ap75)),
    ("P", lambda metrics: percent(metrics.precision_50)),
    ("R", lambda metrics: percent(metrics.recall_50)),
    ("F1@0.5", lambda metrics: percent(metrics.f1_50)),
    ("mIoU", lambda metrics: percent(metrics.mean_iou)),
    ("parsed", lambda metrics: percent(metrics.parse_rate)),
    ("repaired", lambda metrics: percent(metrics.repaired_rate)),
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
    headings = ["", *(heading for heading, _ in _COLUMNS)]
    return lay_out(headings, [[name, *(cell(metrics) for _, cell in _COLUMNS)] for name, metrics in rows])


def lay_out(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table: the first column to the left, the others to the right.

    Args:
        headings: One a column.
        rows: Cells; a row may be shorter than the headings.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="")
    for at, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if at else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))  # as text: a bracket in a name is no markup
    out = io.StringIO()
    # A fixed width: a narrow terminal shall wrap lines, not cut numbers.
    Console(file=out, width=200, color_system=None, force_terminal=False).print(table)
    lines = [line.rstrip() for line in out.getvalue().splitlines() if line.strip()]
    return textwrap.dedent("\n".join(lines))


def percent(share: float | None) -> str:
    """Write a share in percent; "-" where there is none."""
    return "-" if share is None else f"{100 * share:.1f}"
