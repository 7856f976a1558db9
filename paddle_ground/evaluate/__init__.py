"""How good are the predictions: predictions.jsonl and truth.json in, metrics out.

Imports records and the foundation; knows no model and no picture.
"""

from __future__ import annotations

from paddle_ground.evaluate.detection import ClassMetrics, DetectionMetrics, evaluate_detection
from paddle_ground.evaluate.run import evaluate_files
from paddle_ground.evaluate.table import render_table

__all__ = ["ClassMetrics", "DetectionMetrics", "evaluate_detection", "evaluate_files", "render_table"]
