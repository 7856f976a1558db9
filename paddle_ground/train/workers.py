"""The processes of a training run: how many a CPU run starts, and which of them ended it and why.

Takes a configuration, the environment, and the logs that Paddle's launcher keeps, one a process. The
launcher shows the first process only, and stops the others when one dies, so that the line that says why
stands among lines that say that somebody else is gone.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from paddle_ground.errors import TrainError
from paddle_ground.train.config import TrainConfig

_ERROR_LINE = re.compile(r"[\w.]*(Error|Exception|Interrupt)\b")
# What a process says when another one is gone, or when the launcher stops it for that.
_LEFT_ALONE = re.compile(
    r"(?i)termination signal|connection (reset|closed|refused)|reset by peer|broken pipe|gloo/transport"
    r"|\bprocess_group\."
)
_AROUND = 12  # lines of a traceback before its error that are looked at; the message may go on for a few
_FAILED = re.compile(r"Container rank (\d+) status failed .* code (-?\d+) log")
_LONGEST = 500


def machine_count(env: Mapping[str, str]) -> int:
    """Give how many machines train together (NNODES).

    Raises:
        TrainError: A variable that several machines need is missing, or is no number.
    """
    try:
        count = int(env.get("NNODES") or 1)
        rank = int(env.get("RANK") or 0)
    except ValueError:
        raise TrainError(
            f"NNODES={env.get('NNODES')!r} RANK={env.get('RANK')!r}: expected whole numbers, e.g. 2 and 0"
        ) from None
    if count < 1:
        raise TrainError(f"NNODES is {count}; expected 1 or more machines, or unset it")
    if count > 1:
        missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not env.get(name)]
        if missing:
            raise TrainError(
                f"NNODES is {count}, but {' and '.join(missing)} is not set; each machine needs NNODES, its "
                "own RANK (0, 1, ...), and the first machine's MASTER_ADDR and a free MASTER_PORT there"
            )
        if not 0 <= rank < count:
            raise TrainError(f"RANK is {rank}; with NNODES={count} it is 0 to {count - 1}")
    return count


def of_machine(env: Mapping[str, str]) -> str:
    """Give what a machine's own files are called by, beside the first one's: "", ".machine1", ...

    Raises:
        TrainError: As `machine_count`.
    """
    rank = int(env.get("RANK") or 0) if machine_count(env) > 1 else 0
    return f".machine{rank}" if rank else ""


def process_count(config: TrainConfig, env: Mapping[str, str]) -> int:
    """Give how many processes a CPU run starts on this machine: those of CUDA_VISIBLE_DEVICES, if it is set.

    Raises:
        TrainError: They don't suffice for the parallel degrees, or don't divide by them.
    """
    machines = machine_count(env)
    needed = config.processes()
    if needed % machines and machines % needed:
        raise TrainError(
            f"{config.path}: its parallel degrees need {needed} processes, which NNODES={machines} machines "
            "can't share evenly; change one of them"
        )
    needed = max(1, needed // machines)
    named = [name for name in env.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    if not named:
        return needed
    if len(named) % needed:
        raise TrainError(
            f"{config.path}: its parallel degrees need {needed} processes or a multiple; "
            f"CUDA_VISIBLE_DEVICES names {len(named)}; unset it, or set it to "
            f"{','.join(map(str, range(needed)))}"
        )
    return len(named)


class WorkerLogs:
    """The processes' logs, from here on: a run that goes on writes behind the one before.

    Args:
        folder: Where the launcher writes them.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._start = {path: path.stat().st_size for path in self._paths()}

    def cause(self, shown: Sequence[str]) -> str:
        """Say why the run ended.

        Args:
            shown: The last lines of what the launcher printed.
        """
        texts = {int(path.suffix[1:]): self._new_lines(path) for path in self._paths()}
        if len(texts) < 2:
            return last_error(shown) or (shown[-1].strip() if shown else "it printed nothing")[:_LONGEST]
        for rank, lines in texts.items():
            error = last_error(lines)
            if error and not _left_alone(lines):
                return f"process {rank}: {error}"
        return _killed(shown) or next(
            (
                f"process {rank} ended without a word; was it killed, for want of memory perhaps?"
                for rank, lines in texts.items()
                if not last_error(lines)
            ),
            last_error(shown) or "no process says why",
        )

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("workerlog.*"), key=lambda path: int(path.suffix[1:]))

    def _new_lines(self, path: Path) -> list[str]:
        with open(path, "rb") as log:
            log.seek(self._start.get(path, 0))
            return log.read().decode(errors="replace").splitlines()


def last_error(lines: Iterable[str]) -> str | None:
    """Pick the last line that looks like `SomeError: ...`; none if there is none."""
    found = None
    for line in lines:
        text = line.strip()
        if _ERROR_LINE.match(text):
            found = text[:_LONGEST]
    return found


def _left_alone(lines: Sequence[str]) -> bool:
    """Tell whether a process's last error is that another one is gone."""
    at = max(index for index, line in enumerate(lines) if _ERROR_LINE.match(line.strip()))
    return any(_LEFT_ALONE.search(line) for line in lines[max(0, at - _AROUND) : at + 4])


def _killed(shown: Sequence[str]) -> str | None:
    for line in shown:
        found = _FAILED.search(line)
        if found and int(found[2]) < 0:
            number = -int(found[2])
            name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
            return f"process {found[1]} was killed by {name}; for want of memory, perhaps"
    return None
