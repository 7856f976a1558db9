"""How Qwen2.5-VL's vision tower looks at an image: through windows, read one after the other.

Takes grids of patches; gives orders and lengths, in plain numpy. Most blocks let a patch see its window
only (Qwen2.5-VL, arXiv 2502.13923, section 2.1.1). Knows neither Paddle nor images.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Grid = tuple[int, int, int]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class WindowLayout:
    """How the visual tokens of one grid are ordered, window by window.

    Attributes:
        order: (tokens,) the place of each token among those read row by row.
        lengths: Tokens of each window; those at the right and lower edge may be smaller.
    """

    order: Ints
    lengths: tuple[int, ...]


@functools.lru_cache(maxsize=512)
def window_layout(grid_thw: Grid, merge: int, window: int) -> WindowLayout:
    """Lay the windows over one image.

    Args:
        grid_thw: Frames, rows, columns of patches.
        merge: Side of the squares of patches that become one token.
        window: Side of a window, in tokens.

    Returns:
        The layout; the same object for the same arguments.
    """
    frames, rows, columns = grid_thw[0], grid_thw[1] // merge, grid_thw[2] // merge
    tokens = np.arange(frames * rows * columns).reshape(frames, rows, columns)
    parts = [
        tokens[frame, top : top + window, left : left + window].reshape(-1)
        for frame in range(frames)
        for top in range(0, rows, window)
        for left in range(0, columns, window)
    ]
    return WindowLayout(np.concatenate(parts), tuple(len(part) for part in parts))


@functools.lru_cache(maxsize=512)
def by_length(lengths: tuple[int, ...]) -> tuple[Ints, Ints, tuple[tuple[int, int], ...]]:
    """Sort runs of patches by their length, so that those of one length can be computed as one batch.

    Args:
        lengths: Patches of each run, in order.

    Returns:
        The patches' order, the order that undoes it, and (runs, length) of each batch.
    """
    starts = np.cumsum([0, *lengths[:-1]])
    found = sorted(set(lengths))
    order = np.concatenate(
        [
            np.arange(start, start + length)
            for wanted in found
            for start, length in zip(starts, lengths, strict=True)
            if length == wanted
        ]
    )
    return order, np.argsort(order), tuple((lengths.count(length), length) for length in found)
