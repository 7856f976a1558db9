"""Run a script as two CPU processes that find each other as Paddle's launcher lets them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path


def free_ports(count: int) -> list[int]:
    """Find ports that nothing listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def run_pair(script: Path, out: Path, *arguments: str) -> None:
    """Run `script OUT ARGUMENTS...` twice at once, as ranks 0 and 1; both must end well.

    What each prints stands in OUT/<rank>.log.
    """
    ports = free_ports(3)
    ends = [f"127.0.0.1:{port}" for port in ports[:2]]
    common = {
        "PADDLE_TRAINERS_NUM": "2",
        "PADDLE_LOCAL_SIZE": "2",
        "PADDLE_TRAINER_ENDPOINTS": ",".join(ends),
        "PADDLE_MASTER": f"127.0.0.1:{ports[2]}",
        "PADDLE_DISTRI_BACKEND": "gloo",
        "OMP_NUM_THREADS": "1",
    }
    started = []
    for rank in range(2):
        env = {**os.environ, **common, "PADDLE_TRAINER_ID": str(rank), "PADDLE_CURRENT_ENDPOINT": ends[rank]}
        with open(out / f"{rank}.log", "w", encoding="utf-8") as log:
            command = [sys.executable, str(script), str(out), *arguments]
            started.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))
    codes = [process.wait(timeout=240) for process in started]
    assert codes == [0, 0], "\n".join((out / f"{rank}.log").read_text()[-1500:] for rank in range(2))
