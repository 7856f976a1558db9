"""One question to an OpenAI-compatible endpoint: sent, sent again where that helps, or refused clearly.

Takes an image, a prompt and a seed, gives the text of the answer. Knows nothing of boxes or files. The API
key goes into the request's header and nowhere else: what a server says is cleared of it before it is shown
or given back.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from paddle_ground.data.distill.options import AskOptions, Endpoint
from paddle_ground.errors import DataError

if TYPE_CHECKING:
    import httpx

# A time-out of a proxy, too many requests, and what servers say while they start or are overrun.
_TRIED_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_LONGEST_PAUSE = 60.0
_LONGEST_ASKED_PAUSE = 600.0
_MAX_ANSWER_BYTES = 16 << 20
# Servers without keys are given words such as "EMPTY" or "none", which an answer may well hold.
_SHORTEST_SECRET = 12


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came.

    Attributes:
        text: What the model said; "" where it said nothing.
        finish: Why it stopped, as the endpoint says: "stop", or "length" for an answer that was cut off.
        model: Which model the endpoint says that it was.
    """

    text: str
    finish: str
    model: str


class UnansweredError(DataError):
    """A question that got no answer; another one may."""


class RefusedRequestError(UnansweredError):
    """A question that the endpoint refuses, such as one with too large an image."""


class RefusedError(DataError):
    """An endpoint that will answer none of our questions."""


class StoppedError(Exception):
    """The run ends; nobody waits for this answer."""


class TeacherClient:
    """Asks one endpoint, from any number of threads.

    Args:
        endpoint: Whom.
        asking: How.
        stop: Once it is set, pauses end and nothing more is sent.
    """

    def __init__(self, endpoint: Endpoint, asking: AskOptions, stop: threading.Event) -> None:
        import httpx

        self._endpoint, self._asking, self._stop = endpoint, asking, stop
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        # A proxy of the environment is right for other machines, and never for this one.
        is_near = urlsplit(endpoint.url).hostname in ("localhost", "127.0.0.1", "::1")
        self._http = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(endpoint.timeout, connect=min(endpoint.timeout, 30.0)),
            follow_redirects=False,
            limits=httpx.Limits(max_connections=None),
            trust_env=not is_near,
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def ask(self, image_url: str, prompt: str, seed: int) -> Reply:
        """Ask one question.

        Args:
            image_url: A data URL.
            prompt: The text beside the image.
            seed: Of the drawing.

        Raises:
            UnansweredError: No answer came after all retries.
            RefusedRequestError: The endpoint does not take this request.
            RefusedError: The key, the model or the address is wrong.
            StoppedError: The run ends.
        """
        import httpx

        content = json.dumps(self._body(image_url, prompt, seed), ensure_ascii=False).encode()
        reason = ""
        for attempt in range(self._endpoint.retries + 1):
            if self._stop.is_set():
                raise StoppedError
            wait = None
            try:
                response, text = self._post(content)
            except httpx.HTTPError as error:
                reason = f"no answer ({type(error).__name__}: {self._shown(str(error)) or 'no details'})"
            else:
                if response.status_code == 200:
                    reply = self._read(text)
                    if reply is not None:
                        return reply
                    reason = f"no chat completion came, but {self._shown(text)!r}"
                elif response.status_code in _TRIED_AGAIN:
                    wait = _seconds(response.headers.get("retry-after"))
                    reason = f"HTTP {response.status_code} {self._shown(text)}"
                else:
                    raise self._refusal(response, text)
            if attempt < self._endpoint.retries:
                self._pause(attempt, wait)
        tries = self._endpoint.retries + 1
        raise UnansweredError(f"{self._endpoint.host}: {reason}, {tries} times; is the endpoint well?")

    def _body(self, image_url: str, prompt: str, seed: int) -> dict[str, Any]:
        asking = self._asking
        content = [
            {"type": "image_url", "image_url": {"url": image_url}},
            {"type": "text", "text": prompt},
        ]
        return {
            "model": self._endpoint.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": asking.temperature,
            "top_p": asking.top_p,
            "max_tokens": asking.max_tokens,
            "seed": seed,
            "stream": False,
        }

    def _post(self, content: bytes) -> tuple[httpx.Response, str]:
        """Send, and read no longer than an answer may take, and no more than one can be."""
        import httpx

        deadline = time.monotonic() + self._endpoint.timeout
        pieces, size = [], 0
        with self._http.stream(
            "POST", self._endpoint.url, content=content, headers={"Content-Type": "application/json"}
        ) as response:
            for piece in response.iter_bytes():
                size += len(piece)
                pieces.append(piece)
                if size > _MAX_ANSWER_BYTES:
                    raise httpx.ReadError(f"an answer of more than {_MAX_ANSWER_BYTES >> 20} MB")
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout(f"an answer of more than {self._endpoint.timeout:g} s")
        return response, b"".join(pieces).decode("utf-8", errors="replace")

    def _read(self, text: str) -> Reply | None:
        try:
            document = json.loads(text)
            choice = document["choices"][0]
            said = choice["message"].get("content")
            if isinstance(said, list):  # Some servers give it in parts.
                said = "".join(part.get("text") or "" for part in said)
            words = (said or "", choice.get("finish_reason") or "", document.get("model") or "")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
        if not all(isinstance(word, str) for word in words):
            return None
        # Half a surrogate pair is valid JSON, and no text that a file can hold.
        clean = [self._without_key(word).encode("utf-8", "replace").decode() for word in words]
        return Reply(*clean)

    def _refusal(self, response: httpx.Response, text: str) -> DataError:
        status, endpoint = response.status_code, self._endpoint
        said = self._shown(text)
        if 300 <= status < 400:
            to = urlsplit(response.headers.get("location", "")).hostname or "another address"
            return RefusedError(f"{endpoint.host}: it sends us to {to}; pass the final address as --endpoint")
        if status in (401, 403):
            sent = f"the key from {endpoint.key_env}" if endpoint.key else "a request without API key"
            return RefusedError(
                f"{endpoint.host}: HTTP {status}, it refuses {sent} ({said}); put the right one into "
                f"{endpoint.key_env}, or name another variable with --api-key-env"
            )
        if status == 404:
            return RefusedError(
                f"{endpoint.host}: HTTP 404, it knows no model {endpoint.model!r}, or nothing at "
                f"{urlsplit(endpoint.url).path} ({said}); check --model and --endpoint"
            )
        return RefusedRequestError(f"{endpoint.host}: HTTP {status}, it refuses the request ({said})")

    def _pause(self, attempt: int, asked: float | None) -> None:
        seconds = min(self._endpoint.first_pause * 2.0**attempt, _LONGEST_PAUSE) if asked is None else asked
        if seconds > _LONGEST_ASKED_PAUSE:
            raise RefusedError(
                f"{self._endpoint.host}: it asks to wait for {seconds:.0f} s; run the same command again then"
            )
        if self._stop.wait(seconds):
            raise StoppedError

    def _without_key(self, text: str) -> str:
        key = self._endpoint.key
        return text.replace(key, "***") if key and len(key) >= _SHORTEST_SECRET else text

    def _shown(self, text: str) -> str:
        """Give what a server said in one short line, without the key."""
        key = self._endpoint.key
        line = " ".join((text.replace(key, "***") if key else text).split())
        return line if len(line) <= 200 else line[:200] + "..."


def _seconds(header: str | None) -> float | None:
    """Read a Retry-After: seconds or a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except (ValueError, TypeError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        seconds = (moment - datetime.now(timezone.utc)).total_seconds()
    return max(seconds, 0.0) if seconds == seconds else None
