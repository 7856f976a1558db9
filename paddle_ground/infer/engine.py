"""Ask a model: one prefill a batch, then one token at a time from the key-value cache.

Takes `Request`s; gives `Answer`s. In four parts: preprocess (requests to prompts), prefill (prompts to
cache and first logits), decode (one token a row to the next logits), sample (logits to tokens; greedy).
The vision tower runs once an image, never again at each token as PaddleFormers' `generate` would
have it. Knows no boxes: what an answer means is read in `paddle_ground.infer.grounding`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddle_ground.boxes import RELATIVE_1000, CoordinateSpace, coordinate_space
from paddle_ground.errors import ConfigError
from paddle_ground.infer.preprocess import PixelLimits, Preprocessor, Prompt, PromptBatch, collate
from paddle_ground.infer.request import Answer, Request
from paddle_ground.records import GroundingConfig, read_grounding
from paddle_ground.records.meta import GROUNDING_FILE

DEFAULT_MAX_NEW_TOKENS = 512

LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class _Decoding:
    """What a running batch needs from one step to the next.

    Attributes:
        cache: Keys and values of everything read so far.
        mask: Shape (B, tokens so far), 0 for padding; none where no row is padded.
        next_position: Shape (B,), the position of each row's next token.
    """

    cache: Any
    mask: NDArray[np.int64] | None
    next_position: NDArray[np.int64]


class Engine:
    """A loaded model that answers requests.

    Attributes:
        loaded: The model with its processor (`paddle_ground.backend.loading.LoadedModel`).
        grounding: How the model was trained to point; none for a checkpoint that doesn't say.
    """

    def __init__(self, loaded: Any, grounding: GroundingConfig | None = None) -> None:
        self.loaded = loaded
        self.grounding = grounding
        self._model = loaded.model
        self._preprocessor = Preprocessor(loaded.processor, pixel_limits(grounding))

    @classmethod
    def load(cls, model_dir: str | Path, *, dtype: str = "float32") -> Engine:
        """Load a model folder.

        Args:
            model_dir: A Qwen3-VL checkpoint. Its `grounding.json` says how it must be asked; where it
                has none, the model family's defaults are taken and a warning says so.
            dtype: "float32", "bfloat16" or "float16".

        Raises:
            ModelError: The checkpoint can't be loaded.
            RecordError: Its `grounding.json` is wrong.
        """
        from paddle_ground.backend.loading import load_model

        grounding = grounding_of(model_dir)
        return cls(load_model(model_dir, dtype=dtype), grounding)

    @property
    def coordinate_space(self) -> CoordinateSpace:
        """The numbers in which the model speaks of boxes."""
        return coordinate_space(self.grounding.coordinate_space) if self.grounding else RELATIVE_1000

    def answer(
        self, requests: Sequence[Request], *, max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS
    ) -> list[Answer]:
        """Answer requests as one batch.

        Args:
            requests: Images may differ in size and prompts in length; a row's answer does not depend
                on its neighbours.
            max_new_tokens: Where an answer is cut off.

        Returns:
            One answer a request, in order.

        Raises:
            DataError: An image can't be read.
            RecordError: A request's marks don't match its images.
        """
        return self.generate([self.prepare(request) for request in requests], max_new_tokens=max_new_tokens)

    def prepare(self, request: Request) -> Prompt:
        """Read a request's images and write its prompt; raises as `answer` does."""
        return self._preprocessor.prepare(request)

    def generate(
        self, prompts: Sequence[Prompt], *, max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS
    ) -> list[Answer]:
        """Answer prepared prompts as one batch; see `answer`."""
        if max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {max_new_tokens}; it must be at least 1")
        if not prompts:
            return []
        start = time.perf_counter()
        rows = self._decode(collate(prompts, self._pad_token_id), max_new_tokens)
        share = (time.perf_counter() - start) / len(prompts)
        return [self._answer(prompt, row, share) for prompt, row in zip(prompts, rows, strict=True)]

    def _decode(self, batch: PromptBatch, max_new_tokens: int) -> list[list[int]]:
        import paddle

        ends = np.array(sorted(self.loaded.end_token_ids), np.int64)
        rows: list[list[int]] = [[] for _ in batch.token_ids]
        running = np.ones(len(rows), bool)
        with paddle.no_grad():
            logits, state = self._prefill(batch)
            while True:
                tokens = greedy(logits)
                for row in np.flatnonzero(running):
                    rows[row].append(int(tokens[row]))
                running &= ~np.isin(tokens, ends)
                if not running.any() or max(map(len, rows)) >= max_new_tokens:
                    return rows
                # Finished rows run on until the batch is done; nobody reads what they say.
                logits = self._step(tokens, state)

    def _prefill(self, batch: PromptBatch) -> tuple[Any, _Decoding]:
        """Read whole prompts; gives the logits after each row's last token, (B, vocabulary)."""
        import paddle
        from paddleformers.transformers.cache_utils import DynamicCache

        token_ids, mask = paddle.to_tensor(batch.token_ids), paddle.to_tensor(batch.mask)
        grids = paddle.to_tensor(batch.grids_thw)
        positions, deltas = self._model.model.get_rope_index(token_ids, grids, None, mask)
        padded = bool((batch.mask == 0).any())
        cache = DynamicCache(config=self._model.config.text_config)
        out = self._model.model(
            input_ids=token_ids,
            pixel_values=paddle.to_tensor(batch.patches),
            image_grid_thw=grids,
            attention_mask=mask if padded else None,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        )
        length = batch.token_ids.shape[1]
        next_position = deltas.numpy().reshape(-1).astype(np.int64) + length
        return self._last_logits(out), _Decoding(cache, batch.mask if padded else None, next_position)

    def _step(self, tokens: NDArray[np.int64], state: _Decoding) -> Any:
        """Read one token a row; gives the logits after it, (B, vocabulary)."""
        import paddle

        if state.mask is not None:
            state.mask = np.concatenate([state.mask, np.ones((len(tokens), 1), np.int64)], axis=1)
        # Text counts on along all three axes at once.
        positions = np.broadcast_to(state.next_position[None, :, None], (3, len(tokens), 1))
        out = self._model.model(
            input_ids=paddle.to_tensor(tokens[:, None]),
            attention_mask=None if state.mask is None else paddle.to_tensor(state.mask),
            position_ids=paddle.to_tensor(np.ascontiguousarray(positions)),
            past_key_values=state.cache,
            use_cache=True,
            return_dict=True,
        )
        state.next_position = state.next_position + 1
        return self._last_logits(out)

    def _last_logits(self, out: Any) -> Any:
        return self._model.lm_head(out.last_hidden_state[:, -1:, :])[:, -1, :]

    @property
    def _pad_token_id(self) -> int:
        pad = self.loaded.tokenizer.pad_token_id
        return int(pad if pad is not None else min(self.loaded.end_token_ids))

    def _answer(self, prompt: Prompt, row: list[int], seconds: float) -> Answer:
        tokenizer = self.loaded.tokenizer
        return Answer(
            text=tokenizer.decode(row, skip_special_tokens=False, clean_up_tokenization_spaces=False),
            token_ids=tuple(row),
            seconds=seconds,
            finish_reason="stop" if row[-1] in self.loaded.end_token_ids else "length",
            size_wh=prompt.size_wh,
            prompt_tokens=len(prompt.token_ids),
        )


