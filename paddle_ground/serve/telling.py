"""An answer's text while it is being written: only what is certain, up to where it must stop.

Takes a row as it grows; gives the text that may be told so far, and in the end the whole. A character that
is spread over tokens is told when it is whole, a region under a grammar when nothing takes it back, and what
may be the beginning of a stop string when it turned out not to be. Knows neither sockets nor images.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field

from paddle_ground.infer.rows import Finished, Row
from paddle_ground.infer.vocabulary import Vocabulary
from paddle_ground.serve.jobs import Delta, Token


@dataclass(slots=True)
class Telling:
    """The text of one answer.

    Args:
        row: The answer.
        vocabulary: Of the model.
        stop: The text ends before the first of these.

    Attributes:
        text: What is certain so far, cut at a stop string.
        tokens: That it consists of.
        stopped: Whether a stop string was found.
    """

    row: Row
    vocabulary: Vocabulary
    stop: Sequence[str] = ()
    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    stopped: bool = False
    _read: int = 0
    _told: int = 0
    _tokens_told: int = 0
    _ends_at: list[int] = field(default_factory=list)  # where each token's text ends
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def news(self) -> Delta | None:
        """Give what became certain since the last call; none if nothing did."""
        self._follow(self.row.settled())
        safe = len(self.text) if self.stopped else len(self.text) - self._held_back()
        return self._tell(safe)

    def finish(self) -> Delta:
        """Read a row that ended, or that was stopped, to its end; gives what was not told yet."""
        if not self.stopped:
            self._follow(self.row.finished())
            self._append(self._decoder.decode(b"", True), 0)
        text, tokens = self.text[self._told :], tuple(self.tokens[self._tokens_told :])
        self._told, self._tokens_told = len(self.text), len(self.tokens)
        return Delta(text, tokens)

    def _follow(self, certain: Finished) -> None:
        for at in range(self._read, len(certain.token_ids)):
            if self.stopped:
                return
            self._read += 1
            token = certain.token_ids[at]
            if token in self.row.ends:
                continue
            raw = self.vocabulary.bytes_of(token)
            self.tokens.append(Token(raw.decode("latin-1"), certain.logprobs[at]))
            self._append(self._decoder.decode(raw), 1)

    def _append(self, more: str, tokens: int) -> None:
        before = len(self.text)
        self.text += more
        self._ends_at += [len(self.text)] * tokens
        starts = [
            at for s in self.stop if (at := self.text.find(s, max(0, before - len(s) + 1))) >= 0
        ]  # fmt: skip
        if starts:
            self.stopped = True
            self.text = self.text[: min(starts)]
            # A token whose text begins where the answer stops is no part of it.
            kept = sum(1 for end in [0, *self._ends_at[:-1]] if end < len(self.text))
            del self.tokens[kept:], self._ends_at[kept:]

    def _held_back(self) -> int:
        """Count the characters at the end with which a stop string may begin."""
        longest = max((len(s) for s in self.stop), default=1) - 1
        for count in range(min(longest, len(self.text)), 0, -1):
            if any(s.startswith(self.text[-count:]) for s in self.stop):
                return count
        return 0

    def _tell(self, up_to: int) -> Delta | None:
        text = self.text[self._told : up_to]
        if not text:
            return None
        self._told = up_to
        told = self._tokens_told
        while self._tokens_told < len(self._ends_at) and self._ends_at[self._tokens_told] <= up_to:
            self._tokens_told += 1
        return Delta(text, tuple(self.tokens[told : self._tokens_told]))
