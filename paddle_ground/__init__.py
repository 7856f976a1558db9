"""Train, run and judge vision-language models that point: Qwen3-VL grounding on PaddleFormers.

Takes nothing and gives the public names. They are looked up when first used, so that
`import paddle_ground` costs milliseconds and never loads Paddle.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public name -> module that defines it.
_HOMES = {
    "AnswerFormat": "paddle_ground.answers",
    "PaddleGroundError": "paddle_ground.errors",
    "Prediction": "paddle_ground.records",
    "PrepareOptions": "paddle_ground.data.prepare",
    "Region": "paddle_ground.records",
    "Sample": "paddle_ground.records",
    "Truth": "paddle_ground.records",
    "coordinate_space": "paddle_ground.spaces",
    "evaluate_detection": "paddle_ground.evaluate.detection",
    "evaluate_text": "paddle_ground.evaluate.text",
    "ground": "paddle_ground.infer",
    "parse": "paddle_ground.answers",
    "prepare": "paddle_ground.data.prepare",
    "render": "paddle_ground.answers",
}

__all__ = [
    "AnswerFormat",
    "PaddleGroundError",
    "Prediction",
    "PrepareOptions",
    "Region",
    "Sample",
    "Truth",
    "__version__",
    "coordinate_space",
    "evaluate_detection",
    "evaluate_text",
    "ground",
    "parse",
    "prepare",
    "render",
]


def __getattr__(name: str) -> Any:
    """Import a public name's module at its first use (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'paddle_ground' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