def greedy(logits: Any) -> NDArray[np.int64]:
    """Take the likeliest token of each row; (B, vocabulary) -> (B,)."""
    tokens: NDArray[np.int64] = logits.astype("float32").argmax(-1).numpy().astype(np.int64)
    return tokens


def grounding_of(model_dir: str | Path) -> GroundingConfig | None:
    """Read how a model must be asked, or say aloud that it doesn't tell.

    Raises:
        RecordError: There is a `grounding.json`, and it is wrong.
    """
    if (Path(model_dir) / GROUNDING_FILE).is_file():
        return read_grounding(model_dir)
    limits = pixel_limits(None)
    LOGGER.warning(
        "%s: no %s, so Qwen3-VL's defaults are assumed: boxes in %s, either answer format, "
        "images of at most %d pixels",
        model_dir, GROUNDING_FILE, RELATIVE_1000.name, limits.max_pixels,
    )  # fmt: skip
    return None


def pixel_limits(grounding: GroundingConfig | None) -> PixelLimits:
    """Give the image areas that a model was trained with; PaddleFormers' own where it doesn't tell."""
    if grounding is not None:
        return PixelLimits(grounding.min_pixels, grounding.max_pixels)
    from paddle_ground.backend.mends import STOCK_MAX_PIXELS, STOCK_MIN_PIXELS

    return PixelLimits(STOCK_MIN_PIXELS, STOCK_MAX_PIXELS)
