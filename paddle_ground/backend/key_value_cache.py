"""The keys and values of what running answers have read, row by row, in place.

Takes what PaddleFormers' forward pass over the prompts kept, and room for what follows; rows come and go.
Knows no layer and no arithmetic: `paddle_ground.backend.text_decoder` writes into it and reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_C_ops: Any = paddle._C_ops

BLOCK = 64
"""The cache grows by so many columns at once."""


class KeyValueCache:
    """Keys and values of every layer, (rows * key heads, columns, width) each, written in place.

    Args:
        heads: Key heads.

    Attributes:
        first: (rows,) the first column that holds something: padding stands before it.
        used: (rows,) the first free column.
        keys: One tensor a layer.
        values: One tensor a layer.
    """

    def __init__(self, heads: int) -> None:
        self._heads = heads
        self.first: Ints = np.zeros(0, np.int64)
        self.used: Ints = np.zeros(0, np.int64)
        self.keys: list[Any] = []
        self.values: list[Any] = []

    @property
    def columns(self) -> int:
        """How many columns there is room for."""
        return int(self.keys[0].shape[1]) if self.keys else 0

    def add(self, pairs: Sequence[tuple[Any, Any]], first: Ints) -> None:
        """Append rows.

        Args:
            pairs: Keys and values of each layer, (new rows, key heads, L, width), padded on the left.
            first: (new rows,) how many columns of padding each has.
        """
        _, _, length, width = pairs[0][0].shape
        self._widen(length)
        columns = self.columns or _rounded(length)
        new = [[_widened(t.reshape([-1, length, width]), columns) for t in pair] for pair in pairs]
        if self.keys:
            self.keys = [paddle.concat([old, key]) for old, (key, _) in zip(self.keys, new, strict=True)]
            self.values = [paddle.concat([old, val]) for old, (_, val) in zip(self.values, new, strict=True)]
        else:
            self.keys, self.values = [key for key, _ in new], [value for _, value in new]
        self.first = np.concatenate([self.first, first])
        self.used = np.concatenate([self.used, np.full(len(first), length, np.int64)])

    def keep(self, rows: Ints) -> None:
        """Let only these rows stay, in this order."""
        self.first, self.used = self.first[rows], self.used[rows]
        if not len(rows):
            self.keys, self.values = [], []
            return
        index = paddle.to_tensor((rows[:, None] * self._heads + np.arange(self._heads)).reshape(-1))
        for tensors in (self.keys, self.values):
            tensors[:] = [_C_ops.index_select(tensor, index, 0) for tensor in tensors]
        self._narrow(_rounded(int(self.used.max())))

    def _narrow(self, columns: int) -> None:
        """Give room back that only a longer row needed, which every pass would read through for ever."""
        if columns * 2 > self.columns:
            return
        index = paddle.arange(columns)
        for tensors in (self.keys, self.values):
            tensors[:] = [_C_ops.index_select(tensor, index, 1) for tensor in tensors]

    def make_room(self, counts: Ints) -> None:
        """Widen the cache until each row has room for so many more tokens."""
        self._widen(int((self.used + counts).max()))

    def _widen(self, columns: int) -> None:
        if self.keys and columns > self.columns:
            columns = _rounded(columns)
            for tensors in (self.keys, self.values):
                tensors[:] = [_widened(tensor, columns) for tensor in tensors]


def _rounded(columns: int) -> int:
    return -(-columns // BLOCK) * BLOCK


def _widened(tensor: Any, columns: int) -> Any:
    rows, length, width = tensor.shape
    if length >= columns:
        return tensor
    return paddle.concat([tensor, paddle.zeros([rows, columns - length, width], tensor.dtype)], axis=1)
