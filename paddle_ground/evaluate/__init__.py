"""How good are the predictions: predictions.jsonl and truth.json in, metrics out.

Imports records and the foundation; knows no model and no picture. Names are looked up when first used, so
that the command line can read its flags without numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paddle_ground.evaluate.compare import Comparison, compare_files, render_comparison
    from paddle_ground.evaluate.curves import Curve, detection_curves
    from paddle_ground.evaluate.detection import ClassMetrics, DetectionMetrics, evaluate_detection
    from paddle_ground.evaluate.gains import mending_gains
    from paddle_ground.evaluate.intervals import Interval, metric_intervals
    from paddle_ground.evaluate.mistakes import CaseMistakes, count_mistakes, find_mistakes
    from paddle_ground.evaluate.report import render_report
    from paddle_ground.evaluate.run import evaluate_files
    from paddle_ground.evaluate.table import render_table
    from paddle_ground.evaluate.text import TextMetrics, evaluate_text
    from paddle_ground.evaluate.text_files import evaluate_text_files

__all__ = [
    "CaseMistakes",
    "ClassMetrics",
    "Comparison",
    "Curve",
    "DetectionMetrics",
    "Interval",
    "TextMetrics",
    "compare_files",
    "count_mistakes",
    "detection_curves",
    "evaluate_detection",
    "evaluate_files",
    "evaluate_text",
    "evaluate_text_files",
    "find_mistakes",
    "mending_gains",
    "metric_intervals",
    "render_comparison",
    "render_report",
    "render_table",
]

# Module of this package -> public names that it defines.
_HOMES = {
    "compare": ("Comparison", "compare_files", "render_comparison"),
    "curves": ("Curve", "detection_curves"),
    "detection": ("ClassMetrics", "DetectionMetrics", "evaluate_detection"),
    "gains": ("mending_gains",),
    "intervals": ("Interval", "metric_intervals"),
    "mistakes": ("CaseMistakes", "count_mistakes", "find_mistakes"),
    "report": ("render_report",),
    "run": ("evaluate_files",),
    "table": ("render_table",),
    "text": ("TextMetrics", "evaluate_text"),
    "text_files": ("evaluate_text_files",),
}


def __getattr__(name: str) -> Any:
    """Import a public name's module at its first use (PEP 562)."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
