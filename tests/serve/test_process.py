"""The real thing: `paddle-ground serve` as a process, from its first line to its exit code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from paddle_ground.cli import main

Photo = Callable[..., bytes]


def test_it_starts_answers_mends_itself_and_ends_in_order(model_dir: Path, photo: Photo) -> None:
    import base64

    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PADDLE_GROUND_API_KEY": "s3cret"}
    command = [sys.executable, "-m", "paddle_ground", "serve", str(model_dir), "--port", "0", "--batch", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            found = re.fullmatch(r"serving model at (http://127\.0\.0\.1:\d+)/v1\n", line)
            assert found, line
            url = found.group(1)
            client = openai.OpenAI(base_url=url + "/v1", api_key="s3cret", max_retries=0)
            image = "data:image/png;base64," + base64.b64encode(photo()).decode()
            turns: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": image}}]}]

            def ask(tokens: int) -> Any:
                return client.chat.completions.create(
                    model="model", messages=turns, max_tokens=tokens, temperature=1.0, seed=3
                )

            first = ask(30).choices[0].message.content
            # The engine is a process of its own; when it is killed, another one gives the same answer.
            (engine,) = psutil.Process(child.pid).children()
            engine.kill()
            assert ask(30).choices[0].message.content == first
            (again,) = psutil.Process(child.pid).children()
            assert again.pid != engine.pid
            # Told to stop, it finishes what runs.
            answers: list[Any] = []
            asking = threading.Thread(target=lambda: answers.append(ask(400)))
            asking.start()
            while "paddle_ground_running 1.0" not in metrics(url):
                assert asking.is_alive() or answers
                if answers:
                    break
                time.sleep(0.02)
            child.send_signal(signal.SIGTERM)
            asking.join(timeout=60)
            assert answers[0].choices[0].finish_reason in ("length", "stop")
            assert child.wait(timeout=60) == 0
            assert not psutil.pid_exists(again.pid)
        finally:
            child.kill()


def metrics(url: str) -> str:
    return httpx.get(url + "/metrics", headers={"Authorization": "Bearer s3cret"}).text


def test_a_wrong_flag_or_model_is_one_line(tmp_path: Path, capsys: Any) -> None:
    for words, message in (
        (["--allow-local", str(tmp_path / "none")], "no such folder"),
        (["--host", "not an address"], "cannot listen at"),
        ([], "config.json"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["serve", str(tmp_path), "--port", "0", *words])
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(("words", "folder"), [([], "small"), (["other"], "other")])
def test_without_a_model_the_small_one_is_served_and_it_is_said(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], folder: str
) -> None:
    small = tmp_path / "data" / "small"
    small.mkdir(parents=True)
    (small / "config.json").touch()
    monkeypatch.setattr("paddle_ground.infer.shipped.DEFAULT_MODEL", small)
    served: list[Any] = []
    monkeypatch.setattr("paddle_ground.serve.run.serve", lambda *what, **how: served.append(what))
    with pytest.raises(SystemExit) as end:
        main(["serve", *words])
    assert end.value.code == 0
    ((model, options, address),) = served
    assert address.host == "127.0.0.1"
    assert (model.name, options.model_name) == (folder, folder)
    said = capsys.readouterr().out
    assert said.count("\n") == (not words)
    assert ("the small one in data/small answers" in said) == (not words)


def test_the_flags_that_the_documentation_names_are_there(project_root: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    shown = capsys.readouterr().out
    named = set(
        re.findall(r"`(--[a-z-]+)", (project_root / "docs" / "serving.md").read_text(encoding="utf-8"))
    )
    assert len(named) > 5
    assert {flag for flag in named if flag not in shown} == set()


@pytest.mark.parametrize("page", ["docs/serving.md", "README.md"])
def test_the_documented_curl_finds_things(
    url: str, photo: Photo, project_root: Path, tmp_path: Path, page: str
) -> None:
    """The command as a shell runs it."""
    import json
    import shutil

    if shutil.which("curl") is None:
        pytest.skip("no curl")
    text = (project_root / page).read_text(encoding="utf-8")
    (command,) = re.findall(r"```(?:bash|sh)\n(echo [^`]*?curl [^`]*?)\n```", text)
    (tmp_path / "street.jpg").write_bytes(photo(fmt="JPEG"))
    done = subprocess.run(
        ["bash", "-c", command.replace("http://127.0.0.1:8000", url)],
        cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert (found["object"], found["size_wh"]) == ("grounding", [96, 64])
