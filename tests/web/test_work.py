"""Commands in child processes: in order, stopped, and never two at one place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paddle_ground.errors import ConfigError, DataError
from paddle_ground.web.standing import standing_html, without
from paddle_ground.web.work import LOG, Standing, Step, Work

VERSION = Step("first", ("version",))
WRONG = Step("second", ("curves", "nowhere"))


def wait(until: Callable[[], Any]) -> None:
    for _ in range(1200):
        if until():
            return
        time.sleep(0.05)
    raise AssertionError("it never was")


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make each command one that goes on until it is interrupted; gives the file that it then writes."""
    script, left = tmp_path / "slow", tmp_path / "left"
    script.write_text(
        f"#!{sys.executable}\nimport time\nprint('at work', flush=True)\n"
        f"try:\n    time.sleep(120)\nfinally:\n    open({str(left)!r}, 'w').close()\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return left


def test_commands_run_in_order_and_the_first_that_fails_is_the_last(tmp_path) -> None:
    work = Work()
    assert work.standing == Standing("new", "", "")
    work.start([VERSION, WRONG, Step("third", ("version",))], tmp_path / "new")
    wait(lambda: not work.is_running)
    standing = work.standing
    assert (standing.state, standing.step) == ("failed", "second")
    assert "nowhere" in standing.said
    log = (tmp_path / "new" / LOG).read_text()
    assert log.startswith("paddle_ground ")
    assert log.count("paddle_ground ") == 1
    work.start([VERSION], tmp_path / "new")
    wait(lambda: not work.is_running)
    assert work.standing.state == "done"


def test_stopped_as_by_ctrl_c(tmp_path, slow) -> None:
    work = Work()
    work.start([VERSION, VERSION], tmp_path / "here")
    wait(lambda: work.standing.said == "at work")
    with pytest.raises(ConfigError, match="goes on already"):
        work.start([VERSION], tmp_path / "other")
    with pytest.raises(ConfigError, match="another page"):
        Work().start([VERSION], tmp_path / "here")
    work.stop()
    assert (work.standing.state, work.standing.step) == ("stopped", "first")
    assert slow.exists()
    work.stop()  # nothing is left to be stopped


def test_a_page_that_was_killed_leaves_no_second_writer(tmp_path, slow) -> None:
    code = (
        f"import os, sys, time; sys.path.insert(0, {os.getcwd()!r})\n"
        "from paddle_ground.web.work import Step, Work\nfrom pathlib import Path\n"
        f"sys.executable = {sys.executable!r}\nwork = Work()\n"
        f"work.start([Step('first', ())], Path({str(tmp_path / 'here')!r}))\n"
        "while work.standing.said != 'at work': time.sleep(0.05)\n"
        "print(work._child.pid, flush=True)\nos._exit(9)\n"
    )
    real = os.path.realpath("/proc/self/exe")
    killed = subprocess.run([real, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    child = int(killed.stdout)
    try:
        with pytest.raises(ConfigError, match="another page"):
            Work().start([VERSION], tmp_path / "here")
    finally:
        os.killpg(child, signal.SIGKILL)
    again = Work()

    def starts() -> bool:
        try:
            again.start([VERSION], tmp_path / "here")
        except ConfigError:
            return False
        return True

    wait(starts)
    again.stop()


def test_a_folder_that_cannot_be_is_told(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        Work().start([VERSION], tmp_path / "file")

    def refuse() -> None:
        raise ConfigError("no")

    work = Work()
    with pytest.raises(ConfigError, match="no"):
        work.start([VERSION], tmp_path / "here", refuse)
    work.start([VERSION], tmp_path / "here")  # it was let go
    work.stop()


def test_what_a_command_says_is_no_markup_and_names_no_place(tmp_path) -> None:
    said = without(f"paddle-ground: {tmp_path}/a/b.jsonl: <b> in {tmp_path}", tmp_path)
    assert said == f"a/b.jsonl: <b> in {tmp_path.name}"
    html = standing_html(Standing("failed", "eval", said), said, "zh")
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert 'value="3" max="12"' in standing_html(Standing("running", "predict"), "", "en", (3, 12))
