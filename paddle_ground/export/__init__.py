"""Turn a training run into a model folder that others load: merged, sharded, described.

Takes a run folder; gives a folder in Hugging Face's layout. Reads and writes safetensors and JSON; no Paddle.
"""

from __future__ import annotations

from paddle_ground.export.write import ExportOptions, ExportReport, export

__all__ = ["ExportOptions", "ExportReport", "export"]
