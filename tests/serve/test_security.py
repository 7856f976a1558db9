"""What a stranger may try at the door: each of it is refused, in one line, before anything is decoded."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from paddle_ground.errors import ConfigError, ModelError
from paddle_ground.infer import Engine
from paddle_ground.serve import Service, thread_worker
from paddle_ground.serve.app import create_app
from paddle_ground.serve.options import Limits, ServeOptions

Photo = Callable[..., bytes]

# One for all: each new client would read the machine's certificates.
HTTP = httpx.Client(verify=False, trust_env=False, timeout=60)


def ask(url: str, image: str, **more: Any) -> httpx.Response:
    return HTTP.post(url + "/v1/ground", json={"image": image, "phrase": "cup", "max_tokens": 4}, **more)


def data_url(photo: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64," + base64.b64encode(photo).decode()


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    message = answer.json()["error"]["message"]
    assert "\n" not in message
    return str(message)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photo: Photo) -> Path:
    """A folder that may be read, beside one that may not."""
    root = tmp_path_factory.mktemp("pictures")
    for name in ("open/inner", "closed"):
        (root / name).mkdir(parents=True)
        (root / name / "a.png").write_bytes(photo())
    (root / "open" / "a.png").write_bytes(photo())
    (root / "open" / "out.png").symlink_to(root / "closed" / "a.png")
    (root / "open" / "in.png").symlink_to(root / "open" / "inner" / "a.png")
    (root / "open" / "way").symlink_to(root / "closed")
    (root / "open" / "passwd.png").symlink_to("/etc/passwd")
    os.mkfifo(root / "open" / "pipe.png")
    return root


@pytest.fixture(scope="module")
def small(service: Service, folder: Path, listen: Any) -> Iterator[str]:
    """A server with a key as it may be read from a file, low limits and a folder of its own."""
    limits = Limits(body_bytes=60_000, image_bytes=30_000, pixels=100 * 100, images=2)
    options = ServeOptions("tiny", "s3cret\n", local_dir=folder / "open", limits=limits)
    with listen(create_app(service, options)) as url:
        yield url


KEY = {"headers": {"Authorization": "Bearer s3cret"}}


def test_without_the_key_only_health_is_told(small: str, photo: Photo) -> None:
    assert HTTP.get(small + "/health").status_code == 200
    wrong = ["Bearer", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret", "Bearer \xe9"]
    for header in [{}, *({"Authorization": value.encode("latin-1")} for value in wrong)]:
        for path in ("/v1/models", "/metrics", "/openapi.json", "/nothing"):
            answer = HTTP.get(small + path, headers=header)  # type: ignore[arg-type]
            assert "API key" in refused(answer, 401)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "API key" in refused(ask(small, data_url(photo(8, 8)), headers=header), 401)
    assert HTTP.get(small + "/v1/models", **KEY).status_code == 200  # type: ignore[arg-type]
    assert ask(small, data_url(photo(40, 40)), **KEY).status_code == 200


def test_keys_are_compared_in_constant_time() -> None:
    """Timing can't be tested on a busy machine; that the standard library's function is used, can."""
    import inspect

    from paddle_ground.serve import gate

    assert "hmac.compare_digest(_digest(" in inspect.getsource(gate.Gate)
    assert gate._digest("a") != gate._digest("b")


def test_a_body_is_refused_by_its_declared_length_before_it_is_sent(small: str) -> None:
    parts = urlsplit(small)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as line:
        line.sendall(
            b"POST /v1/ground HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret\r\n"
            b"Content-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"
        )
        assert line.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_body_without_a_length_is_cut_where_it_is_too_long(small: str) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 10_000
            yield b"x" * 10_000

    try:
        answer = HTTP.post(small + "/v1/ground", content=chunks(), **KEY)  # type: ignore[arg-type]
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        pass  # the server hung up while we were talking
    else:
        assert "MB" in refused(answer, 413)
    assert sent < 50_000_000


def test_image_bytes_are_limited_before_they_are_decoded(small: str, photo: Photo) -> None:
    assert "image 1 has more than" in refused(ask(small, data_url(photo(110, 95)), **KEY), 413)


def bomb(side: int) -> bytes:
    """A PNG whose header promises side x side pixels; there is no end to what its data would unpack to."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(9999)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [101, 20_000, 2**31 - 1])
