"""Which rows go into which output split: seeded, and independent of who reads them.

Takes what the survey found, gives a split for each row. Reads nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paddle_ground.boxes import BoolArray
from paddle_ground.errors import ConfigError

SplitArray = npt.NDArray[np.int8]

LEFT_OUT, TRAIN, VAL = 0, 1, 2
SPLIT_NAMES = {TRAIN: "train", VAL: "val"}


def draw_splits(
    eligible: BoolArray, is_val: BoolArray, total: int | None, val_ratio: float, seed: int
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
    own_val = generator.permutation(np.flatnonzero(eligible & is_val))
    rest = generator.permutation(np.flatnonzero(eligible & ~is_val))
    splits: SplitArray = np.zeros(len(eligible), dtype=np.int8)
    if is_val.any():
        # Half up, not half to even: 0.5 rows of val are one.
        held_out = own_val if total is None else own_val[: int(total * val_ratio + 0.5)]
        splits[held_out] = VAL
        splits[rest if total is None else rest[: max(total - len(held_out), 0)]] = TRAIN
    else:
        drawn = rest if total is None else rest[:total]
        val_rows = int(len(drawn) * val_ratio + 0.5)
        splits[drawn[:val_rows]] = VAL
        splits[drawn[val_rows:]] = TRAIN
    return splits
