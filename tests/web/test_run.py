"""The command as a process: it opens, says where, and ends in order."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import httpx
import pytest

from paddle_ground.web.words import _TEXTS, text


def test_the_page_about_data_starts_and_stops(data_root, tmp_path) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed (extra `web`)")
    command = [sys.executable, "-m", "paddle_ground", "web", "--no-model", "--data", str(data_root)]
    command += ["--port", "0"]
    log = tmp_path / "log"
    with log.open("w") as errors:
        # Away from the terminal's group: the signal is for the program alone.
        program = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
    try:
        assert program.stdout is not None
        told = re.fullmatch(r"open (http://127\.0\.0\.1:\d+/)\n", program.stdout.readline())
        assert told, log.read_text()
        with httpx.Client(base_url=told[1], timeout=60, trust_env=False) as client:
            labels = {part["props"].get("label") for part in client.get("config").json()["components"]}
            assert client.get("", headers={"Host": "evil.org"}).status_code == 400
        assert text("data") in labels
        assert text("ground") not in labels  # there is no model
        program.send_signal(signal.SIGINT)
        assert program.wait(timeout=60) == 0
        assert "Traceback" not in log.read_text()
    finally:
        program.kill()
        program.wait()


@pytest.mark.heavy  # it loads the small model
def test_without_a_model_the_small_one_answers_and_it_is_said(tmp_path) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed (extra `web`)")
    command = [sys.executable, "-m", "paddle_ground", "web", "--port", "0"]
    program = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True
    )
    try:
        assert program.stdout is not None
        assert "the small one in data/tiny-qwen3-vl answers" in program.stdout.readline()
        told = re.fullmatch(r"open (http://127\.0\.0\.1:\d+/)\n", program.stdout.readline())
        assert told
        models = httpx.get(f"{told[1]}v1/models", timeout=60, trust_env=False).json()["data"]
        assert [one["id"] for one in models] == ["tiny-qwen3-vl"]
        program.send_signal(signal.SIGINT)
        assert program.wait(timeout=60) == 0
    finally:
        program.kill()
        program.wait()


def test_everything_is_said_in_both_languages() -> None:
    for key, (english, chinese) in _TEXTS.items():
        assert english.strip(), key
        assert re.search(r"[\u4e00-\u9fff]", chinese), key
        assert english.count(",") == chinese.count(",") or not key.endswith("_headers")
        assert (text(key), text(key, "zh")) == (english, chinese)
