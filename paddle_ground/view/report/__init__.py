"""The report: one self-contained HTML page about a predictions file.

`run` puts the page together, `numbers` and `gallery` say what is in it, `thumbnails` fits its pictures into
a budget, `page` makes HTML of it; what the page looks like and does is in `assets`. Names are looked up when
first used, so that the command line can read its flags without Pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paddle_ground.view.report.run import ReportSummary, write_report

__all__ = ["ReportSummary", "write_report"]


def __getattr__(name: str) -> Any:
    """Import the module of a public name at its first use (PEP 562)."""
    if name in __all__:
        return getattr(import_module(f"{__name__}.run"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
