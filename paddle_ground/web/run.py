"""Show the page until somebody says stop.

Takes a model folder or none, and settings; binds the address, loads the model, serves page and API.
"""

from __future__ import annotations

import ipaddress
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.errors import ConfigError, MissingExtraError
from paddle_ground.serve.app import create_app
from paddle_ground.serve.options import Limits, ServeOptions
from paddle_ground.serve.run import Address, listen, orderly
from paddle_ground.serve.service import Service
from paddle_ground.serve.workers import process_worker
from paddle_ground.web.page import Place, create_page


@dataclass(frozen=True, slots=True)
class Folders:
    """What the page may open of this machine.

    Attributes:
        data: Folder whose samples files may be opened; none for none.
        runs: Folder of models, where work may be started that reads and writes in it; none for none.
        configs: Folder of training YAMLs, for a page that trains; none for none.
    """

    data: Path | None = None
    runs: Path | None = None
    configs: Path | None = None

    def check(self) -> None:
        """See that they are there.

        Raises:
            ConfigError: One of them is not.
        """
        for option, folder in (("--data", self.data), ("--runs", self.runs), ("--configs", self.configs)):
            if folder is not None and not folder.is_dir():
                raise ConfigError(f"{option} {folder}: no such folder")


def show(
    model_dir: Path | None,
    folders: Folders,
    address: Address,
    limits: Limits,
    *,
    batch: int = 8,
    dtype: str = "float32",
    say: Callable[[str], None] = print,
) -> None:
    """Show the page until SIGINT or SIGTERM.

    Args:
        model_dir: The model; none for a page that only shows data.
        folders: What may be opened.
        address: Where to listen.
        limits: What a request may be at most.
        batch: Answers under way at once.
        dtype: Of the weights.
        say: Is told the address, once the page is there.

    Raises:
        ConfigError: Nothing to show, no such folder, or an address that can't be listened at.
        ModelError: The model can't be loaded.
        MissingExtraError: Gradio is not installed.
    """
    if model_dir is None and folders == Folders():
        raise ConfigError(
            "nothing to show; leave out --no-model, or name samples with --data or runs with --runs"
        )
    folders.check()
    try:
        import gradio
        import uvicorn
        from fastapi import FastAPI
    except ImportError as error:
        raise MissingExtraError("the page", str(error.name), "web") from error
    del gradio  # only asked for: the model should not be loaded for nothing
    with ExitStack() as stack:
        uploads = stack.enter_context(tempfile.TemporaryDirectory(prefix="paddle_ground_web_"))
        data, runs, configs = (one and one.resolve() for one in (folders.data, folders.runs, folders.configs))
        place = Place(Path(uploads).resolve(), data, limits, runs, configs, model_dir and model_dir.resolve())
        listener = stack.enter_context(listen(address))
        service: Service | None = None
        app: Any = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        if model_dir is not None:
            start = process_worker(model_dir, batch=batch, dtype=dtype)
            service = Service(start, batch=batch, patience=max(60.0, limits.seconds))
            service.open()
            stack.callback(service.close)
            app = create_app(service, ServeOptions(model_dir.resolve().name, limits=limits))
        host, port = listener.getsockname()[:2]
        page = create_page(_own_names_only(app, address, host), service, place)
        say(f"open http://{f'[{host}]' if ':' in host else host}:{port}/")
        config = uvicorn.Config(page, access_log=False, log_level="warning", timeout_graceful_shutdown=5)
        orderly(uvicorn.Server)(config).run(sockets=[listener])


def _own_names_only(app: Any, address: Address, bound: str) -> Any:
    """On loopback, answer to our own names only: another site's name may be made to lead here.

    Args:
        app: A FastAPI application.
        address: As it was asked for, perhaps by a name.
        bound: The address that this turned out to be.
    """
    if ipaddress.ip_address(bound.partition("%")[0]).is_loopback:
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        # Starlette cuts at the first colon, of an IPv6 address as well.
        names = ["127.0.0.1", "localhost", "[::1]", "[", address.host.lower(), bound]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=names)
    return app
