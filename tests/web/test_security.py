"""What the page keeps closed: files, addresses, other names for this machine, and elsewhere in general."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from paddle_ground.cli import main
from paddle_ground.serve.run import Address
from paddle_ground.web.run import _own_names_only


@pytest.fixture
def client(url: str) -> Any:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


def call_ground(client: Any, file: dict[str, Any]) -> dict[str, Any]:
    """Press "Find" as a browser would, with any file that a client may name; gives how it ended."""
    config = client.get("/config").json()
    find = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "ground-find")
    press = next(one for one in config["dependencies"] if [find, "click"] in one["targets"])
    image = {**file, "meta": {"_type": "gradio.FileData"}}
    data = [image, "", [], "en", 0, "en"]
    sent = {
        "data": data,
        "fn_index": press["id"],
        "session_hash": "s",
        "trigger_id": find,
        "event_data": None,
    }
    client.post("/gradio_api/queue/join", json=sent).raise_for_status()
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": "s"}) as response:
        for line in response.iter_lines():
            event = json.loads(line.removeprefix("data: ")) if line else {}
            if event.get("msg") == "process_completed":
                return dict(event)
    raise AssertionError("no end")


def upload(client: Any, name: str, content: bytes) -> httpx.Response:
    response: httpx.Response = client.post("/gradio_api/upload", files={"files": (name, content)})
    return response


def test_an_uploaded_file_is_answered(client, pictures) -> None:
    (path,) = upload(client, "a.png", pictures[0].read_bytes()).json()
    assert call_ground(client, {"path": path})["success"]


@pytest.mark.parametrize("kind", ["path", "address", "file_url"])
def test_only_uploaded_files_are_read(client, pictures, kind) -> None:
    named = {
        "path": str(pictures[0]),
        "address": "https://example.org/a.png",
        "file_url": f"file://{pictures[0]}",
    }[kind]
    ended = call_ground(client, {"path": named})
    assert not ended["success"]
    assert str(pictures[0]) not in json.dumps(ended.get("output", {}).get("data"))
    if kind == "address":
        assert "no addresses" in ended["output"]["error"]


def test_no_file_of_this_machine_is_given_out(client, pictures) -> None:
    for path in (pictures[0], Path("/etc/passwd"), Path(__file__), Path.cwd() / "setup.cfg"):
        assert client.get(f"/gradio_api/file={path}").status_code == 403
    assert client.get("/gradio_api/file=https://example.org/a.png", follow_redirects=False).status_code >= 300
    assert client.get("/gradio_api/proxy=https://example.org/").status_code >= 400


def test_a_file_that_is_too_large_is_refused(client) -> None:
    assert upload(client, "a.png", bytes(500_000)).status_code == 413  # 400,000 may be


def test_the_browser_is_kept_here(client) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy.replace("https:", "http:").lower()
    config = client.get("/config").json()
    assert config["analytics_enabled"] is False
    assert client.get("/v1/models").json()["data"][0]["id"] == "tiny"  # the API beside it


def test_the_command_listens_on_this_machine_only_unless_told(tmp_path, monkeypatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("paddle_ground.web.run.show", lambda *what, **how: shown.append(what[2].host))
    for words in ([], ["--host", "0.0.0.0"]):
        with pytest.raises(SystemExit):
            main(["web", "--no-model", "--data", str(tmp_path), *words])
    assert shown == ["127.0.0.1", "0.0.0.0"]


@pytest.mark.parametrize(
    ("asked", "bound", "host", "status"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1:1", 200), ("127.0.0.1", "127.0.0.1", "localhost:1", 200),
        ("127.0.0.1", "127.0.0.1", "evil.org", 400), ("::1", "::1", "[::1]:1", 200),
        ("::1", "::1", "evil.org", 400), ("127.0.0.2", "127.0.0.2", "evil.org", 400),
        ("127.0.0.2", "127.0.0.2", "127.0.0.2:1", 200), ("My-Box", "127.0.1.1", "my-box:1", 200),
        ("My-Box", "127.0.1.1", "evil.org", 400), ("0.0.0.0", "0.0.0.0", "my-box.example.org", 200),
    ],
)  # fmt: skip
def test_loopback_answers_to_its_own_names(asked, bound, host, status) -> None:
    pytest.importorskip("fastapi", reason="fastapi is not installed (extra `web`)")
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    client = TestClient(_own_names_only(FastAPI(), Address(asked), bound), base_url="http://127.0.0.1")
    assert client.get("/openapi.json", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--no-model"], "nothing to show"),
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["model", "--no-model"], "a model and --no-model"),
    ],
)
def test_nothing_to_show_is_told(words, told, capsys) -> None:
    pytest.importorskip("fastapi", reason="fastapi is not installed (extra `web`)")
    with pytest.raises(SystemExit) as stop:
        main(["web", *words])
    assert stop.value.code == 2
    assert told in capsys.readouterr().err
