"""One thing that was looked at: how it is, and what to do about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.Enum):
    """How a thing is: `BROKEN` keeps training from running, `NOTE` does not."""

    OK = "ok"
    NOTE = "note"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's.

    Attributes:
        group: `packages`, `extras`, `machine` or `tries`.
        name: What was looked at.
        state: How it is.
        text: What was found, in one line.
        remedy: What to do; empty where nothing is to be done.
    """

    group: str
    name: str
    state: State
    text: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """Give the finding as JSON's types."""
        return {
            "group": self.group, "name": self.name, "state": self.state.value, "text": self.text,
            "remedy": self.remedy,
        }  # fmt: skip
