"""The engine as a service: jobs from any thread, events back, whatever becomes of the worker.

Takes a way to start a worker (`paddle_ground.serve.workers`); gives each job its events. Only so many jobs
may wait. When a worker dies, another one is started, and jobs of which nothing was told yet are asked
again: their answers don't depend on who gives them, because each has a seed of its own. Knows no HTTP.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from paddle_ground.errors import ModelError
from paddle_ground.serve.jobs import Delta, Done, Event, Failed, Job, event_from_json
from paddle_ground.serve.keeper import Keeper, Link
from paddle_ground.serve.refusals import (
    BadRequestError,
    BrokenError,
    BusyError,
    RefusalError,
    TimedOutError,
    UnavailableError,
)
from paddle_ground.serve.workers import StartWorker

LOGGER = logging.getLogger(__name__)

_CHANCES = 2
"""A job that was under way when so many workers died is not asked again: it may be what kills them."""

Listener = Callable[[Event], None]


@dataclass(slots=True, eq=False)
class Ticket:
    """A job that was taken.

    Attributes:
        number: The job's.
        job: What is wanted.
        listener: Is called with each event, in the service's own thread; must be quick.
        begun: Whether the worker has it in hand.
        told: Whether a part of the answer went out.
        losses: Workers that died over it.
    """

    number: int
    job: Job
    listener: Listener
    begun: bool = False
    told: bool = False
    losses: int = 0


@dataclass(slots=True)
class Counts:
    """What happened so far.

    Attributes:
        answers: Whole answers.
        prompt_tokens: Of their questions.
        completion_tokens: Of them.
        restarts: Workers that died.
        running: Answers under way, as the worker said last.
        answer_seconds: Of the model's time that an answer took, averaged over the last ones.
    """

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    restarts: int = 0
    running: int = 0
    answer_seconds: float = 0.1


class Service:
    """One engine for many clients.

    Args:
        start_worker: Starts one.
        batch: Answers under way at once, as the worker has it.
        max_queue: Jobs that may wait besides.
        patience: Seconds of silence after which a worker that has work is taken for dead.

    Attributes:
        card: What the model says of itself; empty before it is loaded.
        counts: What happened so far.
    """

    def __init__(
        self, start_worker: StartWorker, *, batch: int = 16, max_queue: int = 64, patience: float = 600.0
    ) -> None:
        self.card: dict[str, Any] = {}
        self.counts = Counts()
        self.batch, self.max_queue = batch, max_queue
        self._keeper = Keeper(start_worker, self, patience)
        self._tickets: dict[int, Ticket] = {}
        self._last = 0
        self._link: Link | None = None
        self._changed = threading.Condition(threading.RLock())
        self._is_closing = False
        self._broken = ""

    def open(self, timeout: float = 600.0) -> None:
        """Start the worker, and wait until it has loaded its model.

        Raises:
            ModelError: It can't be loaded, or not in this time.
        """
        self._keeper.start()
        with self._changed:
            self._changed.wait_for(lambda: self._link or self._broken, timeout)
            reason = self._broken or f"the engine was not ready after {timeout:.0f} s"
            if self._link:
                return
        self.close()
        raise ModelError(reason)

    @property
    def state(self) -> str:
        """Tell "ready", "starting" (or starting again) or "stopping"."""
        if self._is_closing:
            return "stopping"
        return "ready" if self._link else "starting"

    @property
    def worker_pid(self) -> int | None:
        """The worker's process; none for a thread, or while there is none."""
        return self._keeper.pid

    @property
    def open_jobs(self) -> int:
        """How many jobs run or wait."""
        return len(self._tickets)

    @property
    def is_working(self) -> bool:
        """See `paddle_ground.serve.keeper.Owner`."""
        return bool(self._tickets) and self._link is not None

    @property
    def retry_after(self) -> int:
        """Guess the seconds until half of the queue is done."""
        return max(1, min(60, math.ceil(self.counts.answer_seconds * len(self._tickets) / 2)))

    def submit(self, jobs: Sequence[Job], listeners: Sequence[Listener]) -> list[Ticket]:
        """Take jobs, all or none.

        Args:
            jobs: At least one.
            listeners: One a job; each gets `Delta`s, if the job wants them, and at last `Done` or `Failed`.

        Raises:
            BusyError: No more may wait.
            UnavailableError: The service is being closed.
        """
        with self._changed:
            if self._is_closing:
                raise UnavailableError("this server is being stopped; ask another one")
            if len(self._tickets) + len(jobs) > self.batch + self.max_queue:
                raise BusyError(
                    f"{len(self._tickets)} answers run or wait, and no more may; ask again later",
                    self.retry_after,
                )
            return [self._take(job, listener) for job, listener in zip(jobs, listeners, strict=True)]

    def _take(self, job: Job, listener: Listener) -> Ticket:
        self._last += 1
        ticket = self._tickets[self._last] = Ticket(self._last, job, listener)
        if self._link:
            _hand_over(self._link, ticket)
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Let a job go: its row is free for others. One that ended already is passed over."""
        with self._changed:
            if self._tickets.pop(ticket.number, None) is None:
                return
            self._changed.notify_all()
            if self._link:
                self._link.send({"do": "drop", "job": ticket.number})

    def stream(self, job: Job, timeout: float = 600.0) -> Iterator[Delta | Done]:
        """Ask from an ordinary thread, and give the events as they come; the last one is `Done`.

        Raises:
            RefusalError: See `submit` and `refusal_of`; or `TimedOutError`.
        """
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        (ticket,) = self.submit([job], [events.put])
        end = time.monotonic() + timeout
        try:
            while True:
                try:
                    event = events.get(timeout=max(0.0, end - time.monotonic()))
                except queue.Empty:
                    raise TimedOutError(f"no whole answer after {timeout:.0f} s") from None
                if isinstance(event, Failed):
                    raise refusal_of(event)
                yield event
                if isinstance(event, Done):
                    return
        finally:
            self.cancel(ticket)

    def ask(self, job: Job, timeout: float = 600.0) -> Done:
        """Ask from an ordinary thread, and wait for the whole answer; raises as `stream` does."""
        return next(event for event in self.stream(job, timeout) if isinstance(event, Done))

    def close(self, drain: float = 0.0) -> None:
        """Take no more jobs, let those that are there finish for so many seconds, and end the worker."""
        with self._changed:
            self._is_closing = True
            self._changed.wait_for(lambda: not self._tickets, timeout=drain)
            left = list(self._tickets.values())
            self._tickets.clear()
            self._link = None
        for ticket in left:
            _tell(ticket, Failed("lost", "this server was stopped"))
        self._keeper.close()

    def worker_ready(self, link: Link, card: dict[str, Any]) -> None:
        """See `paddle_ground.serve.keeper.Owner`."""
        with self._changed:
            self.card, self._link = card, link
            for ticket in self._tickets.values():
                _hand_over(link, ticket)
            self._changed.notify_all()

    def worker_lost(self, reason: str) -> None:
        """See `paddle_ground.serve.keeper.Owner`."""
        with self._changed:
            self._link, self._broken = None, reason
            self.counts.restarts += 1
            self.counts.running = 0
            self._changed.notify_all()
            begun = [ticket for ticket in self._tickets.values() if ticket.begun]
            for ticket in begun:
                ticket.begun, ticket.losses = False, ticket.losses + 1
                if ticket.told or ticket.losses >= _CHANCES:
                    self._settle(
                        ticket.number, Failed("lost", "the engine went away in the midst of this answer")
                    )

    def worker_says(self, message: dict[str, Any]) -> None:
        """See `paddle_ground.serve.keeper.Owner`."""
        with self._changed:
            for number in message.get("begun", ()):
                if number in self._tickets:
                    self._tickets[number].begun = True
            self.counts.running = message.get("running", self.counts.running)
            for value in message.get("events", ()):
                number, event = event_from_json(value)
                self._settle(number, event)

    def _settle(self, number: int, event: Event) -> None:
        """Pass an event on; the last one ends its job."""
        ticket = self._tickets.get(number)
        if ticket is None:  # cancelled in the meantime
            return
        ticket.told = True
        if not isinstance(event, Delta):
            del self._tickets[number]
            self._changed.notify_all()
        if isinstance(event, Done):
            self._count(event)
        _tell(ticket, event)

    def _count(self, done: Done) -> None:
        self.counts.answers += 1
        self.counts.prompt_tokens += done.prompt_tokens
        self.counts.completion_tokens += done.completion_tokens
        self.counts.answer_seconds += 0.1 * (done.seconds - self.counts.answer_seconds)


def refusal_of(failed: Failed) -> RefusalError:
    """Give the exception that says the same."""
    kind = {"refused": BadRequestError, "broken": BrokenError, "lost": UnavailableError}[failed.kind]
    return kind(failed.message, code=failed.code)


def _tell(ticket: Ticket, event: Event) -> None:
    try:
        ticket.listener(event)
    except Exception:  # its event loop is closed, say; the others are told all the same
        LOGGER.exception("a listener failed")


def _hand_over(link: Link, ticket: Ticket) -> None:
    link.send({"do": "answer", "job": ticket.number, "what": ticket.job.to_json()}, ticket.job.images)
