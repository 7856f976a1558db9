"""A teacher that runs beside the test and says what it is told to."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    image: bytes
    prompt: str
    body: dict[str, Any]
    headers: dict[str, str]
    path: str

    @property
    def size_wh(self) -> tuple[int, int]:
        with Image.open(io.BytesIO(self.image)) as image:
            return image.size

    @property
    def shade(self) -> int:
        """Tell which of the images of `make_images` it is."""
        with Image.open(io.BytesIO(self.image)) as image:
            return round(image.convert("RGB").getpixel((0, 0))[0] / 10)


@dataclass(frozen=True)
class Raw:
    """An answer on the level of HTTP."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


Script = Callable[[Asked], "str | dict[str, Any] | Raw"]


class Teacher:
    """The server; `asked` lists what it was asked, `raw` makes answers on the level of HTTP."""

    raw = Raw

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.script: Script = lambda asked: "[]"
        self._lock = threading.Lock()
        teacher = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # Else each answer waits for 40 ms.

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                content = {part["type"]: part for part in body["messages"][0]["content"]}
                url = content["image_url"]["image_url"]["url"]
                image = base64.b64decode(url.partition("base64,")[2])
                asked = Asked(image, content["text"]["text"], body, dict(self.headers), self.path)
                with teacher._lock:
                    teacher.asked.append(asked)
                said = teacher.script(asked)
                if isinstance(said, str):
                    said = {"message": {"content": said}, "finish_reason": "stop"}
                if isinstance(said, dict):
                    said = Raw(body=json.dumps({"model": "told", "choices": [said]}).encode())
                time.sleep(said.seconds)
                try:
                    self.send_response(said.status)
                    for name, value in said.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(said.body)))
                    self.end_headers()
                    self.wfile.write(said.body)
                except OSError:
                    pass  # Nobody waits any more.

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def teacher() -> Iterator[Teacher]:
    """Local server that speaks the protocol; set its `script`."""
    found = Teacher()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@pytest.fixture
def make_images(tmp_path) -> Callable[..., Path]:
    """Function that writes so many images, 0.png, inner/1.png, 2.png ..., each of its own shade."""

    def make(count: int, size_wh: tuple[int, int] = (200, 100)) -> Path:
        root = tmp_path / "photos"
        for number in range(count):
            path = root / ("inner" if number % 2 else "") / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size_wh, (number * 10, 40, 90)).save(path)
        return root

    return make


@pytest.fixture
def said() -> Callable[..., str]:
    """Function that words boxes as a teacher does."""

    def word(*boxes: tuple[str, int, int, int, int]) -> str:
        return json.dumps([{"bbox_2d": box[1:], "label": box[0]} for box in boxes])

    return word
