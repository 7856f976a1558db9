"""Downloads: from a hub that speaks the real protocol (on this machine), from a folder, and not at all."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from paddle_ground.data.download import download_dataset
from paddle_ground.errors import ConfigError, DownloadError, MissingExtraError

REPO = "someone/scenes"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Hub(BaseHTTPRequestHandler):
    """Enough of the hub's protocol for `snapshot_download`: the file list, and files with their hashes."""

    root: Path

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith(f"/api/datasets/{REPO}/revision/"):
            names = sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file())
            self._send(200, json.dumps(self._info(names)).encode(), {"Content-Type": "application/json"})
        elif path.startswith(f"/api/datasets/{REPO}/tree/"):
            rows = [self._tree_row(p) for p in sorted(self.root.rglob("*")) if p.is_file()]
            self._send(200, json.dumps(rows).encode(), {"Content-Type": "application/json"})
        elif path.startswith(f"/datasets/{REPO}/resolve/{COMMIT}/"):
            data = (self.root / path.split(COMMIT + "/")[1]).read_bytes()
            etag = hashlib.sha256(data).hexdigest()
            self._send(200, data, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
        else:
            error = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            self._send(404, b"", error)

    def _info(self, names: list[str]) -> dict[str, Any]:
        return {
            "id": REPO,
            "sha": COMMIT,
            "private": False,
            "siblings": [{"rfilename": name} for name in names],
        }

    def _tree_row(self, path: Path) -> dict[str, Any]:
        name = str(path.relative_to(self.root))
        return {"type": "file", "oid": COMMIT, "size": path.stat().st_size, "path": name}

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def hub(source_dir: Path) -> Iterator[str]:
    """Address of a hub that offers `source_dir`, and a file that nobody asked for."""
    (source_dir / "README.md").write_text("not needed")
    handler = type("Handler", (_Hub,), {"root": source_dir})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def run_tool(project_root: Path, hub: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # huggingface_hub reads its environment when it is imported: only a new process takes another one.
    settings = {
        "HF_ENDPOINT": hub,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | settings
    environment.pop("DOWNLOAD_SOURCE", None)
    command = [sys.executable, str(project_root / "tools" / "prepare_coco.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)


def test_the_tool_fetches_from_a_hub_once(project_root, hub, tmp_path):
    home, out = tmp_path / "home", tmp_path / "out"
    done = run_tool(project_root, hub, home, "--dataset_repo", REPO, "--output_dir", str(out))
    assert done.returncode == 0, done.stderr
    assert "train: 26 images" in done.stdout
    fetched = {path.name for path in home.rglob("*") if path.is_file() and "snapshots" in path.parts}
    assert len([name for name in fetched if name.endswith(".parquet")]) == 4
    assert "README.md" not in fetched
    assert json.loads((out / "train.meta.json").read_text())["source"] == REPO
    # The hub is gone: what was fetched is found again.
    again = run_tool(
        project_root, "http://127.0.0.1:9", home, "--dataset_repo", REPO, "--output_dir", str(out)
    )
    assert again.returncode == 0, again.stderr
    assert "already there" in again.stdout


@pytest.mark.parametrize("repo", [REPO, "someone/nothing"])
def test_what_can_not_be_fetched_is_said_in_one_line_with_the_way_out(project_root, hub, tmp_path, repo):
    address = hub if repo == "someone/nothing" else "http://127.0.0.1:9"
    out = tmp_path / "out"
    done = run_tool(
        project_root, address, tmp_path / "home", "--dataset-repo", repo, "--output-dir", str(out)
    )
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"paddle-ground: {repo}: cannot fetch it from the Hugging Face hub (")
    assert f"hf download --repo-type dataset {repo} --include '*.parquet' --local-dir DIR" in line
    assert line.endswith("then pass --source DIR")
    assert not out.exists()


def test_a_folder_is_taken_as_it_is(tmp_path):
    assert download_dataset(str(tmp_path)) == tmp_path


def test_what_is_no_repository_is_said_without_asking_anybody():
    with pytest.raises(DownloadError, match="a/b/c: neither a folder here nor a repository's name"):
        download_dataset("a/b/c")


def test_an_unknown_hub_is_named(monkeypatch):
    monkeypatch.setenv("DOWNLOAD_SOURCE", "gopher")
    with pytest.raises(
        ConfigError, match="DOWNLOAD_SOURCE is 'gopher'; it must be huggingface or modelscope"
    ):
        download_dataset(REPO)


def test_modelscope_is_asked_when_told(tmp_path, monkeypatch):
    asked = []

    def snapshot(repo: str, **options: Any) -> str:
        asked.append((repo, options))
        return str(tmp_path)

    module = ModuleType("modelscope")
    module.dataset_snapshot_download = snapshot
    monkeypatch.setitem(sys.modules, "modelscope", module)
    monkeypatch.setenv("DOWNLOAD_SOURCE", "ModelScope")
    assert download_dataset(REPO) == tmp_path
    assert asked == [(REPO, {"allow_patterns": ["*.parquet"]})]

    def unreachable(repo: str, **options: Any) -> str:
        raise ConnectionError("no route\nto host")

    module.dataset_snapshot_download = unreachable
    with pytest.raises(
        DownloadError, match=r"from ModelScope \(ConnectionError: no route\); .*`modelscope download"
    ):
        download_dataset(REPO)


def test_modelscope_missing_is_said_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "modelscope", None)
    monkeypatch.setenv("DOWNLOAD_SOURCE", "modelscope")
    with pytest.raises(MissingExtraError, match=r"pip install 'paddle_ground\[modelscope\]'"):
        download_dataset(REPO)


@pytest.mark.parametrize(("tool", "hub"), [("hf", "huggingface"), ("modelscope", "modelscope")])
def test_the_commands_that_we_recommend_exist(tool, hub, monkeypatch):
    pytest.importorskip("modelscope" if tool == "modelscope" else "huggingface_hub")
    monkeypatch.setattr("huggingface_hub.snapshot_download", _refuse)
    if tool == "modelscope":
        monkeypatch.setattr("modelscope.dataset_snapshot_download", _refuse)
    monkeypatch.setenv("DOWNLOAD_SOURCE", hub)
    with pytest.raises(DownloadError) as caught:
        download_dataset(REPO)
    words = str(caught.value).split("`")[1].split()
    assert words[0] == tool
    program = Path(sys.executable).parent / tool
    page = subprocess.run(
        [program, "download", "--help"], capture_output=True, text=True, check=True, timeout=100
    )
    assert [word for word in words if word.startswith("--") and word not in page.stdout] == []


def _refuse(*arguments: Any, **options: Any) -> str:
    raise ConnectionError("no network")
