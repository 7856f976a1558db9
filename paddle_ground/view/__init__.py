"""Pictures: truth and predictions drawn onto images.

Imports records and the foundation; knows no model and no metric.
"""

from __future__ import annotations

from paddle_ground.view.colors import label_color, text_color_on
from paddle_ground.view.draw import draw_regions
from paddle_ground.view.run import DrawReport, draw_grounding, draw_predictions
from paddle_ground.view.sheet import Scene, contact_sheet, side_by_side

__all__ = [
    "DrawReport",
    "Scene",
    "contact_sheet",
    "draw_grounding",
    "draw_predictions",
    "draw_regions",
    "label_color",
    "side_by_side",
    "text_color_on",
]
