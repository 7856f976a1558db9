"""A process of several whose training ended well leaves without Paddle's teardown; a failed one as ever."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("paddle")

PROGRAM = """
import atexit, sys
from paddleformers.cli.train import tuner
from paddle_ground.backend import leaving

class Store:
    def __del__(self):
        print("taken down", flush=True)

def run_sft(fails):
    if fails:
        raise RuntimeError("no data")

tuner.run_sft = run_sft
leaving.apply()
leaving.apply()
atexit.register(print, "written to the end")
store = Store()
tuner.run_sft(sys.argv[1] == "fails")
print("the last line")
"""


def ended(processes: int, how: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PADDLE_TRAINERS_NUM": str(processes)}
    command = [sys.executable, "-c", PROGRAM, how]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_one_of_several_leaves_with_everything_written_and_nothing_taken_down() -> None:
    done = ended(2, "works")
    assert (done.returncode, done.stdout) == (0, "the last line\nwritten to the end\n")


def test_a_process_alone_ends_as_it_always_did() -> None:
    done = ended(1, "works")
    assert (done.returncode, done.stdout) == (0, "the last line\nwritten to the end\ntaken down\n")


def test_a_failed_one_says_so() -> None:
    done = ended(2, "fails")
    assert done.returncode == 1
    assert "RuntimeError: no data" in done.stderr
