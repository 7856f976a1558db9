"""Other sites' pages press none of our buttons."""

from __future__ import annotations

import httpx
import pytest

from paddle_ground.web.origin import is_foreign


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),  # another port of this machine
        ({"sec-fetch-site": "cross-site", "origin": "http://a:1", "host": "a:1"}, True),
        ({"origin": "http://a:1", "host": "a:1"}, False),
        ({"origin": "http://a:2", "host": "a:1"}, True),
        ({"origin": "null", "host": "a:1"}, True),
    ],
)
def test_a_browser_says_where_a_request_comes_from(headers, foreign) -> None:
    assert is_foreign({name.encode(): value.encode() for name, value in headers.items()}) is foreign


def test_the_page_refuses_others(url) -> None:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        for path in ("/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/run/predict"):
            for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://example.org"}):
                assert client.post(path, headers=headers, json={}).status_code == 403
        assert client.post("/gradio_api/queue/join", json={}).status_code == 422
        assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
