"""What share of the tokens that a GPU works on would be padding, with packing and without.

Takes token lengths, gives shares. Packs as PaddleFormers does by default (`packing: true`, `binpacking:
true`): its library `binpacking`, a thousand samples at a time, each pack padded to max_seq_len; without
packing each batch is padded to its longest sample. Knows no sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_INTERVAL = 1000
_MEASURED = 5 * _INTERVAL  # A sample of the data tells the share; packing all of it would take minutes.


@dataclass(frozen=True, slots=True)
class Padding:
    """Shares of padding, 0..1.

    Attributes:
        unpacked: Without packing, in batches of the file's order.
        packed: With packing.
        samples_a_pack: How many samples share a sequence then, on average.
    """

    unpacked: float
    packed: float
    samples_a_pack: float


def measure_padding(lengths: npt.NDArray[np.int64], max_seq_len: int, batch_size: int) -> Padding | None:
    """Measure padding on the first thousands of samples.

    Args:
        lengths: Shape (N,), tokens; longer ones than max_seq_len are skipped, as in training.
        max_seq_len: Of the training.
        batch_size: Of the training without packing.

    Returns:
        None where no sample is left.
    """
    kept = lengths[lengths <= max_seq_len][:_MEASURED]
    if not len(kept):
        return None
    total = int(kept.sum())
    longest = [int(kept[at : at + batch_size].max()) for at in range(0, len(kept), batch_size)]
    sizes = [len(kept[at : at + batch_size]) for at in range(0, len(kept), batch_size)]
    worked = sum(length * size for length, size in zip(longest, sizes, strict=True))
    packs = pack(kept, max_seq_len)
    return Padding(1 - total / worked, 1 - total / (packs * max_seq_len), len(kept) / packs)


def pack(lengths: npt.NDArray[np.int64], max_seq_len: int) -> int:
    """Count the packs that PaddleFormers makes of samples of these lengths."""
    from binpacking import to_constant_volume  # type: ignore[import-untyped, attr-defined, unused-ignore]

    packs = 0
    carried: list[tuple[int, int]] = []
    for start in range(0, len(lengths), _INTERVAL):
        carried += [(place, int(length)) for place, length in enumerate(lengths[start : start + _INTERVAL])]
        bins = to_constant_volume(carried, max_seq_len, weight_pos=1)
        # The last one waits for the next thousand; it goes out half full only at the end.
        is_last = start + _INTERVAL >= len(lengths)
        carried = [] if is_last else bins.pop()
        packs += len(bins)
    return packs
