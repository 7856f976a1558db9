"""Forked worker processes that end with the process that started them.

Takes a function and what it is called with, gives a pool whose workers have both without copying either.
Knows nothing of what they work on.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

from paddle_ground.errors import LostWorkerError

# Libraries with threads of their own, which a forked process would be without.
_THREADED = ("paddle", "torch", "ray", "grpc")
_NEW_OBJECTS = 50_000  # After so many, a worker looks for garbage.
_in_worker: Callable[[int], None] | None = None


def can_fork() -> bool:
    """Tell whether a fork of this process works: Linux, no other thread at work, no heavy library."""
    is_alone = threading.active_count() == 1 and not any(name in sys.modules for name in _THREADED)
    return sys.platform == "linux" and is_alone


def forked_pool(
    workers: int, work: Callable[[Any], None], values: Sequence[Any], lock: int | None
) -> Executor:
    """Give a pool whose processes call a function with one of some values: `run_in_worker` with its number.

    Function and values come with the fork: they may be as large as they like and need not be pickled.

    Args:
        workers: How many processes.
        work: What they do.
        values: What with.
        lock: An open file that only this process shall hold.
    """
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        # Python 3.12 on warns of any thread; those that numpy and Arrow keep are asleep, and made anew.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        pool = ProcessPoolExecutor(workers, context, _start, (work, values, lock))
        # Now, before the pool has threads and before anybody opens another file.
        pool.submit(_nothing)
    return pool


def run_in_worker(number: int) -> None:
    """Do the work on one of the values; in a process of a `forked_pool`."""
    if _in_worker is None:
        raise RuntimeError("called outside of a worker")
    _in_worker(number)


@contextmanager
def lost_worker_as_error() -> Iterator[None]:
    """Say in one line that a worker was killed.

    Raises:
        LostWorkerError: One was.
    """
    try:
        yield
    except BrokenProcessPool as error:
        raise LostWorkerError(
            "a worker process was killed, perhaps for its memory; run the same command again, it goes on "
            "here, or with fewer --workers"
        ) from error


def _start(work: Callable[[Any], None], values: Sequence[Any], lock: int | None) -> None:
    global _in_worker
    # Ctrl-C reaches the whole group; the parent alone decides how to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if lock is not None:
        os.close(lock)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # All that there is now stays: no use in looking through it for garbage; and rows come and go without any.
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
    _in_worker = lambda number: work(values[number])  # noqa: E731


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _nothing() -> None:
    pass
