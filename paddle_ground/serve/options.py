"""What a server allows: names, keys, limits and places that images may come from.

Takes what the command line says; gives one frozen object. Knows no web framework.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from paddle_ground.errors import ConfigError

MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may be at most.

    Attributes:
        body_bytes: Of its body.
        image_bytes: Of an image file.
        pixels: Of all of its images together, counted before any is decoded.
        images: How many there may be.
        seconds: Until the whole answer is there, the wait in the queue included.
    """

    body_bytes: int = 32 * MEGABYTE
    image_bytes: int = 16 * MEGABYTE
    pixels: int = 40_000_000
    images: int = 16
    seconds: float = 300.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("body_bytes", "image_bytes", "pixels", "images", "seconds"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"the limit {name} is {getattr(self, name)}; it must be above 0")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a model is served.

    Attributes:
        model_name: What clients call it.
        api_key: What they must show; none for anyone who can connect.
        url_hosts: Hosts from which images are fetched: "example.org", "*.example.org", "example.org:8080".
        local_dir: Folder whose images may be named by path; none for no file of this machine.
        limits: What a request may be at most.
    """

    model_name: str
    api_key: str | None = None
    url_hosts: tuple[str, ...] = ()
    local_dir: Path | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Check what would open more than was meant, or nothing at all."""
        if not self.model_name.strip():
            raise ConfigError("the model's name is blank; choose one with --model-name")
        if self.api_key is not None and not (self.api_key.strip() and self.api_key.isascii()):
            raise ConfigError("the API key is blank or not plain ASCII; choose another one, or leave it out")
        if self.local_dir is not None and not self.local_dir.is_dir():
            raise ConfigError(f"--allow-local {self.local_dir}: no such folder")
