"""What code written for a GPU asks of its device, answered on a CPU.

Takes Paddle's functions, by binding names; gives ones that do nothing, as there is nothing to do. Applied
on a CPU only.
"""

from __future__ import annotations

from typing import Any

import paddle
from paddle.base import core


def apply() -> None:
    """Put every mend of this file in place. Calling it again changes nothing."""
    keep_tensors_where_they_are()
    wait_for_nothing()


def keep_tensors_where_they_are() -> None:
    """Make `Tensor.cuda` the identity.

    Symptom: loading a flex checkpoint in several processes ends in `ValueError: No available device
    found.`, because the resharder moves every buffer to a GPU before it sends it.
    """

    def cuda(self: paddle.Tensor, *_: Any, **__: Any) -> paddle.Tensor:
        return self

    core.eager.Tensor.cuda = cuda


def wait_for_nothing() -> None:
    """Let `paddle.device.synchronize` return where operators have ended when they return.

    Symptom: `gradient_accumulation_steps` above 1 ends in `TypeError: device should be gpu, xpu, `.
    """

    def synchronize(device: Any = None) -> None:
        return None

    paddle.device.synchronize = synchronize
