"""One annotated image -> none, one or several: the seam between readers and tiling or augmentation.

An expander stands between `Source.read` and `convert_row`. It takes a row with the bytes of its image
and gives variants, each a row of its own whose boxes lie in its own image. The untouched image is one
of them where it is kept. Here are the seam and the expander that does nothing; `augment.expander` makes
the ones that cut, turn and paint from their options. Knows no file format and no output.

What comes out depends on the options, the seed, and the rows that came before in the same chunk. It
does not depend on the number of workers or on the order of the chunks.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from paddle_ground.data.source import SourceRow

ImageBytes = bytes | memoryview

_PARTS, _PART_BYTES = 4, 2048  # Of a large image: some thousands of bytes tell photographs apart.


@dataclass(frozen=True, slots=True)
class Variant:
    """One image that a row became.

    Attributes:
        row: Its annotation, in the pixels of its own image. `where` still names the source's row, with
            the suffix behind it; boxes that can't be part of an answer (cut too small) are crowd boxes.
        data: Its image file, whole; JPEG or PNG where pixels were changed.
        suffix: What goes behind the stem of the image's file name: "" for the untouched image, else
            of letters, digits and "_", and unique among a row's variants.
        part: Which consecutive part of the training file it belongs to, from 0 on; above 0 only under
            a curriculum, whose parts are trained one after the other.
        sources: `content_key` of each source image that can be seen in it. An image of train must show
            no image of val, under whatever name.
    """

    row: SourceRow
    data: ImageBytes
    suffix: str
    part: int = 0
    sources: tuple[str, ...] = ()


class Expander(Protocol):
    """Turns rows into variants."""

    def fresh(self) -> Expander:
        """Give one of the same kind that has seen no row yet: one a chunk, used by one thread."""

    def expand(
        self, row: SourceRow, data: ImageBytes, size_wh: tuple[int, int], split: str
    ) -> Iterator[Variant]:
        """Turn a row into variants.

        Args:
            row: The annotated image.
            data: Its file, whose header has been checked.
            size_wh: Its width and height in pixels, as stored.
            split: "train" or "val".

        Yields:
            The variants, in the order in which they shall stand in the output.

        Raises:
            DataError: The image can't be decoded; with the row's place, before the first variant.
        """


class Unchanged:
    """The expander that gives every row as it is, and decodes nothing."""

    def fresh(self) -> Unchanged:
        """Give itself: it remembers nothing."""
        return self

    def expand(
        self, row: SourceRow, data: ImageBytes, size_wh: tuple[int, int], split: str
    ) -> Iterator[Variant]:
        """Yield the row and its untouched image."""
        yield Variant(row, data, "", sources=(content_key(data),))


def content_key(data: ImageBytes) -> str:
    """Give length and checksum of an image file: equal for equal files, and hardly ever for others."""
    return f"{len(data)}-{zlib.crc32(data):08x}"


def quick_key(data: ImageBytes) -> str:
    """Give length and checksum of parts of an image file: equal for equal files, seldom for others."""
    size = len(data)
    if size <= _PARTS * _PART_BYTES:
        return content_key(data)
    checksum = 0
    # Evenly, the first and the last bytes among them.
    for part in range(_PARTS):
        start = part * (size - _PART_BYTES) // (_PARTS - 1)
        checksum = zlib.crc32(data[start : start + _PART_BYTES], checksum)
    return f"{size}~{checksum:08x}"
