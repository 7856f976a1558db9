"""Trainings as processes: known again only by their own start, stopped, and what a folder tells of them."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from paddle_ground.errors import ConfigError
from paddle_ground.web.train_runs import (
    RECORD,
    SAID,
    birth,
    process_of,
    progress,
    resume,
    signature,
    start,
    state,
    stop,
    tail,
)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is ended."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def record(folder: Path, pid: int, born: object) -> None:
    (folder / RECORD).write_text(json.dumps({"pid": pid, "born": born}))


def test_a_process_is_known_by_its_number_and_its_start(tmp_path, child) -> None:
    assert process_of(tmp_path) is None
    record(tmp_path, child.pid, birth(child.pid))
    assert process_of(tmp_path) == child.pid
    assert state(tmp_path) == "running"
    # The same number, given out again.
    record(tmp_path, child.pid, birth(os.getpid()))
    assert birth(os.getpid()) != birth(child.pid)
    assert process_of(tmp_path) is None
    with pytest.raises(ConfigError, match="nothing that a page started"):
        stop(tmp_path)
    assert child.poll() is None


def test_a_process_that_has_ended_is_none_even_before_its_parent_looks(tmp_path, child) -> None:
    record(tmp_path, child.pid, birth(child.pid))
    os.kill(child.pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while process_of(tmp_path) is not None:  # it stays as a zombie
        assert time.monotonic() < until
        time.sleep(0.02)
    assert Path(f"/proc/{child.pid}").exists() or sys.platform != "linux"
    assert state(tmp_path) == "stopped"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"pid": "x", "born": "y"}', '{"pid": 1, "born": null}', "{"]
)
def test_a_record_that_is_none_names_no_process(tmp_path, text) -> None:
    (tmp_path / RECORD).write_text(text)
    assert process_of(tmp_path) is None


def test_one_that_does_not_listen_is_killed(tmp_path) -> None:
    deaf = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; print(1, flush=True); "
    process = subprocess.Popen([sys.executable, "-c", f"{deaf}time.sleep(600)"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        record(tmp_path, process.pid, birth(process.pid))
        stop(tmp_path, patience_s=0.3)
        assert process.wait(timeout=30) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()


def test_one_that_ends_just_before_it_is_stopped_is_stopped(tmp_path, child, monkeypatch) -> None:
    record(tmp_path, child.pid, birth(child.pid))
    really = os.kill

    def too_late(pid: int, number: int) -> None:
        really(pid, signal.SIGKILL)
        child.wait()
        really(pid, number)

    monkeypatch.setattr(os, "kill", too_late)
    stop(tmp_path)
    assert state(tmp_path) == "stopped"


def test_a_training_of_somebody_else_is_seen_by_its_lock(tmp_path) -> None:
    with (tmp_path / ".training.lock").open("w") as lock:
        before = signature(tmp_path)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert state(tmp_path) == "elsewhere"
        assert signature(tmp_path) != before
        with pytest.raises(ConfigError, match="elsewhere"):
            resume(tmp_path)
    assert state(tmp_path) == "stopped"


def test_what_is_there_is_not_started_into(tmp_path) -> None:
    with pytest.raises(ConfigError, match="is there already"):
        start(tmp_path, "")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):
        start(tmp_path / "file/run", "")


def test_a_command_that_fails_leaves_its_reason(tmp_path) -> None:
    folder = tmp_path / "run"
    start(folder, f"output_dir: {folder}\nno_such_key: 1\n")
    until = time.monotonic() + 120
    while state(folder) == "running":
        assert time.monotonic() < until
        time.sleep(0.1)
    found, curves = progress(folder)
    assert (found.state, curves) == ("stopped", None)
    assert "unknown key `no_such_key`" in found.said
    assert "no_such_key" in tail(folder)


def test_a_moved_run_is_not_resumed_into_its_old_place(tmp_path) -> None:
    (tmp_path / "page.yaml").write_text("output_dir: elsewhere\n")
    with pytest.raises(ConfigError, match="writes to another folder"):
        resume(tmp_path)


def test_a_log_tells_how_far_a_run_is(tmp_path, child) -> None:
    (tmp_path / "resolved.yaml").write_text(f"output_dir: {tmp_path}\nmax_steps: -1\nnum_train_epochs: 4\n")
    lines = [
        {"step": step, "time": 1.0, "loss": 3.0 / step, "interval_steps_per_second": 2.0,
         "progress_or_epoch": step / 25}
        for step in range(1, 11)
    ]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found, curves = progress(tmp_path)
    assert curves is not None
    assert (found.state, found.step, found.total, found.seconds_left) == ("stopped", 10, 100, None)
    record(tmp_path, child.pid, birth(child.pid))
    found, _ = progress(tmp_path)
    assert (found.state, found.loss, found.seconds_left) == ("running", pytest.approx(0.3), 45.0)
    (tmp_path / RECORD).unlink()
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"step": 10, "time": 2.0, "train_runtime": 5.0}\n')
    assert state(tmp_path) == "finished"
    with pytest.raises(ConfigError, match="finished"):
        resume(tmp_path)


def test_the_end_of_a_log_is_shown_as_a_terminal_would(tmp_path) -> None:
    (tmp_path / SAID).write_text("said\n")
    assert tail(tmp_path) == "said"
    noise = "".join(f"line {number}\n" for number in range(20_000))
    (tmp_path / "train.log").write_bytes(
        f"{noise}\x1b[32mgreen\x1b[0m\nbar 1%\rbar 50%\rbar 99%\n{'x' * 999}\n".encode() + b"\xff\n"
    )
    lines = tail(tmp_path).split("\n")
    assert lines[-4:] == ["green", "bar 99%", "x" * 400, "\ufffd"]
    assert lines[0].startswith("line 198")
    assert len(lines) <= 200
