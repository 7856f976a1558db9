"""How a process of several leaves when its training is done.

Takes the trainer's main function, by wrapping it; gives an exit that nothing can spoil any more.
"""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import sys
from typing import Any


def apply() -> None:
    """Let a process whose training has ended well leave at once. Calling it again changes nothing.

    Symptom: of eight processes one ends with SIGABRT behind its last line of log, everything saved, on a busy
    machine: Paddle takes its stores down at the end, one after the other, while their threads still answer
    processes that hang up. The launcher then calls the whole run failed.
    """
    from paddleformers.cli.train import tuner

    stock = tuner.run_sft
    if getattr(stock, "_paddle_ground", False) or int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) < 2:
        return
    done: list[bool] = []

    @functools.wraps(stock)
    def run_sft(*args: Any, **kwargs: Any) -> Any:
        out = stock(*args, **kwargs)
        done.append(True)
        return out

    run_sft._paddle_ground = True  # type: ignore[attr-defined]
    tuner.run_sft = run_sft
    # What registers later, VisualDL's writers among it, has its turn before.
    atexit.register(_leave, done)


def _leave(done: list[bool]) -> None:
    if not done:
        return
    for child in multiprocessing.active_children():
        child.terminate()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
