"""Bring answers to their ends: prompts read once, then all running answers a few tokens further at a time.

Takes `Row`s; writes tokens into them. In three parts: prefill (prompts to cache and first hidden states),
read (new tokens to the next hidden states; `paddle_ground.backend.text_decoder`), choose (logits to tokens;
`paddle_ground.infer.sampling`). A row that ends leaves at once, and the next prompt takes its place. The
vision tower runs once an image, never again at each token as PaddleFormers' `generate` would have it.
Knows neither requests nor formats.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddle_ground.infer.preprocess import collate
from paddle_ground.infer.rows import Row


class Generation:
    """Rows under way with one model.

    Args:
        loaded: The model with its tokenizer (`paddle_ground.backend.loading.LoadedModel`).

    Attributes:
        running: The rows that have been read and have not ended.
    """

    def __init__(self, loaded: Any) -> None:
        from paddle_ground.backend.text_decoder import TextDecoder

        self.running: list[Row] = []
        self._model = loaded.model
        self._pad = _pad_token_id(loaded)
        self._decoder = TextDecoder(loaded.model)

    def run(self, rows: Sequence[Row], batch_size: int) -> None:
        """Bring all rows to their ends, at most `batch_size` of them under way."""
        # Neighbours of like length need little padding; the longest first, so that none is left over last.
        waiting = sorted(rows, key=lambda row: -len(row.prompt.token_ids))
        while waiting or self.running:
            room = batch_size - len(self.running)
            # A prompt read alone costs nearly what several do, so a few places are let run free first.
            if waiting and (not self.running or room >= min(len(waiting), 1 + batch_size // 4)):
                new, waiting = waiting[:room], waiting[room:]
                self.admit(new)
            else:
                self.advance()

    def admit(self, rows: Sequence[Row]) -> None:
        """Read the prompts of new rows and let each write its first token.

        Where that fails, the rows that were running before can go on.
        """
        start = time.perf_counter()
        try:
            self._choose(self._prefill(rows), rows)
        except Exception:
            self._decoder.cache.keep(np.arange(len(self.running)))
            raise
        self.running += rows
        self._settle(start)

    def advance(self) -> None:
        """Let every running row read what it wrote last and write on."""
        start = time.perf_counter()
        positions = np.array([row.next_position for row in self.running], np.int64)
        chunks = [row.pending for row in self.running]
        for row in self.running:
            row.next_position += len(row.pending)
        self._choose(self._decoder.read(chunks, positions), self.running)
        self._settle(start)

    def _settle(self, start: float) -> None:
        """Share the time out among all rows, and let those that ended go."""
        share = (time.perf_counter() - start) / len(self.running)
        for row in self.running:
            row.seconds += share
        self._keep([i for i, row in enumerate(self.running) if not row.reason])

    def drop(self, rows: Sequence[Row]) -> None:
        """Let running rows go before they end; others among `rows` are passed over."""
        gone = {id(row) for row in rows}
        self._keep([i for i, row in enumerate(self.running) if id(row) not in gone])

    def _keep(self, going: list[int]) -> None:
        if len(going) < len(self.running):
            self._decoder.cache.keep(np.array(going, np.int64))
            self.running = [self.running[i] for i in going]

    def _prefill(self, rows: Sequence[Row]) -> Any:
        """Read whole prompts into the decoder's cache; gives the hidden state after each, (B, 1, hidden)."""
        import paddle
        from paddleformers.transformers.cache_utils import DynamicCache

        batch = collate([row.prompt for row in rows], self._pad)
        token_ids, mask = paddle.to_tensor(batch.token_ids), paddle.to_tensor(batch.mask)
        # Questions in words alone take no way through the vision tower.
        patches, grids = (
            (paddle.to_tensor(batch.patches), paddle.to_tensor(batch.grids_thw))
            if len(batch.patches)
            else (None, None)
        )
        positions, deltas = self._model.model.get_rope_index(
            token_ids, image_grid_thw=grids, attention_mask=mask
        )
        cache = DynamicCache(config=self._model.config.text_config)
        out = self._model.model(
            input_ids=token_ids,
            pixel_values=patches,
            image_grid_thw=grids,
            attention_mask=mask if bool((batch.mask == 0).any()) else None,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        )
        length = batch.token_ids.shape[1]
        pairs = [(layer.keys, layer.values) for layer in cache.layers]
        self._decoder.cache.add(pairs, length - batch.mask.sum(1))
        for row, delta in zip(rows, deltas.numpy().reshape(-1), strict=True):
            row.next_position = int(delta) + length
        return out.last_hidden_state[:, -1:, :]

    def _choose(self, hidden: Any, rows: Sequence[Row]) -> None:
        """Let every row write its next tokens, given (B, 1, hidden)."""
        # Of a tensor-parallel model each process holds a part of the vocabulary; all of them need it whole.
        logits = self._model.lm_head(hidden, tensor_parallel_output=False)[:, 0, :].astype("float32")
        if any(row.takes_likeliest for row in rows):
            tokens, logprobs = likeliest(logits)
        host = None if all(row.takes_likeliest for row in rows) else logits.numpy()
        for at, row in enumerate(rows):
            if row.takes_likeliest:
                row.write(int(tokens[at]), float(logprobs[at]))
            else:
                assert host is not None
                row.feed(host[at])


def likeliest(logits: Any) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Take the likeliest token of each row and the logarithm of its probability; from (B, vocabulary)."""
    best = logits.max(-1)
    total = (logits - best.unsqueeze(-1)).exp().sum(-1).log()
    tokens: NDArray[np.int64] = logits.argmax(-1).numpy().astype(np.int64)
    logprobs: NDArray[np.float32] = -total.numpy()
    return tokens, logprobs


def _pad_token_id(loaded: Any) -> int:
    pad = loaded.tokenizer.pad_token_id
    return int(pad if pad is not None else min(loaded.end_token_ids))
