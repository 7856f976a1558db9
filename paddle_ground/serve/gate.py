"""What stands before the app: the key, the size of bodies, how many may be inside, and the counting.

Takes ASGI calls; passes them on with their bodies read whole, or answers them. All of it is done before a
framework sees a byte of the body.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from paddle_ground.serve.metrics import Metrics
from paddle_ground.serve.options import MEGABYTE, ServeOptions
from paddle_ground.serve.refusals import (
    BrokenError,
    BusyError,
    GoneError,
    NoKeyError,
    RefusalError,
    TooLargeError,
)
from paddle_ground.serve.service import Service

LOGGER = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/health",)
"""What needs no key: a probe has none, and learns nothing."""


class SlowBodyError(RefusalError):
    """A body that did not come in time."""

    status, code = 408, "body_timeout"


class Gate:
    """ASGI middleware.

    Args:
        app: What is behind it.
        options: What is allowed.
        service: Tells how much there is to do.
        metrics: Counts.
        paths: That are counted by their names; all others as "other", since anyone can make them up.
    """

    def __init__(
        self, app: App, options: ServeOptions, service: Service, metrics: Metrics, paths: frozenset[str]
    ) -> None:
        self._app, self._service, self._metrics, self._paths = app, service, metrics, paths
        self._limits = options.limits
        # Blanks around a key, as a file leaves them, don't reach us in a header.
        self._key = _digest(options.api_key.strip()) if options.api_key else None
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), GoneError.status

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pass(scope, receive, watched)
        except RefusalError as error:
            await respond(error, scope, receive, watched)
        except Exception:
            LOGGER.exception("a request failed")
            if status != GoneError.status:  # the response is out already
                raise
            await respond(
                BrokenError("this request broke the server; its log tells why"), scope, receive, watched
            )
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.request(path, status, time.perf_counter() - start)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if self._key is not None and scope["path"] not in OPEN_PATHS:
            shown = headers.get(b"authorization", b"").decode("latin-1")
            kind, _, key = shown.partition(" ")
            # Both are hashed, so that the comparison takes the same time whatever is shown.
            if not hmac.compare_digest(_digest(key.strip()), self._key) or kind.lower() != "bearer":
                raise NoKeyError("this server wants its API key: `Authorization: Bearer ...`")
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        if self._inside >= self._service.batch + self._service.max_queue:
            raise BusyError(
                "as many requests are under way as may be; ask again later", self._service.retry_after
            )
        self._inside += 1
        try:
            body = await self._body(headers, receive)
            await self._app(scope, _replay(body, receive), send)
        finally:
            self._inside -= 1

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        most = self._limits.body_bytes
        too_large = TooLargeError(f"the body has more than {most / MEGABYTE:g} MB; send less")
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > most:
            raise too_large
        body = bytearray()

        async def read() -> bytes:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError
                body.extend(message.get("body", b""))
                if len(body) > most:
                    raise too_large
                if not message.get("more_body"):
                    return bytes(body)

        try:
            return await asyncio.wait_for(read(), self._limits.seconds)
        except asyncio.TimeoutError as error:
            raise SlowBodyError(f"the body was not there after {self._limits.seconds:.0f} s") from error


async def respond(error: RefusalError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a refusal."""
    from starlette.responses import JSONResponse

    await JSONResponse(error.to_json(), error.status, headers_of(error))(scope, receive, send)


def headers_of(error: RefusalError) -> dict[str, str]:
    """Give the headers of a refusal."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.status in (408, 413):  # the rest of the body is not waited for
        headers["Connection"] = "close"
    return headers | ({"WWW-Authenticate": "Bearer"} if error.status == 401 else {})


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body once, then what comes after it: that the client left."""
    is_given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("latin-1", "replace")).digest()
