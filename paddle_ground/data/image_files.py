"""Image files of a source: read and held against what their rows say, and written as they are.

Takes rows and bytes, gives bytes with their headers. Knows neither samples nor where files go.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from paddle_ground.data.expand import ImageBytes
from paddle_ground.data.headers import ImageHeader, read_header
from paddle_ground.data.source import SourceRow
from paddle_ground.errors import DataError
from paddle_ground.files import unwritable


class BadImageError(DataError):
    """An image that is missing, broken, or not as its row says."""


def checked_image(row: SourceRow) -> tuple[ImageBytes, ImageHeader]:
    """Read a row's image and its header.

    Raises:
        BadImageError: It is missing, no image, or of another size than the row says.
    """
    data, header = checked_bytes(row.where, row.read_image)
    if row.size_wh is not None and header.size_wh != row.size_wh:
        real, said = (f"{width} x {height}" for width, height in (header.size_wh, row.size_wh))
        # Cameras store a picture as it falls on the chip, and annotation tools show it as it was held.
        remedy = "turn its pixels if its EXIF data does, or " if header.size_wh == row.size_wh[::-1] else ""
        raise BadImageError(
            f"{row.where}: the image is {real} pixels but the row says {said}, so its boxes may be wrong; "
            f"{remedy}mend the row, or pass --bad-images skip"
        )
    return data, header


def checked_bytes(where: str, read: Callable[[], ImageBytes]) -> tuple[ImageBytes, ImageHeader]:
    """Read an image and its header.

    Args:
        where: `file:row`, for messages.
        read: Gives the whole file.

    Raises:
        BadImageError: It is missing, or no image.
    """
    try:
        data = read()
    except DataError as error:
        raise BadImageError(str(error)) from error
    try:
        return data, read_header(data)
    except DataError as error:
        raise BadImageError(f"{where}: {error}; replace it, or pass --bad-images skip") from error


def write_image(path: str | Path, data: ImageBytes) -> None:
    """Write an image file; in three system calls, since there are very many.

    Raises:
        UnwritableError: It can't be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            # A disk that is getting full takes a part, and refuses the rest.
            written = os.write(handle, data)
            while written < len(data):
                written += os.write(handle, memoryview(data)[written:])
        finally:
            os.close(handle)
    except OSError as error:
        raise unwritable(path, error) from error
