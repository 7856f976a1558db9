"""Trainings that outlive the page: started in a session of their own, found again, and stopped.

Takes run folders; gives what runs in them. What a folder says of its process counts only while a process with
that number and that start is there: numbers are given out again. Knows no form and no page.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from paddle_ground.errors import ConfigError, TrainError
from paddle_ground.files import write_text
from paddle_ground.train.config import load_config
from paddle_ground.train.curves import RunCurves, read_curves

YAML, RECORD, SAID = "page.yaml", "page.json", "page.log"
"""What was started, its process, and what the command itself printed."""
_RESOLVED, _LOG, _STEPS, _LOCK = "resolved.yaml", "train.log", "log.jsonl", ".training.lock"
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TAIL_BYTES, _TAIL_LINES, _TAIL_WIDE = 65_536, 200, 400
_starting = threading.Lock()

State = Literal["running", "elsewhere", "finished", "stopped"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        state: `elsewhere` runs, and was not started by a page: it can't be stopped from one.
        step: The last one that was logged; 0 before the first.
        total: How many there will be; None where that is not known yet.
        loss: Of that step.
        seconds_left: At the pace of the last steps; None where nothing runs.
        said: Why the command ended, if it said so.
    """

    state: State
    step: int = 0
    total: int | None = None
    loss: float | None = None
    seconds_left: float | None = None
    said: str = ""


def start(folder: Path, yaml_text: str) -> None:
    """Start a training in a new run folder.

    Args:
        folder: Made here, so that two that start at once can't both have it.
        yaml_text: The configuration; its `output_dir` is this folder.

    Raises:
        ConfigError: The folder is there already, or can't be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError:
        raise ConfigError(f"{folder.name}: is there already; name a new folder, or resume that run") from None
    except OSError as error:
        raise ConfigError(f"{folder.name}: can't be made ({error.strerror}); name another folder") from None
    write_text(folder / YAML, yaml_text)
    _spawn(folder, folder / YAML)


def resume(folder: Path) -> None:
    """Start a run again, from its last whole checkpoint.

    Args:
        folder: A run folder.

    Raises:
        ConfigError: It runs, is finished, or its YAML names another folder.
    """
    with _starting:
        found = state(folder)
        if found != "stopped":
            raise ConfigError(f"{folder.name}: is {found}; there is nothing to resume")
        yaml = next(path for path in (folder / YAML, folder / _RESOLVED) if path.is_file())
        output = Path(str(load_config(yaml).values.get("output_dir") or ""))
        if output.resolve() != folder.resolve():
            raise ConfigError(
                f"{folder.name}: its {yaml.name} writes to another folder; was it moved? Use the command line"
            )
        _spawn(folder, yaml)


def _spawn(folder: Path, yaml: Path) -> None:
    with open(folder / SAID, "ab") as said:
        said.write(f"===== started {time.strftime('%Y-%m-%d %H:%M:%S')} =====\n".encode())
        said.flush()
        child = subprocess.Popen(
            [sys.executable, "-m", "paddle_ground", "train", str(yaml)],
            stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
            # Nobody watches the bar that it draws into a file.
            env={**os.environ, "TQDM_MININTERVAL": "30"},
        )  # fmt: skip
    record = {"pid": child.pid, "born": birth(child.pid), "started": round(time.time(), 3)}
    write_text(folder / RECORD, json.dumps(record) + "\n")
    # Else it would stay as a zombie when it ends before we do.
    threading.Thread(target=child.wait, name="paddle_ground-training", daemon=True).start()


def birth(pid: int) -> str | None:
    """Tell when a process began, so that a number that was given out again is known.

    Returns:
        Text to compare; None where no such process lives.
    """
    try:
        if Path("/proc/self/stat").exists():
            # Behind the name, which may hold anything: state, ..., start in ticks since the machine began.
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            return None if fields[0] in "ZX" else f"{boot} {fields[19]}"
        asked = ["ps", "-o", "lstart=", "-p", str(pid)]
        return subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout.strip() or None
    except (OSError, IndexError):
        return None


def process_of(folder: Path) -> int | None:
    """Give the number of the process that a page started in a run folder, if that very one lives."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        pid, born = int(record["pid"]), record["born"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if pid > 1 and born and birth(pid) == born else None


