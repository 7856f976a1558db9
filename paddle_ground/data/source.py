"""What every reader of annotated images gives: the seam between a file format and `prepare`.

A reader is cut into chunks (a parquet row group, a folder of labels) that can be read on their own
and at the same time. `prepare` asks for the cheap facts of each chunk, chooses rows, and then reads
the chosen ones with their image bytes. Knows no file format and no output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from paddle_ground.boxes import BoolArray, FloatArray, IntArray
from paddle_ground.records import Message


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
        groups: Of each row what `SourceRow.group` will say; None where rows have no groups.
    """

    image_ids: IntArray
    boxes: IntArray
    usable_boxes: IntArray
    groups: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Referral:
    """A phrase and the boxes of one row that it means.

    Attributes:
        phrase: What the annotator wrote, such as "the man on the left".
        boxes: Places in the row's `boxes_xyxy_px`, ascending; none for a phrase that means nothing here.
    """

    phrase: str
    boxes: tuple[int, ...]


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
        referrals: The phrases of a referring data set, in its order; () where it only knows classes.
        name: What the image is called in the source, such as its path inside the data set; "" where it
            has no name.
        group: What the row must not be torn from when splits are drawn, such as its video; "" for nothing.
    """

    image_id: int
    read_image: Callable[[], bytes | memoryview]
    size_wh: tuple[int, int] | None
    boxes_xyxy_px: FloatArray
    category_ids: IntArray
    areas_px: FloatArray
    is_crowd: BoolArray
    where: str
    referrals: tuple[Referral, ...] = ()
    name: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class DialogueRow:
    """One conversation about images, as the source has it; what it asks and answers is kept.

    Attributes:
        image_id: A number for the row, unique or not.
        read_images: One a `<image>` mark; as `SourceRow.read_image`.
        turns: The messages, with `<image>`, `<ref-object>` and `<bbox>` marks as in `Sample`. An answer
            that is nothing but a grounding holds its marks in the way of `answers.render_target`, so
            that it can be written in either answer format.
        refs: What the `<ref-object>` marks stand for, in order.
        boxes_xyxy_px: Shape (N, 4): what the `<bbox>` marks stand for, pixels of their image; unchecked.
        box_images: Shape (N,): which image each box belongs to, from 0 on.
        where: `file:line`, to name the row in messages.
        name: As `SourceRow.name`, of the first image.
        group: As `SourceRow.group`, such as the episode that the images are frames of.
    """

    image_id: int
    read_images: tuple[Callable[[], bytes | memoryview], ...]
    turns: tuple[Message, ...]
    refs: tuple[str, ...]
    boxes_xyxy_px: FloatArray
    box_images: IntArray
    where: str
    name: str = ""
    group: str = ""


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

    def read(self, chunk: Chunk, rows: IntArray) -> Iterator[SourceRow | DialogueRow]:
        """Read rows with their images; called from several threads at a time.

        Args:
            chunk: One of `chunks`.
            rows: Which of its rows, ascending, from 0 on.

        Yields:
            One row for each, in that order; a source yields rows of one kind only.

        Raises:
            DataError: The chunk can't be read.
        """


@runtime_checkable
class OutlinedSource(Protocol):
    """A source that gives rows without their images at less cost than `read`, as parquet can."""

    def outline(self, chunk: Chunk) -> Iterator[SourceRow | DialogueRow]:
        """Give all rows of a chunk, in order; nobody will ask for their images.

        Raises:
            DataError: The chunk can't be read.
        """


def outline(source: Source, chunk: Chunk) -> Iterator[SourceRow | DialogueRow]:
    """Give all rows of a chunk without asking for an image, the cheapest way there is.

    Raises:
        DataError: The chunk can't be read.
    """
    if isinstance(source, OutlinedSource):
        return source.outline(chunk)
    return source.read(chunk, np.arange(chunk.rows))


@runtime_checkable
class BatchedSource(Protocol):
    """A source that has the images of several rows at hand."""

    def read_batches(self, chunk: Chunk, rows: IntArray) -> Iterator[Sequence[SourceRow | DialogueRow]]:
        """Read as `read` does, several rows at a time.

        Yields:
            One or more rows. Images of all of them may be asked for until the next ones are.

        Raises:
            DataError: The chunk can't be read.
        """


def read_batches(source: Source, chunk: Chunk, rows: IntArray) -> Iterator[Sequence[SourceRow | DialogueRow]]:
    """Read rows with their images, as many at a time as the source has at hand; at least one.

    Raises:
        DataError: The chunk can't be read.
    """
    if isinstance(source, BatchedSource):
        return source.read_batches(chunk, rows)
    return ((row,) for row in source.read(chunk, rows))
