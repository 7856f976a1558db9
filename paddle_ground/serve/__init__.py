"""A trained model for many clients: an engine in its own process, an OpenAI-compatible API before it.

Takes a model folder; gives answers over HTTP, or to threads of this process through `Service`. Does not know:
training, metrics. Importing it costs nothing; FastAPI comes with `paddle_ground.serve.app`'s first app, and
Paddle lives in the worker.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Public name -> module that defines it; the command line imports this package, and must stay light.
_HOMES = {
    "BoxLayout": "jobs",
    "Delta": "jobs",
    "Done": "jobs",
    "Failed": "jobs",
    "Job": "jobs",
    "Search": "jobs",
    "ServeOptions": "options",
    "Service": "service",
    "create_app": "app",
    "process_worker": "workers",
    "thread_worker": "workers",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name's module at its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
