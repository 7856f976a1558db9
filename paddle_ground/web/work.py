"""Commands of ours that the page starts, one after the other, each in a process of its own.

Takes the words of commands and a folder; gives where the work stands. Whoever closes the page in the browser
does not stop it; the program's end does. Knows no page.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from paddle_ground.errors import ConfigError, DataError
from paddle_ground.files import unwritable

State = Literal["new", "running", "done", "failed", "stopped"]
LOG, _LOCK = "page.log", ".page.lock"
_PATIENCE_S = 15.0
_TAIL_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        name: What it is called on the page.
        words: What follows `paddle-ground`.
    """

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the work stands.

    Attributes:
        state: Of all of it.
        step: Name of the command that runs, or that ran last.
        said: The last line that it printed.
    """

    state: State = "new"
    step: str = ""
    said: str = ""


class Work:
    """At most one list of commands at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._standing = Standing()
        self._log: Path | None = None
        self._stopping = False

    @property
    def standing(self) -> Standing:
        """Where it stands now."""
        with self._lock:
            standing, log = self._standing, self._log
        return Standing(standing.state, standing.step, _last_line(log) if log else "")

    @property
    def is_running(self) -> bool:
        """Whether a command runs, or another one follows."""
        return self.standing.state == "running"

    def start(self, steps: Sequence[Step], folder: Path, prepare: Callable[[], None] = lambda: None) -> None:
        """Begin.

        Args:
            steps: The commands; the first that fails is the last.
            folder: Gets the log, and is this work's alone while it lasts; made if need be.
            prepare: Called before the first command, once the folder is ours.

        Raises:
            ConfigError: Work goes on here already.
            DataError: The folder can't be written.
        """
        with self._lock:
            if self._standing.state == "running":
                raise ConfigError("work goes on already; wait for its end, or stop it")
            claim = _claim(folder)
            try:
                prepare()
                log = (folder / LOG).open("wb")
            except BaseException as error:
                claim.close()
                if isinstance(error, OSError):
                    raise unwritable(folder, error) from error
                raise
            self._log, self._stopping = folder / LOG, False
            self._standing = Standing("running", steps[0].name)
            self._thread = threading.Thread(target=self._run, args=(tuple(steps), log, claim), daemon=True)
            self._thread.start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Stop it and wait until it has stopped; what was written stays."""
        with self._lock:
            self._stopping, child, thread = True, self._child, self._thread
        if child is not None:
            _interrupt(child)
        if thread is not None:
            thread.join(2 * _PATIENCE_S)

    def _run(self, steps: Sequence[Step], log: IO[bytes], claim: IO[bytes]) -> None:
        state: State = "failed"
        try:
            with log, claim:
                state = "done" if all(self._did(step, log, claim) for step in steps) else "failed"
        finally:
            with self._lock:
                state = "stopped" if self._stopping and state != "done" else state
                self._standing, self._child = Standing(state, self._standing.step), None
            atexit.unregister(self.stop)

    def _did(self, step: Step, log: IO[bytes], claim: IO[bytes]) -> bool:
        command = [sys.executable, "-m", "paddle_ground", *step.words]
        with self._lock:
            if self._stopping:
                return False
            self._standing = Standing("running", step.name)
            # In a session of its own: Ctrl-C in the page's terminal is not for it; and it holds the
            # claim, which so outlives a page that was killed.
            child = self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, pass_fds=[claim.fileno()],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        return child.wait() == 0


def _claim(folder: Path) -> IO[bytes]:
    """Take a folder, until this and every child that has it is closed.

    Raises:
        ConfigError: Others have it.
        DataError: It can't be written.
    """
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        claim = (folder / _LOCK).open("wb")
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        claim.close()
        if isinstance(error, BlockingIOError):
            raise ConfigError(f"{folder.name}: another page works there; wait for its end") from None
        raise DataError(f"{folder.name}: can't be locked ({error.strerror}); use a local disk") from error
    return claim


def _interrupt(child: subprocess.Popen[bytes]) -> None:
    """End a command and what it started: as by Ctrl-C, so that it clears up; then by force."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if child.poll() is not None:
            return
        try:
            os.killpg(child.pid, number)
            child.wait(_PATIENCE_S)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _last_line(log: Path) -> str:
    """Give the last line, of a bar that draws over itself the last state."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
    return lines[-1] if lines else ""
