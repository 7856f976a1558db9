"""Which rows to leave out because they are there already, or show in train what val shows.

Takes the notes of all pieces, gives what to drop. The same image file in two rows, under whatever ids,
is kept once: val before train, so that nothing that is trained on is in val, and then the earlier row.
So is the same conversation. What shows an image of val in another way (a mosaic, another question of
another row) leaves train too.
"""

from __future__ import annotations

import filecmp
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from paddle_ground.data.notes import SAID, RowNote, read_notes
from paddle_ground.data.sampling import TRAIN, VAL
from paddle_ground.data.tally import PieceSums
from paddle_ground.files import sha256_file

DUPLICATE_IMAGE, DUPLICATE_QUESTION, IN_VAL = "duplicate_image", "duplicate_question", "image_in_val"
_MANY = 4
RowKey = tuple[int, int]
"""Number of the piece, in order, and place of the row in it."""


@dataclass(slots=True)
class Overview:
    """What a look through all notes found.

    Attributes:
        splits: Those that any row belongs to.
        sweeps: By part and repetition, in which pieces there are such samples; see `merge.merge_pieces`.
        rows: The rows to drop.
        val_sources: `RowNote.sources` that train must not show.
        images: The image files that nothing needs that is kept.
        needs_ids: Whether rows gave several samples or changed images, so that ids of rows don't do.
        sums: Of those pieces whose lines go into the output as they are and in order.
    """

    splits: set[int] = field(default_factory=set)
    sweeps: dict[tuple[int, int], set[int]] = field(default_factory=dict)
    rows: set[RowKey] = field(default_factory=set)
    val_sources: set[str] = field(default_factory=set)
    images: set[str] = field(default_factory=set)
    needs_ids: bool = False
    sums: dict[int, PieceSums] = field(default_factory=dict)

    def reason(self, piece: int, note: RowNote) -> str:
        """Tell why a sample is dropped; "" where it is kept."""
        if (piece, note.row) in self.rows:
            return DUPLICATE_QUESTION if note.content.startswith(SAID) else DUPLICATE_IMAGE
        if note.split == TRAIN and not self.val_sources.isdisjoint(note.sources):
            return IN_VAL
        return ""


class _Place(NamedTuple):
    """Where a content was seen: val first, then in order, which no two places share."""

    rank: int
    order: int
    row: RowKey
    image: str
    is_untouched: bool


class Look:
    """A look through the notes of all pieces, which can begin while some are still being made.

    Args:
        paths: The piece files, in the order of the source.
        folder: Where the image files stand.

    Attributes:
        paths: As given.
    """

    def __init__(self, paths: Sequence[Path], folder: Path) -> None:
        self.paths, self._folder = paths, folder
        self._overview = Overview()
        self._seen = self._order = 0
        self._first: dict[str, _Place] = {}
        self._alike: dict[str, list[_Place]] = {}
        self._has_sources = False

    def add_next(self) -> None:
        """Look through the next piece, which has been made."""
        piece, overview, last, sums = self._seen, self._overview, None, PieceSums()
        sweeps: set[tuple[int, int]] = set()
        for order, note in enumerate(read_notes(self.paths[piece]), self._order):
            self._order = order + 1
            overview.splits.add(note.split)
            sums.add(note)
            if (note.part, note.times) not in sweeps:
                sweeps.add((note.part, note.times))
                for repetition in range(note.times):
                    overview.sweeps.setdefault((note.part, repetition), set()).add(piece)
            if not note.images:
                continue
            self._has_sources = self._has_sources or bool(note.sources)
            overview.needs_ids |= note.row == last or not note.is_untouched
            if note.row == last:
                continue  # Another sample of the same row.
            last = note.row
            rank = 0 if note.split == VAL else 1
            place = _Place(rank, order, (piece, note.row), note.images[0], note.is_untouched)
            found = self._first.setdefault(note.content, place)
            if found is not place:
                self._alike.setdefault(note.content, [found]).append(place)
        overview.sums[piece] = sums
        self._seen += 1

    def finish(self) -> Overview:
        """Find what is in the pieces, and what of it to drop."""
        while self._seen < len(self.paths):
            self.add_next()
        for group in self._alike.values():
            for like in _told_apart(sorted(group), self._folder):
                self._overview.rows.update(_find_again(like, self._folder))
        overview = self._overview
        if self._has_sources or overview.rows:
            _find_images(self.paths, overview)
        if overview.needs_ids or self._has_sources or overview.sweeps.keys() - {(0, 0)}:
            overview.sums.clear()
        for piece, _ in overview.rows:
            overview.sums.pop(piece, None)
        return overview


def _notes(paths: Sequence[Path]) -> Iterator[tuple[int, RowNote]]:
    for piece, path in enumerate(paths):
        for note in read_notes(path):
            yield piece, note


def _told_apart(group: list[_Place], folder: Path) -> list[list[_Place]]:
    """Split places by what is in their whole files, where there are many: each is read once for that."""
    if len(group) < _MANY or not all(place.is_untouched for place in group):
        return [group]
    found: dict[str, list[_Place]] = {}
    for place in group:
        path = folder / place.image
        # What is gone is like any that is kept, such as the first one.
        content = sha256_file(path) if path.exists() else next(iter(found), "")
        found.setdefault(content, []).append(place)
    return list(found.values())


def _find_again(group: Sequence[_Place], folder: Path) -> Iterator[RowKey]:
    kept: list[_Place] = []
    for place in group:
        if any(_are_same(place, other, folder) for other in kept):
            yield place.row
        else:
            kept.append(place)


def _are_same(place: _Place, kept: _Place, folder: Path) -> bool:
    # Equal keys say "likely"; the bytes say so for sure, where both were written as they are. A file that
    # is gone was found a duplicate by a run that was stopped after that.
    if not (place.is_untouched and kept.is_untouched):
        return True
    path = folder / place.image
    return not path.exists() or filecmp.cmp(path, folder / kept.image, shallow=False)


def _find_images(paths: Sequence[Path], overview: Overview) -> None:
    for piece, note in _notes(paths):
        if note.split == VAL and note.images and (piece, note.row) not in overview.rows:
            overview.val_sources.update(note.sources or (note.content,))
    kept: set[str] = set()
    for piece, note in _notes(paths):
        (overview.images if overview.reason(piece, note) else kept).update(note.images)
    overview.images -= kept
