"""Workers to send jobs to: a child process with a model of its own, or a thread with an engine at hand.

Takes a model folder or an engine; gives functions that start a worker, as often as one is needed. The two
speak alike over a socket, so that all but the process itself can be tried with an engine at hand.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from paddle_ground.serve.wire import Channel

if TYPE_CHECKING:
    from paddle_ground.infer import Engine


@dataclass(slots=True)
class Worker:
    """A worker that was started.

    Attributes:
        channel: To it; closed, the worker ends by itself.
        end: Makes sure that it has ended; waits a little for it.
        pid: Of its process; none for a thread.
    """

    channel: Channel
    end: Callable[[], None]
    pid: int | None = None


StartWorker = Callable[[], Worker]


def process_worker(
    model_dir: str | Path, *, batch: int, max_context: int | None = None, dtype: str = "float32"
) -> StartWorker:
    """Give what starts a process that loads a model folder.

    Args:
        model_dir: See `Engine.load`.
        batch: Answers under way at once.
        max_context: Tokens of question and answer together; none for the model's own, up to a limit.
        dtype: Of the weights.
    """
    name = "paddle_ground.serve.worker"
    settings = [str(model_dir), dtype, str(batch), str(max_context or 0)]

    def start() -> Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", name, str(theirs.fileno()), *settings]
            # In a session of its own, an interrupt from the keyboard reaches us only, and we let it finish.
            child = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True,
                env=_environment(),
            )  # fmt: skip
        return Worker(Channel(ours), lambda: _end(child), child.pid)

    return start


def thread_worker(engine: Engine, *, batch: int, max_context: int | None = None) -> StartWorker:
    """Give what starts a thread that answers with an engine that is loaded already."""

    def start() -> Worker:
        from paddle_ground.serve.worker import serve_channel

        ours, theirs = (Channel(end) for end in socket.socketpair())
        thread = threading.Thread(
            target=serve_channel, args=(engine, theirs, batch, max_context), name="paddle_ground-engine",
            daemon=True,
        )  # fmt: skip
        thread.start()

        def end() -> None:
            ours.close()
            thread.join(timeout=60)

        return Worker(ours, end)

    return start


def _environment() -> dict[str, str]:
    """Find our package from any folder, and leave the cores to the server between two products."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    # By default the matrix library's threads spin for 200 ms after each product, on cores that the server,
    # and whoever else is there, could use.
    return {"KMP_BLOCKTIME": "0", **os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _end(child: subprocess.Popen[bytes]) -> None:
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
