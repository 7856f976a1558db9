"""One training a run folder, and none that nobody follows.

Takes the run's folder and the process that started it; gives a lock that the first process holds as long as
it lives, and an end of this process when the one that follows it is gone. Knows no model.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paddle_ground.errors import ConfigError

LOCK = ".training.lock"
FOLLOWED_BY = "PADDLE_GROUND_FOLLOWED_BY"
"""Environment variable: the process id of the `paddle-ground train` that reads this process's log."""
_PATIENCE_S = 15.0
_held: list[int] = []


def apply(args: Mapping[str, Any]) -> None:
    """End with the process that follows this one, and lock the run folder.

    Args:
        args: The YAML.

    Raises:
        ConfigError: Another training writes to the same folder.
    """
    end_with(os.environ.get(FOLLOWED_BY))
    folder = args.get("output_dir")
    if folder and args.get("do_train") and int(os.environ.get("PADDLE_TRAINER_ID") or 0) == 0:
        hold(Path(str(folder)), _PATIENCE_S)


def hold(folder: Path, patience_s: float) -> None:
    """Take the folder's lock; the system gives it back when this process ends, however it ends.

    Symptom: two trainings that write checkpoints into one folder mix their files. That happens easily: the
    launcher's workers go on when the launcher is killed.

    Args:
        folder: Made if it is missing.
        patience_s: How long to wait for a training that is just ending.

    Raises:
        ConfigError: The lock is still held by then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder, patience_s)
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    _held.append(lock)  # Closing it would give the lock back.


def wait_until_free(folder: Path, patience_s: float | None = None) -> None:
    """Wait for a training that is just ending, before anything in its folder is touched.

    Args:
        folder: It may be missing.
        patience_s: How long.

    Raises:
        ConfigError: The lock is still held by then.
    """
    if (folder / LOCK).exists():
        os.close(_lock(folder, _PATIENCE_S if patience_s is None else patience_s))


def _lock(folder: Path, patience_s: float) -> int:
    """Open the lock file and lock it."""
    import fcntl

    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.read(lock, 32).decode(errors="replace").strip() or "?"
                os.close(lock)
                raise ConfigError(
                    f"output_dir: another training (process {holder}) writes to {folder}; wait for it, "
                    "end it, or name another folder"
                ) from None
            time.sleep(0.2)
        except OSError:  # a file system without locks
            return lock


def end_with(process_id: str | None) -> None:
    """Kill this process when another one ends.

    Symptom: `kill -9` of the launcher leaves its workers training, unseen, in the same folder.

    Args:
        process_id: Of the other one; nothing is done without it, or where the system can't tell (before
            Linux 5.3).
    """
    if not process_id or not hasattr(os, "pidfd_open"):
        return
    try:
        other = os.pidfd_open(int(process_id))
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGKILL)
        return
    except OSError:
        return

    def wait() -> None:
        select.select([other], [], [])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name="paddle_ground-follower", daemon=True).start()
