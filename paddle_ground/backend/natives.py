"""PaddleFormers' native code of each model family: what it is called, where it is, and what it needs.

Native is what needs no paddlefleet: it runs on a CPU, and with tensor parallelism. Importing this imports
no Paddle.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paddle_ground.backend.qwen2_5_vl import mends as qwen2_5_vl


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Native:
    """A family's classes in PaddleFormers.

    Attributes:
        package: Below `paddleformers.transformers`.
        model: The whole model's class, in the package's `modeling`.
        processor: In the package's `processor`.
        mend: Puts in place what loading and saving need.
        mend_training: The same, and what training needs.
    """

    package: str
    model: str
    processor: str
    mend: Callable[[], None] = _nothing
    mend_training: Callable[[], None] = _nothing


NATIVES = {
    # The public name of Qwen3-VL is the paddlefleet one's; the native one is called deprecated and works.
    "qwen3_vl": Native("qwen3_vl", "Qwen3VLForConditionalGenerationDeprecated", "Qwen3VLProcessor"),
    "qwen2_5_vl": Native(
        "qwen2_5_vl",
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen2_5_VLProcessor",
        qwen2_5_vl.apply,
        qwen2_5_vl.apply_for_training,
    ),
}


def mend_training(model_type: str) -> None:
    """Put a family's own mends in place in a training process; it may be called twice."""
    NATIVES[model_type].mend_training()


def model_class(model_type: str) -> Any:
    """Give the native class of a family's whole model, mended.

    Args:
        model_type: As in `config.json`.
    """
    native = NATIVES[model_type]
    native.mend()
    return getattr(_module(native.package, "modeling"), native.model)


def processor_classes() -> tuple[Any, ...]:
    """Give every family's processor class."""
    return tuple(
        getattr(_module(native.package, "processor"), native.processor) for native in NATIVES.values()
    )


def _module(package: str, name: str) -> Any:
    return importlib.import_module(f"paddleformers.transformers.{package}.{name}")
