"""A trained model for many clients: an engine in its own process, an OpenAI-compatible API before it.

Takes a model folder; gives answers over HTTP, or to threads of this process through `Service`. Does not know:
training, metrics. Importing it costs nothing; FastAPI comes with `paddle_ground.serve.app`'s first app, and
Paddle lives in the worker.
"""

from __future__ import annotations

from paddle_ground.serve.jobs import BoxLayout, Delta, Done, Failed, Job, Search
from paddle_ground.serve.service import Service
from paddle_ground.serve.workers import process_worker, thread_worker

__all__ = [
    "BoxLayout",
    "Delta",
    "Done",
    "Failed",
    "Job",
    "Search",
    "Service",
    "process_worker",
    "thread_worker",
]
