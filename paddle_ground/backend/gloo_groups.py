"""Process groups of gloo that find their own members.

Takes Paddle's gloo process group, by wrapping its constructor; gives groups whose members meet in a
store of their own. Knows no tensors.
"""

from __future__ import annotations

import functools
import itertools
import os
import socket
from typing import Any

from paddle.base import core

_WORLD = 0  # id of the group of all processes, the only one that stock Paddle connects safely
_TIMEOUT_SECONDS = 900
_STORES: list[Any] = []
"""Kept for as long as the process lives: a group's members may still ask its store."""


def apply() -> None:
    """Give each group a store of its own. Calling it again changes nothing.

    Symptom: with four processes (tensor parallel 2, sharding 2), `RuntimeError: connect [127.0.0.1]:...:
    Connection refused` or a hang while groups are made; under load with two. Every gloo group writes its
    members' addresses into the common store under the same keys (only their rank within the group), so
    that groups made at the same time, or one after the other by processes that are not in step, read each
    other's and connect to strangers.
    """
    owner: Any = core.ProcessGroupGloo
    stock = owner.create
    if getattr(stock, "_paddle_ground", False):
        return

    def create(store: Any, rank: int, world_size: int, group_id: int = _WORLD) -> Any:
        own = store if group_id == _WORLD else _own_store(store, rank, world_size, group_id)
        return stock(own, rank, world_size, group_id)

    create._paddle_ground = True  # type: ignore[attr-defined]
    owner.create = staticmethod(create)


def wait_for_each_other() -> None:
    """Let all processes meet where one may keep the others waiting: at the start, to evaluate, after saving.

    Symptom: a process that waits for another in a collective for more than 30 seconds ends with
    `RuntimeError: [...gloo/transport/tcp/unbound_buffer.cc] TIMEOUT`; the limit can't be set from Python.
    The store that the processes meet in waits for a quarter of an hour. A meeting takes it a tenth of a
    second, too long for each step.
    """
    from paddleformers.trainer import Trainer

    stock = Trainer._maybe_log_save_evaluate
    if getattr(stock, "_paddle_ground_meets", False):
        return

    @functools.wraps(stock)
    def log_save_evaluate(self: Any, *args: Any, **kwargs: Any) -> Any:
        keeps_waiting = self.control.should_save or self.control.should_evaluate
        out = stock(self, *args, **kwargs)
        if keeps_waiting:
            meet()
        return out

    log_save_evaluate._paddle_ground_meets = True  # type: ignore[attr-defined]
    Trainer._maybe_log_save_evaluate = log_save_evaluate
    for name in ("_inner_training_loop", "evaluate"):
        _meet_before(Trainer, name)


def _meet_before(owner: Any, name: str) -> None:
    stock = getattr(owner, name)

    @functools.wraps(stock)
    def meeting(*args: Any, **kwargs: Any) -> Any:
        meet()
        return stock(*args, **kwargs)

    setattr(owner, name, meeting)


_MEETINGS = itertools.count()


def meet() -> None:
    """Wait until every process of the run is here; each must call this as often as the others."""
    from paddle.distributed import collective

    store, size = collective._default_store, int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))
    if store is None or size < 2:
        return
    key = f"paddle_ground/meeting/{next(_MEETINGS)}"
    if store.add(key, 1) == size:
        store.set(f"{key}/complete", "yes")
    store.wait(f"{key}/complete")


def _own_store(common: Any, rank: int, size: int, group_id: int) -> Any:
    """Open the group's store: its first member serves it and leaves the address in the common one."""
    key = f"paddle_ground/gloo/{group_id}"
    if rank == 0:
        host, port = _host(), _free_port()
        common.set(key, f"{host}:{port}")
    else:
        common.wait(key)
        host, _, text = bytes(common.get(key)).decode().rpartition(":")
        port = int(text)
    store = core.TCPStore(host, port, rank == 0, size, _TIMEOUT_SECONDS)
    _STORES.append(store)
    return store


def _host() -> str:
    """Give the address under which the launcher told the other processes to find this one."""
    return os.environ.get("PADDLE_CURRENT_ENDPOINT", "").rpartition(":")[0] or "127.0.0.1"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
