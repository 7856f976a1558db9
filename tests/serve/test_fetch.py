"""Images from other hosts: only from allowed ones, never from inside, whatever names and redirects say.

The servers of these tests are on this machine, so the check of addresses is replaced by one that lets a
single loopback address through; what `is_public` itself says is tested on its own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.serve.fetch import Fetcher, is_public
from paddle_ground.serve.refusals import BadRequestError, ForbiddenError, RefusalError, TooLargeError

PICTURE = b"picture bytes"


class Host(BaseHTTPRequestHandler):
    """Serves a picture, redirects, too much, too little."""

    hits: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.hits.append((self.headers["Host"], self.path))
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        body = PICTURE * 1000 if self.path == "/large" else PICTURE
        self.send_response({"/missing": 404, "/nowhere": 302, "/choices": 300}.get(self.path, 200))
        if self.path == "/gzip":
            self.send_header("Content-Encoding", "gzip")
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
            while self.path == "/endless":
                self.wfile.write(body * 1000)
        except OSError:
            pass

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def host() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """A web server on this machine: its port, and who asked it for what."""
    handler = type("Handler", (Host,), {"hits": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], handler.hits  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def fetcher(port: int, names: dict[str, list[str]] | None = None, **more: Any) -> Fetcher:
    """Names of a made-up internet; 127.0.0.1 stands for the only public address."""
    table = {"pictures.test": ["127.0.0.1"], "inside.test": ["10.0.0.5"], **(names or {})}

    async def resolve(name: str, _: int) -> list[str]:
        return table[name]

    hosts = (f"pictures.test:{port}", f"inside.test:{port}", f"mixed.test:{port}", f"rebound.test:{port}",
             f"*.wild.test:{port}", f"127.0.0.1:{port}", f"[::1]:{port}")  # fmt: skip
    return Fetcher(hosts, 5000, **{"resolve": resolve, "may_connect": lambda a: a == "127.0.0.1", **more})


def get(fetch: Fetcher, url: str) -> bytes:
    return asyncio.run(fetch.fetch(url, 1))


def test_an_allowed_host_is_asked_by_its_name(host: Any) -> None:
    port, hits = host
    assert get(fetcher(port), f"http://pictures.test:{port}/a.png?b=c") == PICTURE
    assert hits == [(f"pictures.test:{port}", "/a.png?b=c")]


def test_without_allowed_hosts_nothing_is_asked(host: Any) -> None:
    port, hits = host
    with pytest.raises(ForbiddenError):
        get(Fetcher((), 5000), f"http://127.0.0.1:{port}/a.png")
    assert hits == []


@pytest.mark.parametrize(
    "url",
    [
        "http://inside.test:{port}/a.png",  # a private address behind an allowed name
        "http://mixed.test:{port}/a.png",  # one of two addresses is private
        "http://other.test:{port}/a.png",
        "http://pictures.test/a.png",  # another port than the allowed one
        "http://me:secret@pictures.test:{port}/a.png",
        "http://pictures.test:{port}@other.test/a.png",
        "ftp://pictures.test:{port}/a.png",
        "http://wild.test:{port}/a.png",
        "http://pictures.test.evil.test:{port}/a.png",
    ],
)
def test_no_other_host_port_or_address_is_asked(host: Any, url: str) -> None:
    port, hits = host
    names = {name: ["127.0.0.1"] for name in ("other.test", "wild.test", "pictures.test.evil.test")}
    names["mixed.test"] = ["127.0.0.1", "192.168.1.1"]
    with pytest.raises(ForbiddenError):
        get(fetcher(port, names), url.format(port=port))
    assert hits == []


def test_names_below_a_domain(host: Any) -> None:
    port, _ = host
    names = {"a.wild.test": ["127.0.0.1"], "b.a.wild.test": ["127.0.0.1"]}
    for name in names:
        assert get(fetcher(port, names), f"http://{name}:{port}/") == PICTURE


def test_the_connection_goes_to_the_address_that_was_checked(host: Any) -> None:
    """DNS rebinding: the name points elsewhere the second time it is asked for."""
    port, hits = host
    answers = [["127.0.0.1"], ["10.0.0.5"], ["10.0.0.5"]]
    asked = []

    async def resolve(name: str, _: int) -> list[str]:
        asked.append(name)
        return answers.pop(0)

    assert get(fetcher(port, resolve=resolve), f"http://rebound.test:{port}/a.png") == PICTURE
    assert asked == ["rebound.test"]  # once: nobody resolves it again
    assert hits == [(f"rebound.test:{port}", "/a.png")]
    with pytest.raises(ForbiddenError):
        get(fetcher(port, resolve=resolve), f"http://rebound.test:{port}/a.png")


def test_redirects_are_checked_like_urls(host: Any) -> None:
    port, hits = host
    base = f"http://pictures.test:{port}"
    assert get(fetcher(port), f"{base}/to//b.png") == PICTURE  # relative
    assert get(fetcher(port), f"{base}/to/{base}/c.png") == PICTURE
    hits.clear()
    for inside in ("http://inside.test", "http://169.254.169.254", "http://[::1]", "file:///etc/passwd",
                   "http://localhost", "http://2130706433", "gopher://pictures.test"):  # fmt: skip
        with pytest.raises(RefusalError):
            get(fetcher(port), f"{base}/to/{inside}:{port}/secret")
    assert [path for _, path in hits if path.startswith("/secret")] == []
    with pytest.raises(BadRequestError, match="sent us on"):
        get(fetcher(port), base + f"/to/{base}" * 9 + "/a.png")


@pytest.mark.parametrize(("path", "status"), [("nowhere", 302), ("choices", 300)])
def test_a_redirect_that_says_no_place_is_the_hosts_fault(host: Any, path: str, status: int) -> None:
    port, _ = host
    with pytest.raises(BadRequestError, match=f"answered {status}"):
        get(fetcher(port), f"http://pictures.test:{port}/{path}")


def test_no_more_is_read_than_allowed(host: Any) -> None:
    port, _ = host
    for path in ("large", "endless"):
        with pytest.raises(TooLargeError):
            get(fetcher(port), f"http://pictures.test:{port}/{path}")
    with pytest.raises(BadRequestError, match="answered"):
        get(fetcher(port), f"http://pictures.test:{port}/gzip")  # a small one may be a bomb
    with pytest.raises(BadRequestError, match="answered 404"):
        get(fetcher(port), f"http://pictures.test:{port}/missing")


def test_a_host_that_says_nothing_is_left(host: Any) -> None:
    async def resolve(name: str, _: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    with pytest.raises(BadRequestError, match="too long"):
        get(fetcher(host[0], resolve=resolve, seconds=0.1), f"http://pictures.test:{host[0]}/")


def test_the_proxy_of_the_environment_is_not_asked(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    port, hits = host
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert get(fetcher(port), f"http://pictures.test:{port}/a.png") == PICTURE
    assert len(hits) == 1


INSIDE = ["127.0.0.1", "127.8.9.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "0.0.0.0",
          "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::",
          "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
          "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "2001::1", "nonsense", "", "1.2.3"]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_inside_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
def test_nothing_that_the_standard_library_calls_private_is_public(address: Any) -> None:
    if is_public(str(address)) and getattr(address, "ipv4_mapped", None) is None:
        assert address.is_global
        inside = [ipaddress.ip_network(net) for net in ("127.0.0.0/8", "10.0.0.0/8", "fc00::/7")]
        assert not any(address in net for net in inside if net.version == address.version)
