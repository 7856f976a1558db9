"""The order of samples on disk: batches whose members are about equally long.

Takes lengths, gives places. A batch is padded to its longest member, so that with members drawn at random
two fifths of what a small model computes is padding. For a trainer that keeps the order of the file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_WINDOW = 32  # batches: far more, and a batch holds nothing but the rarest lengths.


def batches_of_like_length(lengths: Sequence[int], batch: int, generator: np.random.Generator) -> list[int]:
    """Order samples so that every `batch` in a row are about equally long, and batches come at random.

    Args:
        lengths: Of each sample, in any unit.
        batch: Samples a step, at least 1.
        generator: Of the batches' order.

    Returns:
        Each place once. Samples move within windows of 32 batches; a last batch that is not full stays last.
    """
    order: list[int] = []
    step = batch * _WINDOW
    for first in range(0, len(lengths), step):
        window = sorted(range(first, min(first + step, len(lengths))), key=lambda place: lengths[place])
        whole = len(window) // batch
        for number in generator.permutation(whole).tolist():
            order += window[number * batch : (number + 1) * batch]
        order += window[whole * batch :]
    return order
