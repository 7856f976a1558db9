"""Turn Paddle's strided views off around forward and backward, where they cost most of a step on a CPU.

Takes PaddleFormers' trainer and Paddle's data loader, by wrapping their steps; gives the same
numbers. The flag is one for the whole process, while the data loader works in a thread of its
own and needs the views (`Tensor.view` gives wrong shapes without them), so a lock keeps the two apart.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_FLAG = "FLAGS_use_stride_kernel"


class _Turn:
    """Whose turn it is: the step's, without views, or the loader's, with them."""

    lock = threading.RLock()

    @classmethod
    def renew(cls) -> None:
        """A forked loader process must not inherit a lock that a thread of its parent holds."""
        cls.lock = threading.RLock()


os.register_at_fork(after_in_child=_Turn.renew)


@contextmanager
def contiguous_kernels() -> Iterator[None]:
    """Turn strided views off inside the block.

    A transposed view costs nothing to make, and much to copy: Paddle's CPU copy of a strided
    tensor walks it element by element (4.6 ms where the transpose kernel takes 0.08 ms).
    Loading a checkpoint needs the views, so they are off only around forward and backward.
    """
    import paddle

    with _Turn.lock:
        before = paddle.get_flags([_FLAG])[_FLAG]
        paddle.set_flags({_FLAG: False})
        try:
            yield
        finally:
            paddle.set_flags({_FLAG: before})


@contextmanager
def inference_kernels() -> Iterator[None]:
    """No gradients inside the block; and on a CPU no strided views, which cost most of a pass there."""
    import paddle

    with paddle.no_grad():
        if not paddle.device.get_device().startswith("cpu"):
            yield
            return
        with contiguous_kernels():
            yield


def use_contiguous_kernels_in_training() -> None:
    """Wrap the trainer's steps in `contiguous_kernels`, and the loader's fetches in the same lock."""
    from paddle.io.dataloader import fetcher
    from paddleformers.trainer import Trainer

    for name in ("training_step", "prediction_step"):
        _wrap(Trainer, name, contiguous_kernels)
    for owner in (fetcher._MapDatasetFetcher, fetcher._IterableDatasetFetcher):
        _wrap(owner, "fetch", lambda: _Turn.lock)


def _wrap(owner: Any, name: str, turn: Callable[[], Any]) -> None:
    stock = getattr(owner, name)
    if getattr(stock, "_paddle_ground", False):
        return

    @functools.wraps(stock)
    def taking_turns(*args: Any, **kwargs: Any) -> Any:
        with turn():
            return stock(*args, **kwargs)

    taking_turns._paddle_ground = True  # type: ignore[attr-defined]
    setattr(owner, name, taking_turns)
