"""Positions of tokens and patches, in plain numpy.

Takes token ids and image grids; gives three-axis (temporal, height, width) positions of
tokens and the layout of an image's patches. It knows neither Paddle nor images.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Grid = tuple[int, int, int]
Ints = NDArray[np.int64]


_KEPT_NUMBERS = 2**16
"""A larger interpolation is made anew each time: 256 KB."""


@functools.lru_cache(maxsize=512)
def patch_places(grid_thw: Grid, merge: int) -> Ints:
    """Give row and column of every patch of one image, in the order that the vision tower reads them.

    Args:
        grid_thw: Frames, rows, columns of patches.
        merge: Side of the squares of patches that become one token; they follow each other.

    Returns:
        (patches, 2); the same array for the same arguments.
    """
    frames, height, width = grid_thw
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    places = np.stack([rows, columns], axis=-1)
    blocks = places.reshape(height // merge, merge, width // merge, merge, 2).transpose(0, 2, 1, 3, 4)
    return np.tile(blocks.reshape(-1, 2), (frames, 1)).astype(np.int64)


def table_weights(grid_thw: Grid, merge: int, table_side: int) -> NDArray[np.float32]:
    """Give the weights with which every patch of one image reads the table of learned positions.

    Small ones are kept for the next time. With the table of a published model they take 10 MB and more an
    image, and the pictures of a data set come in hundreds of shapes.

    Args:
        grid_thw: As for `patch_places`, and the same order.
        merge: The same.
        table_side: Side of the square table.

    Returns:
        (patches, table rows), bilinear; rows add up to 1.
    """
    small = grid_thw[0] * grid_thw[1] * grid_thw[2] * table_side**2 <= _KEPT_NUMBERS
    return (_kept_weights if small else _table_weights)(grid_thw, merge, table_side)


def _table_weights(grid_thw: Grid, merge: int, table_side: int) -> NDArray[np.float32]:
    _, height, width = grid_thw
    row, column = patch_places(grid_thw, merge).T
    down, across = _line(height, table_side)[row], _line(width, table_side)[column]
    weights: NDArray[np.float32] = down[:, :, None] * across[:, None, :]
    return weights.reshape(len(row), table_side * table_side)


_kept_weights = functools.lru_cache(maxsize=512)(_table_weights)


def _line(count: int, table_side: int) -> NDArray[np.float32]:
    """Linear interpolation weights (count, table_side) of `count` points spread over the whole table."""
    points = np.linspace(0, table_side - 1, count, dtype=np.float32)
    low = points.astype(np.int64)
    high = np.minimum(low + 1, table_side - 1)
    part = points - low.astype(np.float32)
    weights = np.zeros((count, table_side), np.float32)
    np.add.at(weights, (np.arange(count), low), 1 - part)
    np.add.at(weights, (np.arange(count), high), part)
    return weights


def rope_index(
    input_ids: NDArray[np.int64],
    grids: Sequence[Grid],
    attention_mask: NDArray[np.int64] | None,
    *,
    image_token_id: int,
    merge: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give interleaved-MRoPE positions of a batch (Qwen3-VL, arXiv 2511.21631, section 2).

    Text counts on along all three axes; an image's tokens share one temporal position and
    count rows and columns from it; text after it goes on from the largest position used.

    Args:
        input_ids: (B, L) token ids; image tokens already repeated.
        grids: One (frames, rows, columns) in patches for each image, in reading order.
        attention_mask: (B, L), 0 for padding on either side; none means no padding.
        image_token_id: Id of the repeated image token.
        merge: Patches to a token, along each side.

    Returns:
        Positions (3, B, L), 1 at padding; and (B, 1): next position minus L.

    Raises:
        ValueError: Image tokens and grids do not agree.
    """
    batch, length = input_ids.shape
    positions = np.ones((3, batch, length), np.int64)
    deltas = np.zeros((batch, 1), np.int64)
    left = list(grids)
    for row in range(batch):
        kept = np.arange(length) if attention_mask is None else np.flatnonzero(attention_mask[row])
        placed, left = _row_positions(input_ids[row, kept] == image_token_id, left, merge)
        positions[:, row, kept] = placed
        deltas[row, 0] = (placed.max() + 1 if len(kept) else 0) - length
    return positions, deltas


def _row_positions(
    is_image: NDArray[np.bool_], grids: list[Grid], merge: int
) -> tuple[NDArray[np.int64], list[Grid]]:
    out = np.zeros((3, len(is_image)), np.int64)
    at, base = 0, 0
    while at < len(is_image):
        if not is_image[at]:
            rest = np.flatnonzero(is_image[at:])
            run = int(rest[0]) if len(rest) else len(is_image) - at
            out[:, at : at + run] = base + np.arange(run)
            at, base = at + run, base + run
            continue
        if not grids:
            raise ValueError("more image tokens than image_grid_thw accounts for")
        (frames, height, width), grids = grids[0], grids[1:]
        height, width = height // merge, width // merge
        count = frames * height * width
        if at + count > len(is_image) or not is_image[at : at + count].all():
            raise ValueError(f"an image of {count} tokens has fewer in input_ids, at position {at}")
        out[0, at : at + count] = base + np.repeat(np.arange(frames), height * width)
        out[1, at : at + count] = base + np.tile(np.repeat(np.arange(height), width), frames)
        out[2, at : at + count] = base + np.tile(np.arange(width), frames * height)
        base = int(out[:, at : at + count].max()) + 1
        at += count
    return out, grids
