"""What only a try can tell: does Paddle compute, does the trainer import, does our plugin hook in.

Each try is a child process with a time limit, a group of its own, and one JSON line as its answer. Gives
findings; a try that fails is broken, since training does the same.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from paddle_ground.doctor.findings import Finding, State

_ANSWER = "paddle_ground doctor: "


@dataclass(frozen=True, slots=True)
class Try:
    """A few lines of Python, and what to do where they fail.

    Attributes:
        name: What is tried.
        code: Binds `answer`, a mapping that JSON can hold.
        remedy: What to do.
    """

    name: str
    code: str
    remedy: str


PADDLE = Try(
    "paddle computes",
    """
import numpy, paddle
product = paddle.matmul(paddle.ones([2, 3]), paddle.full([3, 2], 2.0)).numpy()
assert (product == 6).all(), f"a product of ones and twos is {product}"
cuda = paddle.is_compiled_with_cuda()
answer = {"version": paddle.__version__, "device": paddle.get_device(),
          "cuda": paddle.version.cuda() if cuda else None,
          "gpus": paddle.device.cuda.device_count() if cuda else 0}
""",
    "install Paddle anew: pip install --force-reinstall --no-deps -c constraints.txt paddlepaddle",
)
TRAINER = Try(
    "trainer imports",
    "import paddleformers.cli.train.sft.workflow as workflow; answer = {}",
    "take the pinned versions: pip install -c constraints.txt -e '.[cpu,eval]' (numpy 2 breaks it)",
)
PLUGIN = Try(
    "plugin hooks in",
    """
import paddle_ground.backend.plugin
from paddleformers.trainer import PdArgumentParser
assert getattr(PdArgumentParser.parse_dict, "_paddle_ground", False), "the argument parser is the stock one"
answer = {}
""",
    "take PaddleFormers 1.2: pip install -c constraints.txt paddleformers",
)


def examine(timeout: float) -> list[Finding]:
    """Make every try, one after the other.

    Args:
        timeout: Seconds that each may take.
    """
    return [attempt(one, timeout) for one in (PADDLE, TRAINER, PLUGIN)]


def attempt(one: Try, timeout: float) -> Finding:
    """Run one try in a child process.

    Args:
        one: What to try.
        timeout: Seconds that it may take; then it is killed with all that it started.
    """
    script = f"import json\n{one.code}\nprint('\\n' + {_ANSWER!r} + json.dumps(answer), flush=True)"
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace", start_new_session=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        remedy = "a first import after installing is slow: try again, or allow more with --timeout"
        return Finding("tries", one.name, State.BROKEN, f"no answer within {timeout:g} s", remedy)
    answers = [line.removeprefix(_ANSWER) for line in out.splitlines() if line.startswith(_ANSWER)]
    # An answer counts even where the process died afterwards, but it is said.
    if answers and child.returncode == 0:
        return Finding("tries", one.name, State.OK, _told(json.loads(answers[-1])))
    return Finding("tries", one.name, State.BROKEN, reason(child.returncode, err), one.remedy)


def _told(answer: dict[str, Any]) -> str:
    return ", ".join(f"{key} {'none' if value is None else value}" for key, value in answer.items()) or "yes"


def reason(code: int, stderr: str) -> str:
    """Say in one line why a child failed: the error's line, or the signal that ended it."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        more = ": this processor lacks instructions that Paddle was built with" if name == "SIGILL" else ""
        return f"ended by {name}{more}"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    # Libraries print after the traceback, too; its last line begins without a space and names an error.
    errors = [line for line in stderr.splitlines() if line.split(":")[0].endswith(("Error", "Exception"))]
    told = (errors or lines or [f"exit code {code}, and nothing was said"])[-1]
    return " ".join(told.split())[:300]
