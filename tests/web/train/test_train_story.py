"""A training that outlives its page: started, left alone, found again, stopped and gone on with."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from paddle_ground.web.train_runs import process_of, state, stop

pytestmark = pytest.mark.heavy


@contextmanager
def program(place: Any, log: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `paddle-ground web`; gives it with its URL."""
    command = [sys.executable, "-m", "paddle_ground", "web", "--no-model", "--port", "0"]
    command += ["--runs", str(place.runs), "--configs", str(place.configs), "--data", str(place.data)]
    with log.open("a") as errors:
        web = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
    try:
        assert web.stdout is not None
        told = re.fullmatch(r"open (http://127\.0\.0\.1:\d+/)\n", web.stdout.readline())
        assert told, log.read_text()
        yield web, told[1]
    finally:
        web.kill()
        web.wait()


def wait_for(what: Callable[[], Any], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.1)


def logged(folder: Path) -> list[int]:
    """Give the steps whose loss was logged, as they stand in the file."""
    path = folder / "log.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    whole = [json.loads(line) for line in lines if line.endswith("}")]
    return [line["step"] for line in whole if "loss" in line]


def processes_of(folder: Path) -> list[str]:
    """Name the processes that write below a run folder: the trainer's have it in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            if str(folder).encode() in text and "State:\tZ" not in (process / "status").read_text():
                found.append(process.name)
        except OSError:
            continue
    return found


def opened(browser: Any, url: str, open_tab: Any) -> Any:
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.set_default_timeout(120_000)
    page.goto(url)
    page.wait_for_selector("#language")
    return open_tab(page)


def test_a_training_outlives_its_page(browser, open_tab, place, tmp_path) -> None:
    folder = place.runs / "story"
    try:
        with program(place, tmp_path / "log") as (web, url):
            tab = opened(browser, url, open_tab)
            tab.choose("small.yaml")
            tab.wait_plan("It fits")
            tab.fill("output", "story")
            tab.page.click("#train-start")
            tab.wait_state("running")
            wait_for(lambda: (folder / "checkpoint-5/whole.json").exists() or state(folder) != "running")
            tab.page.wait_for_selector("#train-curves svg.chart")
            web.kill()
            web.wait()
        seen = logged(folder)[-1]
        wait_for(lambda: logged(folder)[-1] > seen + 2 or state(folder) != "running")
        assert state(folder) == "running"
        with program(place, tmp_path / "log") as (web, url):
            tab = opened(browser, url, open_tab)
            assert "/ 1,000" in tab.wait_state("running")  # nobody chose it
            assert tab.value("run") == "story"
            tab.page.click("#train-stop")
            tab.wait_state("stopped")
            wait_for(lambda: not processes_of(folder), 30)
            last = logged(folder)[-1]
            tab.page.click("#train-resume")
            tab.wait_state("running")
            wait_for(
                lambda: (len(logged(folder)) > 0 and logged(folder)[-1] > last) or not process_of(folder)
            )
            assert state(folder) == "running"
            steps = logged(folder)
            assert steps == list(range(1, steps[-1] + 1))  # gone on from a checkpoint; each step once
            assert (
                "resume_from_checkpoint : None"
                not in (folder / "train.log").read_text().rpartition("=====")[2]
            )
            # Ctrl-C of the program does not end it either.
            tab.page.close()
            web.send_signal(signal.SIGINT)
            assert web.wait(timeout=60) == 0
            assert state(folder) == "running"
        stop(folder)
        assert state(folder) == "stopped"
        wait_for(lambda: not processes_of(folder), 30)
    finally:
        pid = process_of(folder)
        if pid is not None:
            subprocess.run(["kill", "-9", str(pid)], check=False)
