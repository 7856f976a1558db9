"""Serve a model folder until somebody says stop.

Takes a folder and settings; binds the address, loads the model, answers, and at an end lets finish what runs.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.errors import ConfigError, MissingExtraError
from paddle_ground.serve.app import create_app
from paddle_ground.serve.options import ServeOptions
from paddle_ground.serve.service import Service
from paddle_ground.serve.workers import process_worker


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 for any that is free."""

    host: str = "127.0.0.1"
    port: int = 8000


def serve(
    model_dir: Path,
    options: ServeOptions,
    address: Address,
    *,
    batch: int = 16,
    max_queue: int = 64,
    max_context: int | None = None,
    dtype: str = "float32",
    say: Callable[[str], None] = print,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        model_dir: The model.
        options: Names, keys, limits.
        address: Where to listen.
        batch: Answers under way at once.
        max_queue: Questions that may wait besides.
        max_context: Tokens of question and answer together.
        dtype: Of the weights.
        say: Is told the address, once questions are answered.

    Raises:
        ConfigError: The address can't be listened at.
        ModelError: The model can't be loaded.
        MissingExtraError: FastAPI or uvicorn is not installed.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("serving a model", "uvicorn", "serve") from error
    start = process_worker(model_dir, batch=batch, max_context=max_context, dtype=dtype)
    # Silence is longest while a large image is read; the time-out of a request says what is too long.
    service = Service(start, batch=batch, max_queue=max_queue, patience=max(60.0, options.limits.seconds))
    app = create_app(service, options)
    with listen(address) as listener:
        service.open()
        try:
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            say(f"serving {options.model_name} at http://{shown}:{port}/v1")
            drain = int(options.limits.seconds) + 1
            config = uvicorn.Config(
                app, access_log=False, log_level="warning", timeout_graceful_shutdown=drain, lifespan="off"
            )
            orderly(uvicorn.Server)(config).run(sockets=[listener])
        finally:
            service.close()


@contextmanager
def listen(address: Address) -> Iterator[socket.socket]:
    """Listen at an address for as long as the context lasts.

    Raises:
        ConfigError: Somebody else does, or the address is not ours.
    """
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((address.host, address.port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot listen at {address.host}:{address.port} ({reason}); choose another --host or --port"
        ) from error
    with listener:
        yield listener


def orderly(base: Any) -> Any:
    """Give uvicorn's server, which would die of the signal once more after it has shut down in order."""

    class Server(base):  # type: ignore[misc]
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            before = {
                number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
            }
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    return Server
