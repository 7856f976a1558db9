"""Whatever the OpenAPI description allows, and much that it doesn't, is answered without failing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from paddle_ground.serve import Service
from paddle_ground.serve.app import create_app
from paddle_ground.serve.options import Limits, ServeOptions

LIMITS = Limits(body_bytes=1 << 20, pixels=100_000, seconds=120)


@pytest.fixture(scope="module")
def api(service: Service, listen: Any) -> Iterator[Any]:
    """The description of a running server."""
    with listen(create_app(service, ServeOptions("tiny", limits=LIMITS))) as url:
        yield schemathesis.openapi.from_url(url + "/openapi.json")


def break_it(api: Any, examples: int) -> int:
    """Send requests that fit the description and such that don't; gives how many."""
    sent = 0
    for operation in (found.ok() for found in api.get_all_operations()):
        for mode in GenerationMode:

            @settings(max_examples=examples, derandomize=True, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=mode))
            def send(case: Any) -> None:
                nonlocal sent
                sent += 1
                response = case.call(timeout=120)
                assert response.status_code < 500, response.text

            try:
                send()
            except Unsatisfiable:  # nothing about a path without parameters could be wrong
                assert mode is GenerationMode.NEGATIVE
    return sent


def test_no_request_breaks_the_server(api: Any) -> None:
    assert break_it(api, 15) > 50


@pytest.mark.heavy
def test_no_request_of_many_breaks_the_server(api: Any) -> None:
    assert break_it(api, 500) > 2000


def test_the_description_names_every_path_and_refusal(url: str) -> None:
    found = httpx.get(url + "/openapi.json").json()
    assert set(found["paths"]) == {
        "/v1/chat/completions", "/v1/ground", "/v1/models", "/v1/models/{name}", "/health", "/metrics",
    }  # fmt: skip
    for path in ("/v1/chat/completions", "/v1/ground"):
        refusals = found["paths"][path]["post"]["responses"]
        assert {"400", "401", "403", "404", "413", "429", "500", "503", "504"} <= set(refusals)
        for code in refusals.keys() - {"200"}:
            assert refusals[code]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody")
