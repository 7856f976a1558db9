"""What one epoch over several data sets with weights is made of: how often each set is drawn from, and so its
token lengths.

Takes a YAML's keys, or `DataSet`s with their sizes and lengths; gives counts, and one set of lengths in their
proportions. The draws are PaddleFormers' own (`datasets/reader/mix_datasets.py`): a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paddle_ground.backend.data_sets import DataSet, data_sets, shares
from paddle_ground.errors import ConfigError
from paddle_ground.train.plan.data_lengths import DataLengths, Ints, measure_lengths
from paddle_ground.train.plan.settings import number, whole

_MOST_MIXED = 40_000
_MOST_DRAWN = 20_000_000
_BLOCK = 1000  # PaddleFormers draws so many at once; another number would be other draws.
_STOCK_EACH_EPOCH, _STOCK_SEED = 6_000_000, 42


def measure_epoch(
    values: Mapping[str, Any],
    model: str,
    max_seq_len: int,
    max_pixels: int | None,
    min_pixels: int | None = None,
) -> DataLengths:
    """Measure the samples that an epoch of a run trains on.

    Args:
        values: The YAML's keys.
        model: Folder of the model; where it has no tokenizer, lengths are estimated by characters.
        max_seq_len: Of the YAML.
        max_pixels: `grounding.image_max_pixels`.
        min_pixels: `grounding.image_min_pixels`.

    Raises:
        ConfigError: A key that decides about the draws is no number.
        RecordError: A line that is read is wrong.
    """
    try:
        sets = data_sets(values, "train")
    except ConfigError:  # The lint tells; what is there is measured all the same.
        named = str(values.get("train_dataset_path") or "").split(",")
        paths = [Path(part.strip()) for part in named]
        return measure_lengths(paths, model, max_seq_len, max_pixels, min_pixels)
    found = [measure_lengths([one.path], model, max_seq_len, max_pixels, min_pixels) for one in sets]
    if len(sets) == 1 and sets[0].taken is None and values.get("mix_strategy") != "random":
        return found[0]
    return mix_lengths(found, epoch_counts(sets, [one.samples for one in found], values))


def epoch_counts(sets: Sequence[DataSet], sizes: Sequence[int], values: Mapping[str, Any]) -> tuple[int, ...]:
    """Count how many samples of each data set an epoch trains on.

    Args:
        sets: The data sets.
        sizes: How many samples each file holds.
        values: The YAML's keys: `mix_strategy`, `seed`, `num_samples_each_epoch`.

    Raises:
        ConfigError: One of them is no number.
    """
    held = [found.taken or size for found, size in zip(sets, sizes, strict=True)]
    strategy = str(values.get("mix_strategy", "concat"))
    if not held or strategy == "concat" or (len(sets) == 1 and strategy != "random") or not all(held):
        return tuple(held)
    parts = np.array(shares(sets, strategy, sizes))
    if strategy == "random":
        total = number(values, "num_samples_each_epoch", _STOCK_EACH_EPOCH)
        return tuple(int(part * total) for part in parts)
    seed = max(0, whole(values, "seed", _STOCK_SEED))
    drawn = _interleaved(np.array(held), parts, strategy, seed)
    return tuple(int(count) for count in drawn)


def _interleaved(held: Ints, parts: np.ndarray[Any, np.dtype[np.float64]], strategy: str, seed: int) -> Ints:
    """Draw sets until the first (`interleave_under`) or the last one (`interleave_over`) is used up."""
    enough = np.all if strategy == "interleave_over" else np.any
    generator, seen = np.random.default_rng(seed), np.zeros(len(held), np.int64)
    while seen.sum() < _MOST_DRAWN:
        drawn = generator.choice(len(held), size=_BLOCK, p=parts)
        counts = seen + np.cumsum(drawn[:, None] == np.arange(len(held)), axis=0)
        ends = np.flatnonzero(enough(counts >= held, axis=1))
        if len(ends):
            last: Ints = counts[ends[0]]
            return last
        seen = counts[-1]
    # Weights that leave a set all but undrawn: what they give on average.
    until = (held / parts).max() if strategy == "interleave_over" else (held / parts).min()
    average: Ints = np.rint(parts * until).astype(np.int64)
    return average


def mix_lengths(found: Sequence[DataLengths], counts: Sequence[int]) -> DataLengths:
    """Join the lengths of data sets in the proportions of an epoch, in mixed order.

    Args:
        found: Of each data set.
        counts: Samples of each in an epoch.

    Returns:
        Lengths that stand for the epoch: `samples` is its number, not that of the files.
    """
    known = [(one, count) for one, count in zip(found, counts, strict=True) if len(one.lengths) and count]
    if not known:
        return DataLengths()
    total = sum(count for _, count in known)
    rows = min(_MOST_MIXED, max(-(-len(one.lengths) * total // count) for one, count in known))
    picked = [_pick(one, max(1, round(rows * count / total))) for one, count in known]
    lengths, images = (np.concatenate(part) for part in zip(*picked, strict=True))
    order = np.random.default_rng(0).permutation(len(lengths))
    read, held = (sum(n) for n in zip(*((len(one.lengths), one.samples) for one, _ in known), strict=True))
    how = known[0][0].how.partition(",")[0]
    return DataLengths(
        total, lengths[order], images[order],
        f"{how}, {read} of {held} samples of {len(known)} data sets; {total} an epoch by their weights",
        all(one.measured for one, _ in known),
    )  # fmt: skip


def _pick(one: DataLengths, rows: int) -> tuple[Ints, Ints]:
    """Take so many samples evenly over all lengths, the longest among them."""
    order = np.argsort(-one.lengths, kind="stable")
    places = order[np.arange(rows) * len(order) // rows]
    return one.lengths[places], one.image_tokens[places]
