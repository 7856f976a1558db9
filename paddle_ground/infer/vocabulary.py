"""What each token of a byte-level tokenizer stands for, in bytes.

Takes a Qwen tokenizer; gives bytes by id, and ids by text. A character may be spread over several tokens,
so only bytes add up. Knows no grammar and no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Vocabulary:
    """A tokenizer's tokens as bytes.

    Args:
        tokenizer: A byte-level BPE (Qwen2's and Qwen3's, or a small one of ours).

    Attributes:
        size: Ids are below this.
        special: Ids of the added tokens, which stand for marks and never for text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.special = frozenset(int(token) for token in tokenizer.added_tokens_decoder)
        self.size = len(tokenizer)
        self._bytes: list[bytes] | None = None

    def bytes_of(self, token: int) -> bytes:
        """Give a token's bytes; none for an id that the tokenizer doesn't know."""
        table = self.table
        return table[token] if token < len(table) else b""

    @property
    def table(self) -> list[bytes]:
        """The bytes of all tokens, by id; made at first use."""
        if self._bytes is None:
            by_character = _bytes_by_character()
            tokens = self._tokenizer.convert_ids_to_tokens(list(range(self.size)))
            self._bytes = [
                b""
                if text is None
                else text.encode()
                if token in self.special
                else bytes(by_character[character] for character in text if character in by_character)
                for token, text in enumerate(tokens)
            ]
        return self._bytes

    def encode(self, text: str) -> list[int]:
        """Give a text's ids, marks included."""
        return [int(token) for token in self._tokenizer(text, add_special_tokens=False)["input_ids"]]

    def offsets(self, token_ids: Sequence[int]) -> tuple[bytes, list[int]]:
        """Give a text's bytes, and where each token starts in them, with the end as last entry."""
        parts = [self.bytes_of(token) for token in token_ids]
        starts = [0]
        for part in parts:
            starts.append(starts[-1] + len(part))
        return b"".join(parts), starts


def _bytes_by_character() -> dict[str, int]:
    """GPT-2's table: printable bytes stand for themselves, the others for characters from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {
        **{chr(byte): byte for byte in printable},
        **{chr(256 + at): byte for at, byte in enumerate(others)},
    }
