"""Which rows of a source are taken, into which split, how often, and with how many negatives.

Takes a source and the options, gives the pieces of work. Reads annotations, no images; all that is
drawn is drawn here or from what is named here, so that it does not depend on who does the work.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from paddle_ground.boxes import BoolArray, IntArray
from paddle_ground.data.balance import draw_repeats, share_negatives
from paddle_ground.data.options import PrepareOptions
from paddle_ground.data.phrases import PhrasePool
from paddle_ground.data.plan import Piece, plan_pieces
from paddle_ground.data.profile import Profile, group_names, make_profile, number_groups
from paddle_ground.data.sampling import LEFT_OUT, SplitArray, draw_splits
from paddle_ground.data.source import ChunkFacts, Source
from paddle_ground.errors import DataError


@dataclass(frozen=True, slots=True)
class Draw:
    """What is to be done.

    Attributes:
        pieces: The work, in the order of the source.
        phrases: Where absent phrases are drawn from; None where none will be.
        notes: What the user should hear about the draw, a line each.
    """

    pieces: list[Piece]
    phrases: PhrasePool | None
    notes: tuple[str, ...]


def draw_pieces(source: Source, options: PrepareOptions, workers: int) -> Draw:
    """Survey a source and draw from it.

    Raises:
        DataError: A chunk can't be read, or there is nothing to draw from.
        ConfigError: An option does not fit the source.
    """
    with ThreadPoolExecutor(workers) as pool:
        facts = list(pool.map(source.survey, source.chunks))
    rows = [chunk.rows for chunk in source.chunks]
    is_val = np.repeat([chunk.split == "val" for chunk in source.chunks], rows).astype(np.bool_)
    usable = np.concatenate([fact.usable_boxes for fact in facts]) if facts else np.zeros(0, np.int64)
    eligible = np.ones(len(usable), np.bool_) if options.keep_empty else usable > 0
    if not eligible.any():
        reason = "has a usable box; pass --keep-empty" if len(usable) else "is there"
        raise DataError(f"{source.name}: no image {reason}, or choose another source")
    profile = None
    if options.needs_profile:
        profile = make_profile(source, options.task, options.ask, options.min_box_side, workers)
    groups = _groups(facts, profile, options.group_by)
    splits = draw_splits(eligible, is_val, options.total_samples, options.val_ratio, options.seed, groups)
    notes = _torn_notes(eligible, is_val, groups)
    absent, times = np.zeros(len(splits), np.int64), np.ones(len(splits), np.int64)
    phrases = None
    if profile is not None and options.negatives is not None:
        splits, absent, phrases = _balance_negatives(splits, profile, source, options)
        notes += _share_notes(splits, absent, profile, options.negatives)
    if profile is not None and options.repeat_factor_threshold is not None:
        times = draw_repeats(splits, profile.classes, options.repeat_factor_threshold, options.seed)
    return Draw(plan_pieces(source.chunks, facts, splits, absent, times), phrases, notes)


def _groups(facts: list[ChunkFacts], profile: Profile | None, pattern: str | None) -> IntArray | None:
    names: tuple[str, ...] = ()
    if profile is not None and (pattern is not None or any(profile.groups)):
        names = group_names(profile, pattern)
    elif any(fact.groups is not None for fact in facts):
        names = tuple(name for fact in facts for name in fact.groups or ("",) * len(fact.boxes))
    return number_groups(names) if any(names) else None


def _torn_notes(eligible: BoolArray, is_val: BoolArray, groups: IntArray | None) -> tuple[str, ...]:
    if groups is None:
        return ()
    torn = int((eligible & ~is_val & np.isin(groups, groups[is_val])).sum())
    found = f"groups: {len(np.unique(groups))} among {len(groups)} rows, none in both splits"
    return (found + (f"; {torn} train rows left out, as val has others of their group" if torn else ""),)


def _share_notes(splits: SplitArray, absent: IntArray, profile: Profile, share: float) -> tuple[str, ...]:
    drawn = splits != LEFT_OUT
    positives = int(profile.positives[drawn].sum())
    empty = int((drawn & (profile.positives + profile.negatives + absent == 0)).sum())
    negatives = int(profile.negatives[drawn].sum() + absent.sum()) + empty
    found = negatives / max(positives + negatives, 1)
    if abs(found - share) < 0.01 or abs(negatives - share * (positives + negatives)) < 2:
        return ()
    why = "no more images without objects" if found < share else "the source itself has more"
    return (
        f"negatives: {negatives} of {positives + negatives} samples ({100 * found:.0f} %), "
        f"not {100 * share:.0f} %: {why}",
    )


def _balance_negatives(
    splits: SplitArray, profile: Profile, source: Source, options: PrepareOptions
) -> tuple[SplitArray, IntArray, PhrasePool | None]:
    share = options.negatives or 0.0
    has_question = profile.positives + profile.negatives > 0
    if options.task == "classes":
        hosts = has_question if len(source.class_names) > 1 else np.zeros_like(has_question)
    elif options.task == "detect":
        hosts = np.zeros_like(has_question)
    else:
        hosts = profile.has_phrases if options.task == "auto" else np.ones_like(has_question)
    is_empty = ~has_question & ~hosts
    pool = None
    if options.task in ("refer", "auto") and hosts.any():
        pool = PhrasePool(profile.phrases, len(source.class_names), options.seed)
    splits, absent = share_negatives(
        splits, profile.positives, profile.negatives, is_empty, hosts, share, options.seed
    )
    if not (splits != LEFT_OUT).any():
        raise DataError(f"{source.name}: no image is left; ask for more --negatives, or leave it out")
    return splits, absent, pool
