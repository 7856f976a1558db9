"""Keep a worker alive: start it, hear it, start another one when it dies or falls silent.

Takes a way to start a worker and whom to tell; gives messages. Sending never blocks, since whoever
sends may be a web server's only thread. Knows no job.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from paddle_ground.serve.workers import StartWorker, Worker

LOGGER = logging.getLogger(__name__)

_LONGEST_PAUSE = 30.0


class Owner(Protocol):
    """Who is told what becomes of the worker; always from the keeper's own threads."""

    def worker_ready(self, link: Link, card: dict[str, Any]) -> None:
        """Take a worker that has loaded its model."""

    def worker_says(self, message: dict[str, Any]) -> None:
        """Take a message."""

    def worker_lost(self, reason: str) -> None:
        """Do without a worker for a while; the first one's reason is for people."""

    @property
    def is_working(self) -> bool:
        """Whether the worker should be heard now and then."""


class Link:
    """A worker with a line of messages to it.

    Args:
        worker: That was started.
    """

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.heard = time.monotonic()
        self._line: queue.SimpleQueue[tuple[dict[str, Any], Sequence[bytes]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._send_all, name="paddle_ground-outbox", daemon=True).start()

    def send(self, message: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Send a message when its turn comes; to a dead worker, never."""
        self._line.put((message, blobs))

    def close(self) -> None:
        """End the worker."""
        self._line.put(None)
        self.worker.channel.close()
        self.worker.end()

    def _send_all(self) -> None:
        try:
            while (entry := self._line.get()) is not None:
                self.worker.channel.send(*entry)
        except OSError:  # it died; whoever receives from it finds out as well
            return


class Keeper:
    """Starts workers, one after another.

    Args:
        start_worker: Starts one.
        owner: Whom to tell.
        patience: Seconds of silence after which a worker that has work is taken for dead.
    """

    def __init__(self, start_worker: StartWorker, owner: Owner, patience: float) -> None:
        self._start_worker, self._owner, self._patience = start_worker, owner, patience
        self._link: Link | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The worker's process; none for a thread, or while there is none."""
        link = self._link
        return link.worker.pid if link else None

    def start(self) -> None:
        """Begin, in threads of our own."""
        for work in (self._keep, self._watch):
            threading.Thread(target=work, name=f"paddle_ground{work.__name__}", daemon=True).start()

    def close(self) -> None:
        """End the worker, and start no other."""
        with self._lock:
            self._closing.set()
            link, self._link = self._link, None
        if link:
            link.close()

    def _keep(self) -> None:
        pause = 1.0
        while not self._closing.is_set():
            with self._lock:
                if self._closing.is_set():
                    return
                link = self._begin()
            if link is None:
                reason, was_ready = "no process could be started for it", False
            else:
                reason, was_ready = self._hear(link)
                link.close()
            if self._closing.is_set():
                return
            LOGGER.error("the engine went away: %s", reason)
            self._owner.worker_lost(reason)
            pause = 1.0 if was_ready else min(2 * pause, _LONGEST_PAUSE)
            self._closing.wait(pause if not was_ready else 0.0)

    def _begin(self) -> Link | None:
        try:
            self._link = Link(self._start_worker())
        except OSError:  # no memory, or no more processes
            LOGGER.exception("the engine could not be started")
            self._link = None
        return self._link

    def _hear(self, link: Link) -> tuple[str, bool]:
        """Pass on what a worker says until it is gone; gives the reason, and whether it ever was ready."""
        was_ready = False
        while (received := link.worker.channel.receive()) is not None:
            link.heard = time.monotonic()
            message, _ = received
            if "broken" in message:
                return str(message["broken"]), False
            if "ready" in message:
                was_ready = True
                self._owner.worker_ready(link, message["ready"])
            else:
                self._owner.worker_says(message)
        return "its process ended", was_ready

    def _watch(self) -> None:
        while not self._closing.wait(min(5.0, self._patience / 4)):
            link = self._link
            if link is None:
                continue
            if not self._owner.is_working:
                link.heard = time.monotonic()
            elif time.monotonic() - link.heard > self._patience:
                LOGGER.error("the engine said nothing for %.0f s; starting another one", self._patience)
                link.worker.channel.close()  # whoever listens to it finds it gone, and ends it
