"""What a client is told when it gets no answer: one exception a reason, with its HTTP status.

Takes words; gives exceptions, and the JSON in which OpenAI's clients look for them. No message names a path
of this machine. Knows no web framework.
"""

from __future__ import annotations

from typing import Any

from paddle_ground.errors import PaddleGroundError


class RefusalError(PaddleGroundError):
    """A request without an answer.

    Args:
        message: One line: what was found, what was expected, the way out.
        param: The field that it is about.
        code: A word for programs.

    Attributes:
        status: HTTP's.
        kind: OpenAI's `type`.
        retry_after: Seconds after which to ask again; none where that says nothing.
    """

    status = 400
    kind = "invalid_request_error"
    code: str | None = None
    retry_after: int | None = None

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code or self.code

    def to_json(self) -> dict[str, Any]:
        """Give the body of the response."""
        param = None if self.param is None else _line(self.param)
        return {"error": {"message": _line(str(self)), "type": self.kind, "param": param, "code": self.code}}


def _line(text: str) -> str:
    """Write what a client sent so that any client can read it: on one line, and valid Unicode."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


class BadRequestError(RefusalError):
    """A question that can't be answered."""


class GoneError(RefusalError):
    """The client left; nobody reads this. The status is nginx's word for it, and is counted."""

    status, code = 499, "client_left"

    def __init__(self) -> None:
        super().__init__("the client left")


class NoKeyError(RefusalError):
    """No API key, or a wrong one."""

    status, kind, code = 401, "authentication_error", "invalid_api_key"


class ForbiddenError(RefusalError):
    """A place from which this server takes no images."""

    status, kind, code = 403, "permission_error", "image_not_allowed"


class NotFoundError(RefusalError):
    """No such model or page."""

    status, kind, code = 404, "not_found_error", "not_found"


class TooLargeError(RefusalError):
    """More bytes or pixels than are allowed."""

    status, code = 413, "too_large"


class BusyError(RefusalError):
    """As much to do as may wait.

    Args:
        retry_after: Seconds after which to ask again.
    """

    status, kind, code = 429, "rate_limit_error", "queue_full"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BrokenError(RefusalError):
    """Our fault."""

    status, kind, code = 500, "server_error", "internal_error"


class UnavailableError(RefusalError):
    """The engine is not there now."""

    status, kind, code, retry_after = 503, "server_error", "engine_unavailable", 5


class TimedOutError(RefusalError):
    """An answer that took too long."""

    status, kind, code = 504, "server_error", "timeout"
