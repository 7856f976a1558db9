"""Follow a training by what it prints: keep the log, read the steps, draw the bar.

Takes the lines of a child process; gives a report, and a bar with loss, tokens and samples a second, and the
time that is left. A run that goes on appends to its log. Starts and stops nothing.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from paddle_ground.train.config import TrainConfig
from paddle_ground.train.workers import last_error

OnStep = Callable[[int, float], None]

_STEP = re.compile(r"(?<!eval_)\bloss: ([-+.\deE]+|nan|inf),.*?global_step: (\d+)")
_EVAL = re.compile(r"eval_loss: ([-+.\deE]+|nan|inf)")
_LEFT_OUT = re.compile(r"\[SKIP\]|another piece of data will be randomly selected")
# Upstream symptom: when the loader's thread dies of this, the trainer waits for it for ever.
_LOADER_DIED = re.compile(r"^ValueError: \[\w+\] Failed to retrieve valid data")
_RATES = (
    ("tokens/s", re.compile(r"\btokens_per_second: ([-+.\deE]+)")),
    ("samples/s", re.compile(r"\binterval_samples_per_second: ([-+.\deE]+)")),
)
_PASSED_OVER = re.compile(r"paddle_ground: (checkpoint-\d+ is passed over: .*|no whole checkpoint in .*)")
_MAX_STEPS = re.compile(r"Total optimization steps = ([\d,]+)")


@dataclass
class TrainReport:
    """What a finished run left.

    Attributes:
        output_dir: The run folder, with the final model in it.
        log_path: Everything that the training printed.
        seconds: Wall time of the child process.
        losses: (step, loss) as logged, in order.
        eval_losses: Evaluation losses in order.
        skipped: How often PaddleFormers left a sample out or put another in its place (each epoch
            counts anew; it stops telling after ten unreadable ones).
        passed_over: Checkpoints that were not gone on from, each with the reason.
        best: Folder of the best model by a grounding metric; none where none was asked for.
    """

    output_dir: Path
    log_path: Path
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)
    eval_losses: list[float] = field(default_factory=list)
    skipped: int = 0
    passed_over: list[str] = field(default_factory=list)
    best: Path | None = None

    @property
    def steps(self) -> int:
        """The last step that was logged."""
        return self.losses[-1][0] if self.losses else 0


class LoaderDiedError(Exception):
    """The child's data loader is dead, and the child will wait for it for ever; the cause in words."""


def follow(
    lines: Iterable[str], report: TrainReport, config: TrainConfig, on_step: OnStep | None
) -> list[str]:
    """Read a training's lines to their end.

    Args:
        lines: What it prints.
        report: Filled on the way; the lines go to its `log_path`, behind those of earlier runs.
        config: What is run.
        on_step: Called with step and loss at each logged step; none draws a bar.

    Returns:
        The last lines.

    Raises:
        LoaderDiedError: The data can't be read.
    """
    tail: deque[str] = deque(maxlen=200)
    with open(report.log_path, "a", encoding="utf-8") as log, _Progress(config, on_step) as progress:
        log.write(f"===== started {datetime.now().astimezone().isoformat(timespec='seconds')} =====\n")
        for line in lines:
            log.write(line)
            log.flush()
            tail.append(line)
            note(line, report, progress)
            if _LOADER_DIED.search(line):
                first = next(filter(None, (last_error([line]) for line in tail)), "see the log")
                raise LoaderDiedError(first[:300])
    return list(tail)


class _Progress:
    """Calls `on_step`, or draws a bar where there is none."""

    def __init__(self, config: TrainConfig | None, on_step: OnStep | None) -> None:
        self._on_step = on_step
        self._total = int(config.values.get("max_steps") or 0) if config else 0
        self._bar: Any = None

    def __enter__(self) -> _Progress:
        return self

    def expect(self, steps: int) -> None:
        """Note how many steps there will be, as the trainer says."""
        self._total = steps

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._on_step is None:
            from tqdm import tqdm

            tqdm.write(text)

    def step(self, step: int, loss: float, rates: Sequence[tuple[str, float]]) -> None:
        """Note a logged step."""
        if self._on_step is not None:
            return self._on_step(step, loss)
        if self._bar is None:
            from tqdm import tqdm

            # A run that goes on starts here: its rate and the time left are of this run's steps.
            total = self._total if self._total > 0 else None
            self._bar = tqdm(total=total, initial=step, desc="train", unit="step")
        shown = [f"loss={loss:.4f}", *(f"{rate:.4g} {unit}" for unit, rate in rates)]
        self._bar.set_postfix_str(", ".join(shown), refresh=False)
        self._bar.update(step - self._bar.n)

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()


def note(line: str, report: TrainReport, progress: Any) -> None:
    """Read what one line says into the report and the bar."""
    found = _STEP.search(line)
    if found:
        step, loss = int(found[2]), float(found[1])
        if not report.losses or step > report.losses[-1][0]:
            report.losses.append((step, loss))
            rates = ((unit, pattern.search(line)) for unit, pattern in _RATES)
            progress.step(step, loss, [(unit, float(rate[1])) for unit, rate in rates if rate])
    report.skipped += bool(_LEFT_OUT.search(line))
    found = _EVAL.search(line)
    if found:
        report.eval_losses.append(float(found[1]))
    found = _PASSED_OVER.search(line)
    if found:
        report.passed_over.append(found[1].strip())
        progress.say(found[1].strip())
    found = _MAX_STEPS.search(line)
    if found:
        progress.expect(int(found[1].replace(",", "")))
