"""Other sites' pages don't press our buttons: what changes something comes from this page or no browser.

Takes an ASGI application; gives one that refuses the rest. A page on loopback can be reached by every site
that its user's browser has open; none of them may start a training here.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

_GUARDED = "/gradio_api/"


def own_page_only(app: Any) -> Any:
    """Refuse requests to the page's functions that a browser says come from another site.

    Args:
        app: The page's ASGI application. What is beside it, like the API under `/v1`, stays as it is.
    """

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            if scope["path"].startswith(_GUARDED) and is_foreign(dict(scope["headers"])):
                await send({"type": "http.response.start", "status": 403, "headers": []})
                await send({"type": "http.response.body", "body": b"this page answers to itself only\n"})
                return
        await app(scope, receive, send)

    return guarded


def is_foreign(headers: dict[bytes, bytes]) -> bool:
    """Tell whether a browser says that a request comes from another site.

    Args:
        headers: Names in small letters.
    """
    # Browsers send the first one to loopback and over TLS, scripts can't set it; the second one always.
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin = headers.get(b"origin")
    if origin is None:
        return False
    return urlsplit(origin.decode("latin-1")).netloc != headers.get(b"host", b"").decode("latin-1")
