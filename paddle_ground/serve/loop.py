"""The engine's own loop: jobs come in, all running ones go a few tokens further at a time, events go out.

Takes an engine, a queue of messages and a way to send; runs in one thread, the only one that touches the
model. Jobs are admitted in the order in which they came, as soon as there is room. A job that can't be
read costs nobody else anything; an error in the midst of arithmetic ends the loop, since nobody knows
then what the model holds. Knows neither sockets nor HTTP.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from paddle_ground.errors import PaddleGroundError
from paddle_ground.infer import Engine
from paddle_ground.infer.rows import Row
from paddle_ground.infer.session import Session, reading_groups
from paddle_ground.serve.asking import Asked, ContextFullError, ask, done
from paddle_ground.serve.jobs import Event, Failed, Job, event_to_json

LOGGER = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
"""So often a loop that works says that it does."""

Message = tuple[dict[str, Any], tuple[bytes, ...]]


class Loop:
    """Answers the jobs of one engine.

    Args:
        engine: That answers.
        send: Takes a message for the other side.
        batch: Answers under way at once.
        max_context: Tokens of question and answer together.
    """

    def __init__(
        self, engine: Engine, send: Callable[[dict[str, Any]], None], batch: int, max_context: int
    ) -> None:
        self._engine, self._send = engine, send
        self._batch, self._max_context = batch, max_context
        self._session = Session(engine)
        self._waiting: deque[tuple[int, Job]] = deque()
        self._ready: list[Asked] = []  # read, and not admitted yet
        self._running: dict[int, Asked] = {}
        self._events: list[dict[str, Any]] = []
        self._beat, self._said = 0.0, 0

    def run(self, inbox: queue.SimpleQueue[Message | None]) -> None:
        """Work until a None comes; then leave at once."""
        while True:
            is_idle = not (self._waiting or self._ready or self._running)
            if is_idle and self._said:  # the last ones were let go; nothing that comes would tell of it
                self._tell()
            try:
                message = inbox.get() if is_idle else inbox.get_nowait()
            except queue.Empty:
                self._step()
                self._tell()
                continue
            if message is None:
                return
            self._take(*message)

    def _take(self, message: dict[str, Any], blobs: tuple[bytes, ...]) -> None:
        number = int(message["job"])
        if message["do"] == "answer":
            self._waiting.append((number, Job.from_json(message["what"], blobs)))
            return
        self._waiting = deque(entry for entry in self._waiting if entry[0] != number)
        self._ready = [asked for asked in self._ready if asked.number != number]
        if number in self._running:
            self._session.drop([self._running.pop(number).row])

    def _step(self) -> None:
        room = self._batch - len(self._running)
        # A prompt read alone costs nearly what several do, so a few places are let run free first.
        enough = not self._running or room >= min(len(self._waiting), 1 + self._batch // 4)
        if not self._ready and self._waiting and enough:
            new = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
            # Said before anything is tried: whoever reads this knows then what we died of.
            self._send({"begun": [number for number, _ in new]})
            self._ready = [asked for number, job in new if (asked := self._read(number, job))]
        if self._ready:
            self._admit()
        if self._running:
            self._session.advance()
            self._follow()

    def _read(self, number: int, job: Job) -> Asked | None:
        try:
            return ask(self._engine, number, job, self._max_context)
        except PaddleGroundError as error:
            code = "context_length_exceeded" if isinstance(error, ContextFullError) else None
            self._event(number, Failed("refused", " ".join(str(error).split()), code))
        except Exception as error:
            self._fail(number, error)
        return None

    def _admit(self) -> None:
        rows = next(reading_groups([asked.row for asked in self._ready]))
        group = [asked for asked in self._ready if any(asked.row is row for row in rows)]
        self._ready = [asked for asked in self._ready if asked not in group]
        for asked in self._read_in(group):
            self._running[asked.number] = asked
        self._follow()

    def _read_in(self, group: list[Asked]) -> list[Asked]:
        """Let the model read prompts together; where that fails, each alone, so that only the guilty fail."""
        try:
            self._session.admit([asked.row for asked in group])
            return group
        except Exception as error:
            if len(group) == 1:
                self._fail(group[0].number, error)
                return []
            LOGGER.warning("%d prompts could not be read together; reading each alone", len(group))
        return [good for asked in group for good in self._read_in([asked.renewed(self._engine)])]

    def _follow(self) -> None:
        """Tell what is new, and let go who has ended."""
        stopped: list[Row] = []
        for asked in list(self._running.values()):
            if (asked.job.stream or asked.job.stop) and not asked.row.reason:
                news = asked.telling.news()
                if news is not None and asked.job.stream and asked.job.boxes is None:
                    self._event(asked.number, news)
                if asked.telling.stopped:
                    stopped.append(asked.row)
            if asked.row.reason or asked.telling.stopped:
                del self._running[asked.number]
                self._event(asked.number, done(asked, self._engine))
        if stopped:
            self._session.drop(stopped)

    def _fail(self, number: int, error: Exception) -> None:
        LOGGER.error("a job failed", exc_info=error)
        self._event(number, Failed("broken", "this question broke the engine; its log tells why"))

    def _event(self, number: int, event: Event) -> None:
        self._events.append(event_to_json(number, event))

    def _tell(self) -> None:
        now, running = time.monotonic(), len(self._running)
        if self._events or running != self._said or now - self._beat > BEAT_SECONDS:
            self._send({"events": self._events, "running": running})
            self._events, self._beat, self._said = [], now, running