def test_pixels_are_counted_before_they_are_decoded(
    small: str, side: int, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = service.counts.answers + service.open_jobs
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    refused(ask(small, data_url(bomb(side)), **KEY), 413)
    assert service.counts.answers + service.open_jobs == taken


def test_the_pixels_of_all_images_of_a_request_count(small: str, photo: Photo) -> None:
    file = io.BytesIO()
    Image.new("RGB", (75, 75), "red").save(file, "PNG")
    part = {"type": "image_url", "image_url": {"url": data_url(file.getvalue())}}

    def post(parts: int) -> httpx.Response:
        body = {"model": "tiny", "max_tokens": 2, "messages": [{"role": "user", "content": [part] * parts}]}
        return HTTP.post(small + "/v1/chat/completions", json=body, **KEY)  # type: ignore[arg-type]

    assert post(1).status_code == 200
    assert "image 2 brings the pixels" in refused(post(2), 413)
    assert "3 images" in refused(post(3), 413)


def test_only_known_formats_are_opened(small: str, photo: Photo) -> None:
    """PIL knows dozens, among them EPS, which runs Ghostscript."""
    file = io.BytesIO()
    Image.new("RGB", (20, 20)).save(file, "EPS")
    assert "known are JPEG, PNG" in refused(ask(small, data_url(file.getvalue()), **KEY), 400)
    file = io.BytesIO()
    Image.new("RGB", (20, 20)).save(file, "TIFF")
    assert "known are JPEG, PNG" in refused(ask(small, data_url(file.getvalue(), "tiff"), **KEY), 400)
    for fmt in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        assert ask(small, data_url(photo(40, 40, fmt=fmt)), **KEY).status_code == 200, fmt


@pytest.mark.parametrize(
    "url",
    ["data:text/html;base64,AAAA", "data:image/png,AAAA", "data:image/png;base64,A*A=", "data:",
     "javascript:1", "gopher://x/", "data:image/png;base64,", "\x00", "http:", "https://", "http://[", "http://x:99999/"],
)  # fmt: skip
def test_odd_urls_are_refused(small: str, url: str) -> None:
    answer = ask(small, url, **KEY)
    assert answer.status_code in (400, 403), answer.text


def test_files_under_the_allowed_folder_are_read(small: str, folder: Path) -> None:
    file = folder / "open" / "a.png"
    for name in ("a.png", "inner/a.png", "in.png", "inner/../a.png", str(file), file.as_uri(),
                 f"file://localhost{file}"):  # fmt: skip
        answer = ask(small, name, **KEY)
        assert answer.status_code == 200, (name, answer.text)
        assert answer.json()["size_wh"] == [96, 64]


def test_no_other_file_is_and_nothing_tells_whether_it_is_there(small: str, folder: Path, url: str) -> None:
    closed = folder / "closed" / "a.png"
    tries = [
        *("../closed/a.png", str(closed), closed.as_uri(), "out.png", "way/a.png", "passwd.png"),
        *("/etc/passwd", "file:///etc/passwd", "file:///%2e%2e/%2e%2e/etc/passwd", "file://otherhost/a.png"),
        *(
            "missing.png",
            "/nowhere.png",
            "pipe.png",
            "inner",
            ".",
            "",
            "a" * 5000,
            "a.png\x00.png",
            "~/a.png",
        ),
    ]
    messages = {refused(ask(small, name, **KEY), 403) for name in tries}
    assert len(messages) == 1
    # And none at all where no folder is allowed.
    messages |= {refused(ask(url, name), 403) for name in [*tries, "a.png", str(folder / "open/a.png")]}
    assert len(messages) == 1
    (message,) = messages
    assert not any(part in message for part in ("/", "passwd", folder.name))


def test_no_host_is_asked_where_none_is_allowed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> Any:
        pytest.fail("somebody was asked")

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", never)
    for place in (
        "http://127.0.0.1/a.png",
        "https://example.org/a.png",
        "http://169.254.169.254/latest/meta-data",
    ):
        assert "fetches no images from that host" in refused(ask(url, place), 403)


def test_an_error_of_ours_tells_nothing(engine: Engine, photo: Photo, listen: Any, monkeypatch: Any) -> None:
    service = Service(thread_worker(engine, batch=1), batch=1)
    service.open()

    def broken(*_: Any) -> Any:
        raise RuntimeError("the secret is in /home/me/secret.txt")

    with listen(create_app(service, ServeOptions("tiny"))) as url:
        monkeypatch.setattr("paddle_ground.serve.loop.ask", broken)
        assert "secret" not in refused(ask(url, data_url(photo())), 500)
        monkeypatch.setattr("paddle_ground.serve.images.ImageDoor._one", broken)
        assert "secret" not in refused(ask(url, data_url(photo())), 500)
    service.close()


@pytest.fixture
def endless(engine: Engine) -> Iterator[Service]:
    """One answer at a time, one may wait, and none ends by itself."""
    engine = Engine(replace(engine.loaded, end_token_ids=frozenset()), engine.grounding)
    service = Service(thread_worker(engine, batch=1), batch=1, max_queue=1)
    service.open()
    yield service
    service.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start_long(url: str, photo: bytes, **more: Any) -> http.client.HTTPConnection:
    """Ask for an endless answer and don't wait for it."""
    turn = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": data_url(photo)}}]}
    body = {"model": "tiny", "messages": [turn], "max_tokens": 3000, **more}
    line = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    line.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    return line


def test_a_full_queue_is_told_with_the_time_to_come_back(endless: Service, photo: Photo, listen: Any) -> None:
    with listen(create_app(endless, ServeOptions("tiny"))) as url:
        lines = [start_long(url, photo()) for _ in range(2)]
        until(lambda: endless.open_jobs == 2)
        answer = ask(url, data_url(photo()))
        assert "ask again later" in refused(answer, 429)
        assert int(answer.headers["Retry-After"]) >= 1
        # Somebody who leaves makes room.
        for line in lines:
            line.close()
        until(lambda: endless.open_jobs == 0)
        assert ask(url, data_url(photo())).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_row(
    endless: Service, photo: Photo, listen: Any, stream: bool
) -> None:
    with listen(create_app(endless, ServeOptions("tiny"))) as url:
        line = start_long(url, photo(), stream=stream)
        until(lambda: endless.open_jobs == 1)
        if stream:
            assert line.getresponse().read(5) == b"data:"
        line.sock.shutdown(socket.SHUT_RDWR)
        line.close()
        until(lambda: endless.open_jobs == 0)
        assert ask(url, data_url(photo())).status_code == 200
        # A stream that had begun was answered; else nothing was wrong with what was asked.
        counted = f'path="/v1/chat/completions",status="{200 if stream else 499}"'
        until(lambda: counted in HTTP.get(url + "/metrics").text)


def test_a_client_that_leaves_the_queue_is_not_waited_for(
    endless: Service, photo: Photo, listen: Any
) -> None:
    with listen(create_app(endless, ServeOptions("tiny"))) as url:
        first = start_long(url, photo())
        until(lambda: endless.open_jobs == 1)
        second = start_long(url, photo(), stream=True)  # has no answer yet, so no response either
        until(lambda: endless.open_jobs == 2)
        second.close()
        until(lambda: endless.open_jobs == 1)
        first.close()
        until(lambda: endless.open_jobs == 0)


def test_an_answer_that_takes_too_long_is_let_go(endless: Service, photo: Photo, listen: Any) -> None:
    with listen(create_app(endless, ServeOptions("tiny", limits=Limits(seconds=0.4)))) as url:
        answer = start_long(url, photo()).getresponse()
        assert answer.status == 504
        assert json.loads(answer.read())["error"]["code"] == "timeout"
        until(lambda: endless.open_jobs == 0)
        stream = start_long(url, photo(), stream=True).getresponse()
        lines = stream.read().decode().strip().split("\n\n")
        assert json.loads(lines[-1].removeprefix("data: "))["error"]["code"] == "timeout"
        until(lambda: endless.open_jobs == 0)


def test_a_body_that_never_ends_is_not_waited_for(endless: Service, listen: Any) -> None:
    with listen(create_app(endless, ServeOptions("tiny", limits=Limits(seconds=0.3)))) as url:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port), timeout=20) as line:
            line.sendall(b"POST /v1/ground HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
            assert line.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_only_safetensors_are_loaded(model_dir: Path, tmp_path: Path) -> None:
    """A pickle runs code when it is opened: CVE-2025-53002 was a server that opened one."""
    from paddle_ground.serve import process_worker

    fake = tmp_path / "model"
    fake.mkdir()
    for file in model_dir.iterdir():
        if file.suffix != ".safetensors":
            (fake / file.name).symlink_to(file)
    for name in ("pytorch_model.bin", "model_state.pdparams", "flex-ckpt.auto_generated.metadata"):
        (fake / name).write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(ModelError):
        Service(process_worker(fake, batch=1)).open(120)
    assert not (tmp_path / "ran").exists()


def test_it_listens_on_this_machine_only_unless_told() -> None:
    from paddle_ground.serve.run import Address, listen

    assert Address().host == "127.0.0.1"
    with listen(Address(port=0)) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        with (
            pytest.raises(ConfigError, match="cannot listen at"),
            listen(Address(port=listener.getsockname()[1])),
        ):
            pass


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"api_key": ""}, "API key"), ({"api_key": "schlüssel"}, "ASCII"), ({"model_name": " "}, "name"),
     ({"local_dir": Path("nowhere")}, "no such folder")],
)  # fmt: skip
def test_options_that_would_do_something_else_than_meant(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ServeOptions(**{"model_name": "tiny", **wrong})
