"""Images that a request brings or names: found where that is allowed, and measured before they are decoded.

Takes URLs; gives the bytes of whole files. `data:` URLs always, `http(s):` from allowed hosts
(`paddle_ground.serve.fetch`), files under one folder. Only headers are read here; decoding is the worker's.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

from PIL import Image

from paddle_ground.serve.asking import IMAGE_FORMATS
from paddle_ground.serve.fetch import Fetcher
from paddle_ground.serve.options import MEGABYTE, Limits, ServeOptions
from paddle_ground.serve.refusals import BadRequestError, ForbiddenError, TooLargeError

_DATA_URL = re.compile(r"data:image/[\w.+-]{1,40}(?:;[\w.+-]+=[\w.+-]*)*;base64,", re.ASCII | re.IGNORECASE)


class ImageDoor:
    """Lets images in.

    Args:
        options: What is allowed.
        fetcher: Fetches them from hosts; none for what the options say.
    """

    def __init__(self, options: ServeOptions, fetcher: Fetcher | None = None) -> None:
        self._limits = options.limits
        self._local = options.local_dir.resolve() if options.local_dir else None
        self._fetcher = fetcher or Fetcher(options.url_hosts, options.limits.image_bytes)

    async def take(self, urls: list[str]) -> tuple[bytes, ...]:
        """Get a request's images.

        Args:
            urls: `data:` URLs, `http(s):` URLs, `file:` URLs or paths.

        Raises:
            TooLargeError: Too many, too many bytes, or too many pixels.
            ForbiddenError: A place from which no images are taken.
            BadRequestError: No image, or in no known format.
        """
        if len(urls) > self._limits.images:
            raise TooLargeError(
                f"{len(urls)} images in one request; at most {self._limits.images} may be", "messages"
            )
        files: list[bytes] = []
        pixels = 0
        for number, url in enumerate(urls, start=1):
            file = await self._one(url, number)
            if len(file) > self._limits.image_bytes:
                raise _too_many_bytes(number, self._limits)
            width, height = _size(file, number)
            pixels += width * height
            if pixels > self._limits.pixels:
                raise TooLargeError(
                    f"image {number} brings the pixels of this request to {pixels}; "
                    f"at most {self._limits.pixels} may be; send it smaller"
                )
            files.append(file)
        return tuple(files)

    async def _one(self, url: str, number: int) -> bytes:
        scheme = url[:16].split(":", 1)[0].lower() if ":" in url[:16] else ""
        if scheme == "data":
            return self._data(url, number)
        if scheme in ("http", "https"):
            return await self._fetcher.fetch(url, number)
        if scheme in ("", "file"):
            return self._file(url, number)
        raise BadRequestError(f"image {number}: its URL begins with none of data:, http:, https: and file:")

    def _data(self, url: str, number: int) -> bytes:
        head = _DATA_URL.match(url)
        if head is None:
            raise BadRequestError(f"image {number}: expected data:image/<type>;base64,<data>")
        if (len(url) - head.end()) * 3 // 4 > self._limits.image_bytes + 3:
            raise _too_many_bytes(number, self._limits)
        try:
            return base64.b64decode(url[head.end() :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequestError(f"image {number}: its data is not base64") from error

    def _file(self, url: str, number: int) -> bytes:
        # The same words whether or not there is such a file: what lies on this machine is nobody's business.
        refused = ForbiddenError(f"image {number}: no file of this server may be read by that name")
        if self._local is None:
            raise refused
        try:
            name = url
            if url[:5].lower() == "file:":
                parts = urlsplit(url)
                if parts.netloc not in ("", "localhost"):
                    raise refused
                name = unquote(parts.path)
            path = (self._local / name).resolve()
            if not path.is_relative_to(self._local):
                raise refused
            return _read(path, number, self._limits)
        except (OSError, ValueError) as error:
            raise refused from error


def _read(path: Path, number: int, limits: Limits) -> bytes:
    # All links were resolved; one that was put there since is not followed, and a pipe is not waited for.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a file")
        if status.st_size > limits.image_bytes:
            raise _too_many_bytes(number, limits)
        return stream.read(limits.image_bytes + 1)


def _size(file: bytes, number: int) -> tuple[int, int]:
    """Read width and height from an image's header."""
    try:
        with Image.open(BytesIO(file), formats=IMAGE_FORMATS) as image:
            width, height = image.size
            return int(width), int(height)
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"image {number} has far too many pixels; send it smaller") from error
    except Exception as error:  # PIL's readers raise nearly everything at one input or another
        formats = ", ".join(IMAGE_FORMATS)
        raise BadRequestError(f"image {number}: no image that can be read; known are {formats}") from error


def _too_many_bytes(number: int, limits: Limits) -> TooLargeError:
    return TooLargeError(
        f"image {number} has more than {limits.image_bytes / MEGABYTE:g} MB; send it smaller"
    )
