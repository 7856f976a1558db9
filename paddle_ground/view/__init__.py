"""Pictures: truth and predictions drawn onto images, and the report page.

Imports records, metrics and the foundation; knows no model. Names are looked up when first used, so that the
command line can read its flags without Pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paddle_ground.view.colors import label_color, text_color_on
    from paddle_ground.view.draw import draw_regions
    from paddle_ground.view.report.run import ReportSummary, write_report
    from paddle_ground.view.run import DrawReport, draw_grounding, draw_predictions
    from paddle_ground.view.sheet import Scene, contact_sheet, side_by_side

__all__ = [
    "DrawReport",
    "ReportSummary",
    "Scene",
    "contact_sheet",
    "draw_grounding",
    "draw_predictions",
    "draw_regions",
    "label_color",
    "side_by_side",
    "text_color_on",
    "write_report",
]

# Module of this package -> public names that it defines.
_HOMES = {
    "colors": ("label_color", "text_color_on"),
    "draw": ("draw_regions",),
    "report.run": ("ReportSummary", "write_report"),
    "run": ("DrawReport", "draw_grounding", "draw_predictions"),
    "sheet": ("Scene", "contact_sheet", "side_by_side"),
}


def __getattr__(name: str) -> Any:
    """Import a public name's module at its first use (PEP 562)."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
