"""What a server counts, in Prometheus' format.

Takes a service and what happens at the door; gives the text of `/metrics`. Each app has its own registry.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from paddle_ground.serve.service import Service

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counters of one app.

    Args:
        service: Whose counts are shown besides.
    """

    def __init__(self, service: Service) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._registry = CollectorRegistry()
        self._registry.register(_ServiceCounts(service))
        self._requests = Counter(
            "paddle_ground_requests",
            "Requests by path and status.",
            ["path", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "paddle_ground_request_seconds", "From a request's head to the end of its response.", ["path"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._first = Histogram(
            "paddle_ground_first_token_seconds", "To the first piece of a streamed answer.",
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def first_token(self, seconds: float) -> None:
        """Count a stream that began."""
        self._first.observe(seconds)

    def text(self) -> bytes:
        """Give everything."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)


class _ServiceCounts:
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Any]:
        """Read the service's counts when they are asked for."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counts, service = self._service.counts, self._service
        for name, text, value in (
            ("answers", "Whole answers.", counts.answers),
            ("prompt_tokens", "Tokens of their questions.", counts.prompt_tokens),
            ("completion_tokens", "Tokens of the answers.", counts.completion_tokens),
            ("engine_restarts", "Engines that died and were replaced.", counts.restarts),
        ):
            yield CounterMetricFamily(f"paddle_ground_{name}", text, value=value)
        for name, text, value in (
            ("running", "Answers under way.", counts.running),
            ("waiting", "Questions that wait for a place.", max(0, service.open_jobs - counts.running)),
            ("ready", "1 while the engine is there.", int(service.state == "ready")),
        ):
            yield GaugeMetricFamily(f"paddle_ground_{name}", text, value=value)
