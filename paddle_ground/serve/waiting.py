"""From the service's thread to the web server's loop: events of one or several jobs, in time or not at all.

Takes a service and jobs; gives their events as they come. Whoever stops listening lets the jobs go. Knows no
web framework.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from paddle_ground.serve.jobs import Delta, Done, Event, Failed, Job
from paddle_ground.serve.refusals import TimedOutError
from paddle_ground.serve.service import Service, refusal_of


async def events_of(
    service: Service, jobs: Sequence[Job], seconds: float
) -> AsyncIterator[tuple[int, Delta | Done]]:
    """Give (which job, event) until all jobs are done.

    Args:
        service: That answers.
        jobs: At least one.
        seconds: For all of it.

    Raises:
        RefusalError: A job failed, or none was taken; the others are let go.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()

    def listener(at: int, event: Event) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, (at, event))

    tickets = service.submit(jobs, [lambda event, at=at: listener(at, event) for at in range(len(jobs))])  # type: ignore[misc]
    end, left = loop.time() + seconds, len(jobs)
    try:
        while left:
            try:
                at, event = await asyncio.wait_for(queue.get(), max(0.0, end - loop.time()))
            except asyncio.TimeoutError as error:
                raise TimedOutError(
                    f"no whole answer after {seconds:.0f} s; ask for less, or later"
                ) from error
            if isinstance(event, Failed):
                raise refusal_of(event)
            left -= isinstance(event, Done)
            yield at, event
    finally:
        for ticket in tickets:
            service.cancel(ticket)


async def answers_of(service: Service, jobs: Sequence[Job], seconds: float) -> list[Done]:
    """Give the whole answers, in order; raises as `events_of` does."""
    found: dict[int, Done] = {}
    async for at, event in events_of(service, jobs, seconds):
        if isinstance(event, Done):
            found[at] = event
    return [found[at] for at in range(len(jobs))]
