"""PaddleFormers' native code of each model family: what it is called, and where it is.

Native is what needs no paddlefleet: it runs on a CPU, and with tensor parallelism. Importing this imports
no Paddle.
"""

from __future__ import annotations

import importlib
from typing import Any

from paddle_ground.backend.qwen2_5_vl import mends as qwen2_5_vl

_CLASSES = {
    # Its public name is the paddlefleet one's; the native one is called deprecated and works.
    "qwen3_vl": ("qwen3_vl", "Qwen3VLForConditionalGenerationDeprecated"),
    "qwen2_5_vl": ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"),
}


def model_class(model_type: str) -> Any:
    """Give the native class of a family's whole model, mended so that it saves what it loads.

    Args:
        model_type: As in `config.json`.
    """
    if model_type == "qwen2_5_vl":
        qwen2_5_vl.apply()
    package, name = _CLASSES[model_type]
    return getattr(importlib.import_module(f"paddleformers.transformers.{package}.modeling"), name)
