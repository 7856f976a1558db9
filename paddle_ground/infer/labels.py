"""Which tokens may go on a label: any clean text, or one of some names.

Takes a vocabulary; gives, for a label as far as it is written, the ids that may follow and whether it may
end. Knows nothing of boxes and formats.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from paddle_ground.errors import ConfigError
from paddle_ground.infer.vocabulary import Vocabulary

Ints = NDArray[np.int64]

MAX_LABEL_TOKENS = 32
"""A free label is ended here; a model that goes on would go on for ever."""

_NEVER = frozenset('<>|"\\`')  # what special tokens, placeholders and JSON's own marks are made of
# After these first bytes of a character not every second byte is allowed (Unicode 15, table 3-7).
_FUSSY_LEADS = frozenset({0xE0, 0xED, 0xF0, 0xF4})


class Labels(Protocol):
    """What labels may be."""

    def follow(self, label: Sequence[int]) -> tuple[Ints, bool]:
        """Give the ids that may follow the label so far, and whether it may end here."""


class KnownLabels:
    """Some names and no others.

    Args:
        names: As they are written in the answer.
        vocabulary: Of the model.

    Raises:
        ConfigError: There is no name, or a blank one.
    """

    def __init__(self, names: Iterable[str], vocabulary: Vocabulary) -> None:
        self._root = _Node()
        for name in names:
            if not name.strip():
                raise ConfigError("a blank class name; a box needs a name")
            node = self._root
            for token in vocabulary.encode(name):
                node = node.children.setdefault(token, _Node())
            node.ends = True
        if not self._root.children:
            raise ConfigError("no class names; name at least one, or leave labels free")

    def follow(self, label: Sequence[int]) -> tuple[Ints, bool]:
        """See `Labels`."""
        node = self._root
        for token in label:
            node = node.children[token]
        return np.array(list(node.children), np.int64), node.ends


@dataclass(slots=True)
class _Node:
    children: dict[int, _Node] = field(default_factory=dict)
    ends: bool = False


class FreeLabels:
    """Any text of printable characters and single blanks inside, without marks that a format is made of.

    Args:
        vocabulary: Of the model. Characters may be spread over several tokens; they are always completed.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._table = vocabulary.table
        self._needs: dict[int, int] = {}  # bytes that a token leaves open
        anywhere: list[int] = []
        after_blank: list[int] = []
        self._within: dict[int, list[int]] = {1: [], 2: [], 3: []}
        self._only_within: dict[int, list[int]] = {1: [], 2: [], 3: []}
        for token, piece in enumerate(self._table):
            if not piece or token in vocabulary.special:
                continue
            lead = next((at for at, byte in enumerate(piece) if not 0x80 <= byte < 0xC0), len(piece))
            need = _clean_need(piece[lead:])
            if need is None or lead > 3:
                continue
            self._needs[token] = need
            if lead == 0:
                anywhere.append(token)
                if not piece.startswith(b" "):
                    after_blank.append(token)
            elif lead < len(piece):
                self._within[lead].append(token)
            else:
                for open_bytes in range(lead, 4):
                    self._within[open_bytes].append(token)
                    self._only_within[open_bytes].append(token)
        self._anywhere, self._after_blank = np.array(anywhere, np.int64), np.array(after_blank, np.int64)
        letters = [token for token in anywhere if self._table[token].isalpha() and not self._needs[token]]
        self._letters = np.array(letters, np.int64)

    def follow(self, label: Sequence[int]) -> tuple[Ints, bool]:
        """See `Labels`."""
        need = self._open_bytes(label)
        full = len(label) >= MAX_LABEL_TOKENS
        if need:
            return np.array((self._only_within if full else self._within)[need], np.int64), False
        text = b"".join(self._table[token] for token in label)
        may_end = bool(text.decode(errors="ignore").strip()) and not text.endswith(b" ")
        if full:
            return (np.zeros(0, np.int64) if may_end else self._letters), may_end
        return (self._after_blank if not text or text.endswith(b" ") else self._anywhere), may_end

    def _open_bytes(self, label: Sequence[int]) -> int:
        need = 0
        for token in label:
            piece = self._table[token]
            whole_inside = all(0x80 <= byte < 0xC0 for byte in piece)
            need = need - len(piece) if whole_inside else self._needs[token]
        return need


def _clean_need(piece: bytes) -> int | None:
    """Give how many bytes the last character of a clean text still lacks; none where it is not clean."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    try:
        text = decoder.decode(piece)
    except UnicodeDecodeError:
        return None
    if (
        not all(c == " " or (c.isprintable() and c not in _NEVER and c != "\ufffd") for c in text)
        or "  " in text
    ):
        return None
    rest = decoder.getstate()[0]
    if not rest:
        return 0
    if len(rest) == 1 and rest[0] in _FUSSY_LEADS:
        return None
    length = 2 if rest[0] < 0xE0 else 3 if rest[0] < 0xF0 else 4
    return length - len(rest)
