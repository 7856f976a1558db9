"""What the rows of a whole data set are about, without their images: classes, groups, phrases.

Takes a `Source`, gives a `Profile`. Made only where an option asks for it: balance of classes, groups
by file name, a share of negatives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from paddle_ground.boxes import BoolArray, IntArray, valid_mask
from paddle_ground.data.choices import Ask, Task
from paddle_ground.data.source import Chunk, DialogueRow, Source, SourceRow, outline
from paddle_ground.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Profile:
    """Facts about R rows, in the order of the chunks.

    Attributes:
        classes: The class ids that may be asked for, ascending, a tuple a row.
        names: What the images are called; a row's place where they have no name.
        groups: What rows must not be torn from; "" for nothing.
        positives: Shape (R,), how many questions with boxes a row gives.
        negatives: Shape (R,), how many questions it gives that the source itself answers with nothing.
        has_phrases: Shape (R,), whether a row has any.
        phrases: All phrases with boxes, each with the class ids of its boxes.
    """

    classes: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    positives: IntArray
    negatives: IntArray
    has_phrases: BoolArray
    phrases: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class _RowProfile:
    classes: tuple[int, ...]
    name: str
    group: str
    positives: int
    negatives: int
    has_phrases: bool
    phrases: tuple[tuple[str, tuple[int, ...]], ...]


def make_profile(source: Source, task: Task, ask: Ask, min_side_px: float, workers: int) -> Profile:
    """Read all rows of a source without their images.

    Args:
        source: The data set.
        task: What will be asked.
        ask: How, of "classes".
        min_side_px: See `convert.RowOptions`.
        workers: How many chunks at a time.

    Raises:
        DataError: A chunk can't be read.
    """

    def look(chunk: Chunk) -> list[_RowProfile]:
        return [_look(row, task, ask, min_side_px) for row in outline(source, chunk)]

    with ThreadPoolExecutor(workers) as pool:
        rows = [row for chunk in pool.map(look, source.chunks) for row in chunk]
    return Profile(
        classes=tuple(row.classes for row in rows),
        names=tuple(row.name for row in rows),
        groups=tuple(row.group for row in rows),
        positives=np.array([row.positives for row in rows], dtype=np.int64),
        negatives=np.array([row.negatives for row in rows], dtype=np.int64),
        has_phrases=np.array([row.has_phrases for row in rows], dtype=np.bool_),
        phrases=tuple(phrase for row in rows for phrase in row.phrases),
    )


def group_names(profile: Profile, pattern: str | None) -> tuple[str, ...]:
    """Give each row's group: what the pattern finds in its image's name, else the source's group.

    Args:
        profile: Of the source.
        pattern: A regular expression; its first bracket is the group, or all of it where it has none.

    Raises:
        ConfigError: The pattern fits no name.
    """
    if pattern is None:
        return profile.groups
    found = [re.search(pattern, name) for name in profile.names]
    if not any(found):
        first = repr(profile.names[0]) if profile.names else "none"
        raise ConfigError(f"--group-by {pattern!r} fits no image's name (the first is {first}); mend it")
    return tuple(
        group if match is None else match.group(1 if match.re.groups else 0) or ""
        for match, group in zip(found, profile.groups, strict=True)
    )


def number_groups(names: tuple[str, ...]) -> IntArray:
    """Give rows of one group one number, and each row without a group one of its own."""
    numbers: dict[str, int] = {}
    return np.array(
        [
            numbers.setdefault(name, len(numbers)) if name else len(names) + place
            for place, name in enumerate(names)
        ],
        dtype=np.int64,
    )


def _look(row: SourceRow | DialogueRow, task: Task, ask: Ask, min_side_px: float) -> _RowProfile:
    name = row.name or row.where
    if isinstance(row, DialogueRow):
        return _RowProfile((), name, row.group, 1, 0, False, ())
    usable = valid_mask(row.boxes_xyxy_px, min_side_px) & ~row.is_crowd
    classes = tuple(np.unique(row.category_ids[usable]).tolist())
    phrases = tuple(_phrases(row)) if task in ("refer", "auto") else ()
    if task == "refer" or (task == "auto" and row.referrals):
        # As questions: one for equal words.
        meant = {phrase for phrase, _ in phrases}
        idle = {" ".join(one.phrase.split()) for one in row.referrals if not one.boxes} - meant
        return _RowProfile(classes, name, row.group, len(meant), len(idle), bool(row.referrals), phrases)
    asked = len(classes) if task == "classes" and ask == "each" else min(len(classes), 1)
    return _RowProfile(classes, name, row.group, asked, 0, bool(row.referrals), ())


def _phrases(row: SourceRow) -> Iterator[tuple[str, tuple[int, ...]]]:
    for referral in row.referrals:
        if referral.boxes:
            ids = row.category_ids[list(referral.boxes)]
            yield " ".join(referral.phrase.split()), tuple(np.unique(ids).tolist())