def state(folder: Path) -> State:
    """Tell what a run does."""
    if process_of(folder) is not None:
        return "running"
    if _locked(folder / _LOCK):
        return "elsewhere"
    last = _last_line(folder / _STEPS)
    # The trainer's last word; a killed run has none.
    return "finished" if '"train_runtime"' in last else "stopped"


def _locked(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(lock)
    return False


def _last_line(path: Path) -> str:
    lines = _end(path, 4096).splitlines()
    return lines[-1] if lines else ""


def stop(folder: Path, patience_s: float = 30.0) -> None:
    """End a run that a page started, with all of its processes; its checkpoints stay.

    Args:
        folder: Its folder.
        patience_s: Until it is asked in another way, and at last killed.

    Raises:
        ConfigError: No such process lives.
    """
    pid = process_of(folder)
    if pid is None:
        raise ConfigError(f"{folder.name}: nothing that a page started runs there")
    # The command ends its own processes when it is interrupted; when it is killed, they end with it.
    for number, patience in (
        (signal.SIGINT, patience_s),
        (signal.SIGTERM, patience_s / 6),
        (signal.SIGKILL, 5.0),
    ):
        if process_of(folder) != pid:
            return
        try:
            os.kill(pid, number)
        except ProcessLookupError:  # it ended by itself just now
            return
        until = time.monotonic() + patience
        while time.monotonic() < until and process_of(folder) == pid:
            time.sleep(0.1)


def progress(folder: Path) -> tuple[Progress, RunCurves | None]:
    """Tell how far a run is, with what it logged; None before the first logged step."""
    now = state(folder)
    try:
        curves = read_curves(folder)
    except TrainError:
        return Progress(now, said=_complaint(folder, now)), None
    loss, pace = curves.get("loss"), curves.get("interval_steps_per_second")
    step = loss.steps[-1] if loss.steps else 0
    total = _total(folder, curves, step)
    runs = now in ("running", "elsewhere") and total is not None and pace.values and pace.values[-1] > 0
    left = (total - step) / pace.values[-1] if runs and total is not None else None
    last = loss.values[-1] if loss.values else None
    return Progress(now, step, total, last, left, _complaint(folder, now)), curves


def _total(folder: Path, curves: RunCurves, step: int) -> int | None:
    """Say how many steps a run has: as its YAML says, else by the part of an epoch that is done."""
    try:
        values = load_config(folder / _RESOLVED).values
        steps, epochs = int(values.get("max_steps") or 0), float(values.get("num_train_epochs") or 1)
    except (ConfigError, TypeError, ValueError):
        return None
    done = curves.get("progress_or_epoch").values
    return steps if steps > 0 else round(step * epochs / done[-1]) if done and done[-1] > 0 else None


def _complaint(folder: Path, now: State) -> str:
    """Give the error that the command printed last, where it ended by one."""
    if now != "stopped":
        return ""
    text = _end(folder / SAID, 8192).rpartition("===== started")[2]
    lines = [line.strip() for line in text.splitlines() if line.startswith("paddle-ground: ")]
    return lines[-1].removeprefix("paddle-ground: ")[:2000] if lines else ""


def tail(folder: Path) -> str:
    """Give the last lines of a run's log; before it has one, what the command printed."""
    path = folder / _LOG
    text = _end(path if path.is_file() else folder / SAID, _TAIL_BYTES)
    # A bar draws over itself: of such a line the last state counts.
    lines = [_COLOURS.sub("", line.rstrip("\r").rpartition("\r")[2]) for line in text.split("\n")]
    return "\n".join(line[:_TAIL_WIDE] for line in lines[-_TAIL_LINES:]).strip("\n")


def _end(path: Path, most: int) -> str:
    """Read the end of a file, from a whole line on."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - most))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return text.partition("\n")[2] if size > most else text


def signature(folder: Path) -> tuple[object, ...]:
    """Give what changes when there is something new to show of a run."""
    marks: list[object] = [process_of(folder), _locked(folder / _LOCK)]
    for name in (_STEPS, _LOG, SAID):
        try:
            found = (folder / name).stat()
            marks.append((found.st_size, found.st_mtime_ns))
        except OSError:
            marks.append(None)
    return tuple(marks)
