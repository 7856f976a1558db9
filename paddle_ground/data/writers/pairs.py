"""Samples beside what is exactly known of them, for writers that need pixels.

Takes a split; gives each sample with its conversation in marks and exact pixel boxes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from paddle_ground.data.readers import ReaderOptions
from paddle_ground.data.source import DialogueRow
from paddle_ground.errors import DataError
from paddle_ground.records import Sample, read_samples
from paddle_ground.spaces import CoordinateSpace

if TYPE_CHECKING:
    from paddle_ground.data.writers import Split


def exact_pairs(split: Split, space: CoordinateSpace | None = None) -> Iterator[tuple[Sample, DialogueRow]]:
    """Read the samples, each with its exact pixel boxes.

    Args:
        split: Where they are.
        space: As for `ReaderOptions`.

    Raises:
        DataError: A sample is of a kind that only its source knows.
    """
    from paddle_ground.data.readers.paddle import FORMAT

    source = FORMAT.open(split.samples_path, ReaderOptions(space=space))
    rows = (row for chunk in source.chunks for row in source.read(chunk, np.arange(chunk.rows)))
    for line, sample in enumerate(read_samples(split.samples_path), 1):
        row = next(rows, None)
        if not isinstance(row, DialogueRow) or not row.where.endswith(f":{line}"):
            raise DataError(
                f"{split.samples_path}:{line}: this sample can't be said in another format; "
                "prepare the data again from its source"
            )
        yield sample, row
