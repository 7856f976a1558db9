"""Pieces made by many machines: the same code a piece, run as tasks of a Ray cluster.

Takes what `pieces.run_pieces` takes and the address of a cluster; the staging folder and the source must
be under the same paths on every machine (a shared file system). The driver plans before and merges after,
so the output is the same to the byte. A stopped run goes on as one on a single machine does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from paddle_ground.data.pieces import Progress, make_piece
from paddle_ground.data.plan import Piece
from paddle_ground.data.source import Source
from paddle_ground.data.staging import Staging
from paddle_ground.data.take import PieceOptions
from paddle_ground.errors import ConfigError, LostWorkerError, MissingExtraError, PaddleGroundError

LOCAL = "local"
"""The address that stands for a cluster on this machine, started for the run and stopped after it."""


def run_pieces_on_ray(
    source: Source,
    pieces: list[Piece],
    options: PieceOptions,
    staging: Staging,
    address: str,
    workers: int,
    progress: Progress | None,
) -> None:
    """Make all pieces that are not there yet, each in a Ray task.

    Args:
        source: Opened with a path that all machines know.
        pieces: What to make.
        options: How.
        staging: Where to.
        address: As `ray.init` takes it, such as "auto" or "ray://head:10001"; or `LOCAL`.
        workers: How many processors a local cluster has; the cluster's own matter decides otherwise.
        progress: See `pieces.run_pieces`.

    Raises:
        DataError: A chunk can't be read, an image is bad, or the folder can't be written; the message
            names the chunk.
        LostWorkerError: A task ended without a result.
        ConfigError: No cluster is there.
        MissingExtraError: Ray is not installed.
    """
    with _connected(address, workers) as ray:
        make = ray.remote(make_piece)
        # Once for all tasks, not with each.
        shared = [ray.put(value) for value in (source, options, staging)]
        jobs = [make.remote(shared[0], piece, *shared[1:]) for piece in pieces]
        total, done = sum(len(piece.rows) for piece in pieces), 0
        try:
            for piece, job in zip(pieces, jobs, strict=True):
                _wait(ray, job, piece)
                done += len(piece.rows)
                if progress is not None:
                    progress(done, total)
        except BaseException:
            for job in jobs:
                ray.cancel(job, force=False)
            # None may write into the folder any more when it is given up or published.
            ray.wait(jobs, num_returns=len(jobs))
            raise


def _wait(ray: Any, job: Any, piece: Piece) -> None:
    place = f"chunk {piece.chunk.index} on Ray"
    try:
        ray.get(job)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, PaddleGroundError):
            raise type(cause)(f"{place}: {cause}") from None
        raise LostWorkerError(
            f"{place}: {type(cause).__name__}: {cause}; run the same command again"
        ) from error
    except ray.exceptions.RayError as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise LostWorkerError(f"{place}: {reason}; run the same command again, it goes on here") from error


@contextmanager
def _connected(address: str, workers: int) -> Iterator[Any]:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingExtraError("--ray", error.name or "ray", "ray") from error
    if ray.is_initialized():  # By the program that calls us, which will also end it.
        yield ray
        return
    local: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", **local)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"--ray {address}: no cluster ({reason}); start one with `ray start --head`, or pass {LOCAL}"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
