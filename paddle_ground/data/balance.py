"""How often rows are shown, and how many of them show nothing: class balance and negatives.

Takes what a `Profile` knows and a draw, gives numbers a row. Reads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paddle_ground.boxes import BoolArray, IntArray
from paddle_ground.data.sampling import LEFT_OUT, TRAIN, VAL, SplitArray


def repeat_factors(classes: Sequence[Sequence[int]], threshold: float) -> list[float]:
    """Give each image's repeat factor (Gupta et al. 2019, LVIS, section "repeat factor sampling").

    With f(c) the share of images that show class c: r(c) = max(1, sqrt(threshold / f(c))), and an
    image's factor is the largest of its classes.

    Args:
        classes: The different classes of each image.
        threshold: The share of images below which a class counts as rare, above 0.
    """
    counts: dict[int, int] = {}
    for own in classes:
        for category in own:
            counts[category] = counts.get(category, 0) + 1
    factor = {
        category: max(1.0, (threshold * len(classes) / count) ** 0.5) for category, count in counts.items()
    }
    return [max((factor[category] for category in own), default=1.0) for own in classes]


def draw_repeats(
    splits: SplitArray, classes: Sequence[Sequence[int]], threshold: float, seed: int
) -> IntArray:
    """Draw how often each row stands in its split: 1 in val, its repeat factor in train.

    A factor of 2.3 gives 3 with probability 0.3, else 2, so that classes are shown as often as they
    should on average.

    Args:
        splits: Shape (R,), the draw.
        classes: R tuples.
        threshold: See `repeat_factors`.
        seed: Same seed, same draw.

    Returns:
        Shape (R,), 1 or more.
    """
    times = np.ones(len(splits), dtype=np.int64)
    rows = np.flatnonzero(splits == TRAIN)
    factors = np.array(repeat_factors([classes[row] for row in rows.tolist()], threshold))
    if len(rows):
        whole = np.floor(factors)
        drawn = np.random.default_rng(seed).random(len(rows)) < factors - whole
        times[rows] = whole.astype(np.int64) + drawn
    return times


def share_negatives(
    splits: SplitArray,
    positives: IntArray,
    negatives: IntArray,
    is_empty: BoolArray,
    is_host: BoolArray,
    share: float,
    seed: int,
) -> tuple[SplitArray, IntArray]:
    """Bring the share of questions with an empty answer to what is wanted, in each split.

    Images without any object come first where nothing absent can be asked for; else they give half,
    and questions for absent things, spread evenly over the images, the rest.

    Args:
        splits: Shape (R,), the draw.
        positives: Shape (R,), questions with boxes.
        negatives: Shape (R,), questions that are negative by themselves, all of them kept.
        is_empty: Shape (R,), rows that are one negative question if they stay; the rest stays.
        is_host: Shape (R,), rows that can be asked for what is not there.
        share: Of all questions, 0 to less than 1.
        seed: Same seed, same choice.

    Returns:
        The draw without the empty rows that are too many, and shape (R,): how many absent questions
        each row gets.
    """
    splits, absent = splits.copy(), np.zeros(len(splits), dtype=np.int64)
    generator = np.random.default_rng(seed)
    for split in (TRAIN, VAL):
        rows = np.flatnonzero(splits == split)
        wanted = int(positives[rows].sum() * share / (1 - share) + 0.5) - int(negatives[rows].sum())
        empty = generator.permutation(rows[is_empty[rows]])
        hosts = generator.permutation(rows[is_host[rows]])
        from_empty = (wanted + 1) // 2 if len(hosts) else wanted
        kept = min(len(empty), max(from_empty, 0))
        splits[empty[kept:]] = LEFT_OUT
        if len(hosts) and wanted > kept:
            each, more = divmod(wanted - kept, len(hosts))
            absent[hosts] = each
            absent[hosts[:more]] += 1
    return splits, absent
