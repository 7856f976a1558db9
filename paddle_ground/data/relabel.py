"""A source whose classes were chosen, renamed or joined.

Takes a `Source` and what to do with its classes, gives a `Source` in which it was done. Boxes of a
class that is not wanted are gone, as if nobody had annotated them; a phrase that meant one of them
goes too. Conversations are refused: their words are no classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np

from paddle_ground.boxes import BoolArray, IntArray, valid_mask
from paddle_ground.data.classes import check_classes
from paddle_ground.data.source import (
    Chunk,
    ChunkFacts,
    DialogueRow,
    Referral,
    Source,
    SourceRow,
    outline,
    read_batches,
)
from paddle_ground.errors import ConfigError

_DROPPED = -1


@dataclass(frozen=True, slots=True)
class ClassChoice:
    """What to do with classes; names are the source's own.

    Attributes:
        keep: The only ones to keep; () for all.
        drop: Those to leave out.
        rename: New name by old one; two that get one name become one class.
    """

    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    rename: Mapping[str, str] | None = None

    @property
    def changes(self) -> bool:
        """Tell whether anything is to be done."""
        return bool(self.keep or self.drop or self.rename)


EVERY_CLASS = ClassChoice()


def relabel(source: Source, choice: ClassChoice) -> Source:
    """Give a source with its classes chosen; the source itself where nothing is to be done.

    Raises:
        ConfigError: A name is no class of the source, is both kept and dropped, or nothing is left.
        DataError: A new name can't be used.
    """
    if not choice.changes:
        return source
    known, renames = source.class_names, dict(choice.rename or {})
    for option, names in (
        ("--keep-classes", choice.keep),
        ("--drop-classes", choice.drop),
        ("--rename", renames),
    ):
        for name in names:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known[:10])}, ..."
                raise ConfigError(f"{option}: no class is called {name!r}; {hint}")
    both = sorted(set(choice.drop) & {*choice.keep, *renames})
    if both:
        raise ConfigError(f"--drop-classes: {both[0]!r} is to be kept or renamed too; choose one")
    wanted = [name for name in known if name not in choice.drop and (name in choice.keep or not choice.keep)]
    new_names = tuple(dict.fromkeys(renames.get(name, name) for name in wanted))
    if not new_names:
        raise ConfigError("--drop-classes leaves no class; keep at least one")
    check_classes(new_names, "--rename")
    new_ids = {name: new_names.index(renames.get(name, name)) for name in wanted}
    numbers = np.array([new_ids.get(name, _DROPPED) for name in known], dtype=np.int64)
    return _Relabelled(source, new_names, numbers)


class _Relabelled:
    """See `relabel`."""

    def __init__(self, source: Source, class_names: tuple[str, ...], new_ids: IntArray) -> None:
        self._source, self._new_ids = source, new_ids
        self.class_names = class_names
        self.name, self.fingerprint, self.chunks = source.name, source.fingerprint, source.chunks
        self.notes = (
            *source.notes,
            f"classes: {len(class_names)} of {len(new_ids)} after filter and renaming",
        )

    def survey(self, chunk: Chunk) -> ChunkFacts:
        facts = self._source.survey(chunk)
        return replace(facts, usable_boxes=_count_usable(self.outline(chunk), facts))

    def outline(self, chunk: Chunk) -> Iterator[SourceRow]:
        return map(self._change, outline(self._source, chunk))

    def read(self, chunk: Chunk, rows: IntArray) -> Iterator[SourceRow]:
        return map(self._change, self._source.read(chunk, rows))

    def read_batches(self, chunk: Chunk, rows: IntArray) -> Iterator[list[SourceRow]]:
        for batch in read_batches(self._source, chunk, rows):
            yield [self._change(row) for row in batch]

    def _change(self, row: SourceRow | DialogueRow) -> SourceRow:
        if isinstance(row, DialogueRow):
            raise ConfigError(
                f"{row.where}: the words of a conversation are no classes; leave out --keep-classes, "
                "--drop-classes and --rename"
            )
        numbers = self._new_ids[row.category_ids]
        kept: BoolArray = numbers != _DROPPED
        return replace(
            row,
            boxes_xyxy_px=row.boxes_xyxy_px[kept],
            category_ids=numbers[kept],
            areas_px=row.areas_px[kept],
            is_crowd=row.is_crowd[kept],
            referrals=_follow(row.referrals, kept),
        )


def _count_usable(rows: Iterator[SourceRow], facts: ChunkFacts) -> IntArray:
    counts = facts.usable_boxes.copy()
    for place, row in enumerate(rows):
        counts[place] = (valid_mask(row.boxes_xyxy_px) & ~row.is_crowd).sum()
    return counts


def _follow(referrals: tuple[Referral, ...], kept: BoolArray) -> tuple[Referral, ...]:
    """Let phrases mean the boxes that are left; one that lost any would not be answered in full."""
    if not referrals:
        return ()
    places = np.cumsum(kept) - 1
    return tuple(
        Referral(referral.phrase, tuple(int(places[box]) for box in referral.boxes))
        for referral in referrals
        if all(kept[box] for box in referral.boxes)
    )
