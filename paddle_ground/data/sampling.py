"""Which rows go into which output split: seeded, and independent of who reads them.

Takes what the survey found, gives a split for each row. Reads nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paddle_ground.boxes import BoolArray, IntArray
from paddle_ground.errors import ConfigError

SplitArray = npt.NDArray[np.int8]

LEFT_OUT, TRAIN, VAL = 0, 1, 2
SPLIT_NAMES = {TRAIN: "train", VAL: "val"}


def draw_splits(
    eligible: BoolArray,
    is_val: BoolArray,
    total: int | None,
    val_ratio: float,
    seed: int,
    groups: IntArray | None = None,
) -> SplitArray:
    """Draw a sample and share it out.

    Where the source has val rows of its own, the val part is drawn from them and the train part from
    the rest; else both are drawn from all rows.

    Args:
        eligible: Shape (R,), which rows may be drawn.
        is_val: Shape (R,), which rows the source itself holds out.
        total: How many rows to draw in all; None for every one (val_ratio then only matters where
            the source has no val rows). If there are not so many, all are taken.
        val_ratio: The part of them that goes to val, 0 to less than 1.
        seed: Same seed and rows, same draw.
        groups: Shape (R,), a number for each group, such as a video: no group comes into both splits.
            Train rows whose group the source holds out are left out. A drawn total may cut one group.

    Returns:
        Shape (R,), `LEFT_OUT`, `TRAIN` or `VAL`.

    Raises:
        ConfigError: A number is out of its range.
    """
    if total is not None and total < 1:
        raise ConfigError(f"total_samples is {total}; ask for at least 1, or leave it out for all")
    if not 0 <= val_ratio < 1:
        raise ConfigError(f"val_ratio is {val_ratio:g}; it must be 0 or more, and less than 1")
    generator = np.random.default_rng(seed)
    own_val = np.flatnonzero(eligible & is_val)
    rest = np.flatnonzero(eligible & ~is_val)
    if groups is None:
        own_val, rest = generator.permutation(own_val), generator.permutation(rest)
    else:
        rest = rest[~np.isin(groups[rest], groups[is_val])]
        own_val, rest = (_permute_groups(rows, groups, generator) for rows in (own_val, rest))
    splits: SplitArray = np.zeros(len(eligible), dtype=np.int8)
    if is_val.any():
        # Half up, not half to even: 0.5 rows of val are one.
        held_out = own_val if total is None else own_val[: int(total * val_ratio + 0.5)]
        splits[held_out] = VAL
        splits[rest if total is None else rest[: max(total - len(held_out), 0)]] = TRAIN
    else:
        drawn = rest if total is None else rest[:total]
        val_rows = int(len(drawn) * val_ratio + 0.5)
        splits[drawn] = TRAIN
        splits[drawn[:val_rows] if groups is None else _whole_groups(drawn, groups, val_rows)] = VAL
    return splits


def _permute_groups(rows: IntArray, groups: IntArray, generator: np.random.Generator) -> IntArray:
    """Shuffle groups, each with its rows in order."""
    _, own = np.unique(groups[rows], return_inverse=True)
    rank = generator.permutation(int(own.max()) + 1 if len(own) else 0)
    ordered: IntArray = rows[np.argsort(rank[own], kind="stable")]
    return ordered


def _whole_groups(drawn: IntArray, groups: IntArray, wanted: int) -> IntArray:
    """Give the rows of those groups, first come, that bring their number nearer to what is wanted."""
    names, first, sizes = np.unique(groups[drawn], return_index=True, return_counts=True)
    order = np.argsort(first)
    taken: list[int] = []
    rows = 0
    for name, size in zip(names[order].tolist(), sizes[order].tolist(), strict=True):
        if abs(rows + size - wanted) < abs(rows - wanted):
            taken.append(name)
            rows += size
    if wanted and not taken and len(names) > 1:
        taken.append(int(names[np.argmin(sizes)]))  # All are too large, but a large val beats none.
    held_out: IntArray = drawn[np.isin(groups[drawn], taken)]
    return held_out
