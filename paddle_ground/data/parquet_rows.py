"""One row of a parquet batch's annotations -> a `SourceRow`.

Takes what `parquet_columns` read, gives rows; with the images that somebody else reads, or without.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from paddle_ground.boxes import FloatArray
from paddle_ground.data.parquet_columns import Annotations
from paddle_ground.data.source import SourceRow


def annotated_row(
    found: Annotations,
    boxes_xyxy_px: FloatArray,
    row: int,
    image_id: int,
    where: str,
    read_image: Callable[[], bytes | memoryview],
) -> SourceRow:
    """Cut a row out of a batch.

    Args:
        found: The annotations of the batch.
        boxes_xyxy_px: All boxes of the batch, as corners.
        row: Its place in the batch.
        image_id: Its id.
        where: `file:row`.
        read_image: Gives its image.
    """
    own = slice(int(found.offsets[row]), int(found.offsets[row + 1]))
    return SourceRow(
        image_id=image_id,
        read_image=read_image,
        size_wh=_size(found.sizes_wh[row]),
        boxes_xyxy_px=boxes_xyxy_px[own],
        category_ids=found.category_ids[own],
        areas_px=found.areas_px[own],
        is_crowd=found.is_crowd[own],
        where=where,
    )


def no_image() -> bytes:
    """Stand for the image of a row that was read without; nobody asks for it."""
    raise AssertionError("this row was read without its image")


def _size(size_wh: FloatArray) -> tuple[int, int] | None:
    # In Python: on two numbers numpy takes ten times as long.
    width, height = size_wh.tolist()
    if not (1 <= width < math.inf and 1 <= height < math.inf):
        return None
    return int(width), int(height)
