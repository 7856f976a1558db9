"""What rows came to: counts by kind, and a few places for each reason why something was left out.

Takes notes, gives sums. Knows neither lines nor files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from paddle_ground.data.notes import RowNote

_EXAMPLES = 3


@dataclass(slots=True)
class Tally:
    """Sums of one split.

    Attributes:
        counts: As in `SamplesMeta.counts`.
        examples: The first few places by reason for leaving something out.
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def count(self, counts: Mapping[str, int]) -> None:
        """Add what a sample counts."""
        # Not Counter.update, which asks what it was given.
        for name, number in counts.items():
            self.counts[name] += number

    def skip(self, reason: str, where: str) -> None:
        """Count something left out."""
        self.counts[f"skipped_{reason}"] += 1
        places = self.examples.setdefault(reason, [])
        if len(places) < _EXAMPLES:
            places.append(where)

    def add(self, other: Tally) -> None:
        """Add the sums of what comes behind."""
        self.count(other.counts)
        for reason, places in other.examples.items():
            own = self.examples.setdefault(reason, [])
            own += places[: _EXAMPLES - len(own)]


class PieceSums:
    """Sums of a piece each of whose rows gave one sample of an image of its own, once, or none."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.splits = bytearray()
        self.tallies: dict[int, Tally] = {}

    def add(self, note: RowNote) -> None:
        """Add the next row."""
        tally = self.tallies.get(note.split)
        if tally is None:
            tally = self.tallies[note.split] = Tally()
        for reason, where in note.skipped:
            tally.skip(reason, where)
        if note.images:
            tally.count(note.counts)
        # Which split its lines belong to; 0 for a row without.
        self.splits.append(note.split if note.images else 0)
