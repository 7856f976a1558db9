"""What every reader of annotated images gives: the seam between a file format and `prepare`.

A reader is cut into chunks (a parquet row group, a folder of labels) that can be read on their own
and at the same time. `prepare` asks for the cheap facts of each chunk, chooses rows, and then reads
the chosen ones with their image bytes. Knows no file format and no output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from paddle_ground.boxes import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a data set that is read on its own.

    Attributes:
        index: Its place in the order of the data set, from 0 on.
        split: The output split that its rows belong to: "train" or "val".
        rows: How many rows it holds.
        size_bytes: About how much memory its content takes, unpacked.
    """

    index: int
    split: str
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ChunkFacts:
    """What can be known of a chunk's rows without their images.

    Attributes:
        image_ids: Shape (rows,): the ids that the source gives, unique or not.
        boxes: Shape (rows,): how many boxes each row states.
        usable_boxes: Shape (rows,): how many boxes can become part of an answer: finite, with an
            area, and no crowd.
    """

    image_ids: IntArray
    boxes: IntArray
    usable_boxes: IntArray


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One annotated image, as the source has it.

    Attributes:
        image_id: The source's id, unique or not.
        read_image: Gives the image file's bytes, untouched; to be called before the next row is asked
            for. Raises DataError, with the row's place, where there is no image.
        size_wh: The width and height in pixels that the source states; None where it does not.
        boxes_xyxy_px: Shape (N, 4), pixels; unchecked: NaN, empty and outlying boxes included.
        category_ids: Shape (N,), index into the source's class names; checked.
        areas_px: Shape (N,), pixels squared; NaN where the source states none.
        is_crowd: Shape (N,), True for a box around a group.
        where: `file:row`, to name the row in messages.
    """

    image_id: int
    read_image: Callable[[], bytes | memoryview]
    size_wh: tuple[int, int] | None
    boxes_xyxy_px: FloatArray
    category_ids: IntArray
    areas_px: FloatArray
    is_crowd: BoolArray
    where: str


class Source(Protocol):
    """A data set of annotated images that is being read."""

    @property
    def name(self) -> str:
        """Give the data set's name for the meta file: never a path on this machine."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Give the class names by category id."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Give what the user should hear about how the data set was understood, a line each."""

    @property
    def fingerprint(self) -> str:
        """Give a hash that changes when the data set does; the same on every machine."""

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """Give the chunks, in order."""

    def survey(self, chunk: Chunk) -> ChunkFacts:
        """Read what can be known without images.

        Raises:
            DataError: The chunk can't be read, or a category is unknown.
        """

    def read(self, chunk: Chunk, rows: IntArray) -> Iterator[SourceRow]:
        """Read rows with their images; called from several threads at a time.

        Args:
            chunk: One of `chunks`.
            rows: Which of its rows, ascending, from 0 on.

        Yields:
            One `SourceRow` for each, in that order.

        Raises:
            DataError: The chunk can't be read.
        """
