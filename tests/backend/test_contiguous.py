"""The step and the loader's thread take turns, because the flag that the step sets is the whole process's."""

from __future__ import annotations

import os
import threading

import pytest

paddle = pytest.importorskip("paddle")

from paddle_ground.backend import contiguous  # noqa: E402

FLAG = "FLAGS_use_stride_kernel"


def flag() -> bool:
    return bool(paddle.get_flags([FLAG])[FLAG])


def test_views_are_wrong_without_the_flag_which_is_why_the_loader_must_wait() -> None:
    """Upstream symptom: with strided views off, `Tensor.view` with a shape fails or keeps the old shape."""
    mean = paddle.ones([3])
    with contiguous.contiguous_kernels():
        try:
            shape = mean.view([3, 1, 1]).shape
        except Exception:
            shape = None
    assert shape != [3, 1, 1], "upstream is mended: the lock is needless now"
    assert mean.view([3, 1, 1]).shape == [3, 1, 1]


def test_a_fetch_in_another_thread_never_sees_the_flag_off() -> None:
    from paddle.io.dataloader import fetcher
    from paddleformers.trainer import Trainer

    contiguous.use_contiguous_kernels_in_training()
    inside, fetched, seen = threading.Event(), threading.Event(), []

    class Data:
        def __getitem__(self, index: int) -> int:
            seen.append(flag())
            return index

    fetch = fetcher._MapDatasetFetcher(Data(), True, lambda rows: rows, False)

    def load() -> None:
        inside.wait(10)
        fetch.fetch([0, 1, 2])
        fetched.set()

    thread = threading.Thread(target=load)
    thread.start()
    with contiguous.contiguous_kernels():
        inside.set()
        assert not fetched.wait(0.3)
        assert flag() is False
    assert fetched.wait(10)
    thread.join()
    assert seen == [True, True, True]
    assert Trainer.training_step._paddle_ground


def test_the_flag_comes_back_after_an_error() -> None:
    before = flag()
    try:
        with contiguous.contiguous_kernels():
            raise ValueError
    except ValueError:
        pass
    assert flag() == before


def test_a_forked_loader_does_not_inherit_a_held_lock() -> None:
    with contiguous._Turn.lock:
        child = os.fork()
        if child == 0:
            # Another thread of the child could not take an inherited lock that this one holds.
            got: list[bool] = []
            thread = threading.Thread(target=lambda: got.append(contiguous._Turn.lock.acquire(timeout=5)))
            thread.start()
            thread.join()
            os._exit(0 if got == [True] else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
