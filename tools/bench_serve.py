#!/usr/bin/env python3
"""Time a served model under 1 and 16 clients: answers a second, and how long a client waits.

    python tools/bench_serve.py [--clients 16] [--answers 320] [--rounds 3]

The model is tools/bench_infer.py's, made on the spot: 11.6 M parameters, random weights. `paddle-ground
serve` runs as a process of its own. Each client asks over HTTP, with a new connection each time: a JPEG of
128 x 128 px and "Task: Object Detection", 32 tokens, greedy, free; and waits for the whole answer before it
asks again. Rounds with one and with all clients take turns, and medians are told. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bench_infer import build

TOKENS = 32


@dataclass(frozen=True)
class Round:
    """What so many clients saw: answers a second, and seconds of an answer (sorted)."""

    rate: float
    seconds: list[float]

    def at(self, share: float) -> float:
        """Give the seconds within which this share of the answers came."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def main() -> None:
    """Make the model, serve it, ask it, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--answers", type=int, default=320, help="of a round with all clients")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="folder of a model that was made before")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or build(Path(folder) / "model")
        with Server(model, options.clients) as url:
            measure(url, options.clients, options.answers, options.rounds)


class Server:
    """`paddle-ground serve` as a process; gives its URL."""

    def __init__(self, model: Path, batch: int) -> None:
        command = [sys.executable, "-m", "paddle_ground", "serve", str(model)]
        command += ["--port", "0", "--model-name", "m", "--batch", str(batch)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def __enter__(self) -> str:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            found = re.search(r"http://\S+", line)
            if found:
                return found.group()
        raise SystemExit("the server did not start")

    def __exit__(self, *_: object) -> None:
        self._child.send_signal(signal.SIGTERM)
        self._child.wait(timeout=60)


def measure(url: str, clients: int, answers: int, rounds: int) -> None:
    """Ask in turns with one client and with all, and print what came of it."""
    body = question()
    run(url, body, clients, 2 * clients)  # warm
    alone, together = [], []
    for _ in range(rounds):
        alone.append(run(url, body, 1, max(8, answers // 8)))
        together.append(run(url, body, clients, answers))
    for name, several in ((1, alone), (clients, together)):
        for each in several:
            print(f"{name:3d} clients: {each.rate:6.2f} answers/s, p50 {each.at(0.5) * 1000:6.0f} ms, "
                  f"p99 {each.at(0.99) * 1000:6.0f} ms")  # fmt: skip
    rate_1 = statistics.median(each.rate for each in alone)
    rate_all = statistics.median(each.rate for each in together)
    print(
        json.dumps(
            {
                "answers_16_vs_1_clients": round(rate_all / rate_1, 2),
                "p99_over_p50": round(
                    statistics.median(each.at(0.99) / each.at(0.5) for each in together), 2
                ),
                "answers_per_s_1": round(rate_1, 2),
                "answers_per_s_16": round(rate_all, 2),
            }
        )
    )


def question() -> bytes:
    """Give the body of a request."""
    import numpy as np
    from PIL import Image

    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    image = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    parts = [
        {"type": "image_url", "image_url": {"url": image}},
        {"type": "text", "text": "Task: Object Detection"},
    ]
    turns = [{"role": "user", "content": parts}]
    return json.dumps({"model": "m", "max_tokens": TOKENS, "temperature": 0, "messages": turns}).encode()


def run(url: str, body: bytes, clients: int, answers: int) -> Round:
    """Let clients ask until so many answers came."""
    left, lock = iter(range(answers)), threading.Lock()
    seconds: list[float] = []
    failed: list[str] = []

    def client() -> None:
        while True:
            with lock:
                if next(left, None) is None or failed:
                    return
            start = time.perf_counter()
            request = urllib.request.Request(
                url + "/chat/completions", body, {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=120) as response:
                    written = json.load(response)["usage"]["completion_tokens"]
            except (OSError, KeyError, ValueError) as error:
                failed.append(str(error))
                return
            seconds.append(time.perf_counter() - start)
            if written != TOKENS:
                failed.append(f"an answer of {written} tokens")

    start = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"no fair comparison: {failed[0]}")
    return Round(len(seconds) / (time.perf_counter() - start), sorted(seconds))


if __name__ == "__main__":
    main()
