"""Cuts a draw into pieces of work, and numbers images and boxes before any of them is read.

Takes what the survey found and a draw, gives pieces that can be made in any order and still fit
together. Reads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from paddle_ground.boxes import IntArray
from paddle_ground.data.sampling import LEFT_OUT, SplitArray
from paddle_ground.data.source import Chunk, ChunkFacts


class PieceNumbers(NamedTuple):
    """What a `Piece` says of its rows, as Python's own numbers, which are much faster one by one."""

    splits: list[int]
    repeats: list[int]
    truth_ids: list[int]
    first_box_ids: list[int]
    absent: list[int]
    times: list[int]


@dataclass(frozen=True, slots=True)
class Piece:
    """The drawn rows of one chunk.

    Attributes:
        chunk: Where they are.
        rows: Shape (P,), ascending, within the chunk.
        splits: Shape (P,), `sampling.TRAIN` or `VAL`.
        repeats: Shape (P,), how many drawn rows before have the same image id.
        truth_ids: Shape (P,), an id for each image that no other has.
        first_box_ids: Shape (P,), where the ids of each image's truth boxes begin.
        absent: Shape (P,), how many questions for absent things are wanted; see `questions.ask`.
        times: Shape (P,), how often each row's samples stand in their file.
    """

    chunk: Chunk
    rows: IntArray
    splits: SplitArray
    repeats: IntArray
    truth_ids: IntArray
    first_box_ids: IntArray
    absent: IntArray
    times: IntArray

    def numbers(self) -> PieceNumbers:
        """Give all but the rows as lists."""
        arrays = (self.splits, self.repeats, self.truth_ids, self.first_box_ids, self.absent, self.times)
        return PieceNumbers(*(array.tolist() for array in arrays))


def plan_pieces(
    chunks: tuple[Chunk, ...],
    facts: list[ChunkFacts],
    splits: SplitArray,
    absent: IntArray,
    times: IntArray,
) -> list[Piece]:
    """Cut a draw into pieces, and number the images.

    Args:
        chunks: Of the source.
        facts: Of each chunk.
        splits: Shape (all rows of all chunks,): the draw.
        absent: Likewise; see `Piece`.
        times: Likewise.
    """
    image_ids = np.concatenate([fact.image_ids for fact in facts])
    drawn = np.flatnonzero(splits != LEFT_OUT)
    repeats = np.zeros(len(splits), dtype=np.int64)
    repeats[drawn] = _count_repeats(image_ids[drawn])
    truth_ids = image_ids
    if repeats.any() or (image_ids[drawn] < 0).any():
        truth_ids = np.arange(1, len(splits) + 1)
    boxes = np.concatenate([fact.boxes for fact in facts])
    # Ids are given before any box is looked at, so that pieces can be made in any order.
    first_box_ids = 1 + np.cumsum(np.where(splits != LEFT_OUT, boxes, 0)) - boxes
    pieces = []
    start = 0
    for chunk in chunks:
        rows = np.flatnonzero(splits[start : start + chunk.rows] != LEFT_OUT)
        at = rows + start
        if len(rows):
            numbers = (truth_ids[at], first_box_ids[at], absent[at], times[at])
            pieces.append(Piece(chunk, rows, splits[at], repeats[at], *numbers))
        start += chunk.rows
    return pieces


def _count_repeats(values: IntArray) -> IntArray:
    """Count for each value how often it came before."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(values) else np.zeros(0, np.bool_)
    place = np.arange(len(values))
    repeats = np.empty(len(values), dtype=np.int64)
    repeats[order] = place - np.maximum.accumulate(np.where(is_first, place, 0))
    return repeats
