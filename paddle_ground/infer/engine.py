"""Ask a model: each prompt read once, then all running answers a few tokens further at a time.

Takes `Request`s; gives `Answer`s. In four parts: preprocess (requests to prompts), prefill (prompts to
cache and first logits), read (new tokens to the next logits; `paddle_ground.backend.text_decoder`),
choose (logits to tokens; `paddle_ground.infer.sampling`). An answer that ends leaves the batch at once and
the next prompt takes its place. The vision tower runs once an image, never again at each token as
PaddleFormers' `generate` would have it. Knows no boxes: what an answer means is read in
`paddle_ground.infer.grounding`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddle_ground.answers import answer_format
from paddle_ground.boxes import RELATIVE_1000, CoordinateSpace, coordinate_space
from paddle_ground.errors import ConfigError, ModelError
from paddle_ground.infer.grammar import Grammar
from paddle_ground.infer.preprocess import PixelLimits, Preprocessor, Prompt, collate
from paddle_ground.infer.request import Answer, Request
from paddle_ground.infer.rows import Constraint, Row
from paddle_ground.infer.sampling import GREEDY, Sampling
from paddle_ground.infer.vocabulary import Vocabulary
from paddle_ground.records import GroundingConfig, read_grounding
from paddle_ground.records.meta import GROUNDING_FILE

DEFAULT_MAX_NEW_TOKENS = 512

LOGGER = logging.getLogger(__name__)


class Engine:
    """A loaded model that answers requests.

    Attributes:
        loaded: The model with its processor (`paddle_ground.backend.loading.LoadedModel`).
        grounding: How the model was trained to point; none for a checkpoint that doesn't say.
        vocabulary: Its tokens as bytes.
        jump_forward: Whether tokens that a grammar forces are read in one pass with the next free one.
            The answers are the same without, only later.
    """

    jump_forward = True

    def __init__(self, loaded: Any, grounding: GroundingConfig | None = None) -> None:
        self.loaded = loaded
        self.grounding = grounding
        self._grammars: dict[tuple[str, ...] | None, Grammar] = {}
        self.vocabulary = Vocabulary(loaded.tokenizer)
        self._model = loaded.model
        self._preprocessor = Preprocessor(loaded.processor, pixel_limits(grounding))

    @classmethod
    def load(cls, model_dir: str | Path, *, dtype: str = "float32") -> Engine:
        """Load a model folder.

        Args:
            model_dir: A Qwen3-VL checkpoint. Its `grounding.json` says how it must be asked; where it
                has none, the model family's defaults are taken and a warning says so.
            dtype: "float32", "bfloat16" or "float16"; a CPU has kernels for float32 only.

        Raises:
            ModelError: The checkpoint can't be loaded, or not computed with here.
            RecordError: Its `grounding.json` is wrong.
        """
        from paddle_ground.backend.loading import load_model, on_cpu

        if dtype in ("bfloat16", "float16") and on_cpu():
            raise ModelError(f"Paddle multiplies no {dtype} matrices on a CPU; use --dtype float32")
        grounding = grounding_of(model_dir)
        return cls(load_model(model_dir, dtype=dtype), grounding)

    @property
    def coordinate_space(self) -> CoordinateSpace:
        """The numbers in which the model speaks of boxes."""
        return coordinate_space(self.grounding.coordinate_space) if self.grounding else RELATIVE_1000

    def grammar(self, labels: Sequence[str] | None = None) -> Grammar | None:
        """Give the grammar of this model's answers; none where the model doesn't say its format.

        Args:
            labels: The names that labels may be; none leaves them free.

        Raises:
            ModelError: The tokenizer doesn't suit.
            ConfigError: A name is blank.
        """
        if self.grounding is None:
            return None
        key = None if labels is None else tuple(labels)
        if key not in self._grammars:
            fmt, end = answer_format(self.grounding.answer_format), int(self.loaded.tokenizer.eos_token_id)
            self._grammars[key] = Grammar(self.vocabulary, fmt, end, self.coordinate_space.maximum, key)
        return self._grammars[key]

    def answer(
        self,
        requests: Sequence[Request],
        *,
        max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS,
        sampling: Sampling = GREEDY,
    ) -> list[Answer]:
        """Answer requests as one batch.

        Args:
            requests: Images may differ in size and prompts in length; a row's answer does not depend
                on its neighbours.
            max_new_tokens: Where an answer is cut off.
            sampling: How tokens are chosen; the likeliest where nothing is said.

        Returns:
            One answer a request, in order.

        Raises:
            DataError: An image can't be read.
            RecordError: A request's marks don't match its images.
            ConfigError: `max_new_tokens` is below 1.
        """
        prompts = [self.prepare(request) for request in requests]
        return self.generate(prompts, max_new_tokens=max_new_tokens, sampling=sampling)

    def prepare(self, request: Request) -> Prompt:
        """Read a request's images and write its prompt; raises as `answer` does."""
        return self._preprocessor.prepare(request)

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS,
        batch_size: int | None = None,
        constraints: Sequence[Constraint | None] = (),
        sampling: Sampling = GREEDY,
    ) -> list[Answer]:
        """Answer prepared prompts.

        Args:
            prompts: In any order and number.
            max_new_tokens: Where an answer is cut off.
            batch_size: How many are under way at once; all of them where nothing is said.
            constraints: What each answer may be, one a prompt; () for anything.
            sampling: How tokens are chosen.

        Returns:
            One answer a prompt, in order.

        Raises:
            ConfigError: `max_new_tokens` or `batch_size` is below 1.
        """
        if max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {max_new_tokens}; it must be at least 1")
        if batch_size is not None and batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be at least 1")
        rows = [
            Row(index, prompt, self.loaded.end_token_ids, max_new_tokens, sampling, constraint,
                self.jump_forward)
            for index, (prompt, constraint) in enumerate(
                zip(prompts, constraints or [None] * len(prompts), strict=True)
            )
        ]  # fmt: skip
        if rows:
            from paddle_ground.backend.contiguous import inference_kernels

            with inference_kernels():
                self._run(rows, batch_size or len(rows))
        return [self._answer(row) for row in rows]

    def _run(self, rows: Sequence[Row], batch_size: int) -> None:
        """Bring all rows to their ends, at most `batch_size` of them under way."""
        from paddle_ground.backend.text_decoder import TextDecoder

        decoder = TextDecoder(self._model)
        # Neighbours of like length need little padding; the longest first, so that none is left over last.
        waiting = sorted(rows, key=lambda row: -len(row.prompt.token_ids))
        running: list[Row] = []
        while waiting or running:
            start = time.perf_counter()
            room = batch_size - len(running)
            # A prompt read alone costs nearly what several do, so a few places are let run free first.
            if waiting and (not running or room >= min(len(waiting), 1 + batch_size // 4)):
                new, waiting = waiting[:room], waiting[room:]
                self._choose(self._prefill(new, decoder), new)
                running += new
            else:
                positions = np.array([row.next_position for row in running], np.int64)
                chunks = [row.pending for row in running]
                for row in running:
                    row.next_position += len(row.pending)
                self._choose(decoder.read(chunks, positions), running)
            share = (time.perf_counter() - start) / len(running)
            for row in running:
                row.seconds += share
            going = [i for i, row in enumerate(running) if not row.reason]
            if len(going) < len(running):
                decoder.cache.keep(np.array(going, np.int64))
                running = [running[i] for i in going]

    def _prefill(self, rows: Sequence[Row], decoder: Any) -> Any:
        """Read whole prompts into the decoder's cache; gives the hidden state after each, (B, 1, hidden)."""
        import paddle
        from paddleformers.transformers.cache_utils import DynamicCache

        batch = collate([row.prompt for row in rows], self._pad_token_id)
        token_ids, mask = paddle.to_tensor(batch.token_ids), paddle.to_tensor(batch.mask)
        grids = paddle.to_tensor(batch.grids_thw)
        positions, deltas = self._model.model.get_rope_index(token_ids, grids, None, mask)
        cache = DynamicCache(config=self._model.config.text_config)
        out = self._model.model(
            input_ids=token_ids,
            pixel_values=paddle.to_tensor(batch.patches),
            image_grid_thw=grids,
            attention_mask=mask if bool((batch.mask == 0).any()) else None,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        )
        length = batch.token_ids.shape[1]
        decoder.cache.add([(layer.keys, layer.values) for layer in cache.layers], length - batch.mask.sum(1))
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

    @property
    def _pad_token_id(self) -> int:
        pad = self.loaded.tokenizer.pad_token_id
        return int(pad if pad is not None else min(self.loaded.end_token_ids))

    def _answer(self, row: Row) -> Answer:
        done = row.finished()
        return Answer(
            text=self.loaded.tokenizer.decode(
                done.token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
            ),
            token_ids=done.token_ids,
            seconds=row.seconds,
            finish_reason=done.reason,
            size_wh=row.prompt.size_wh,
            prompt_tokens=len(row.prompt.token_ids),
            logprobs=done.logprobs,
        )


def likeliest(logits: Any) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Take the likeliest token of each row and the logarithm of its probability; from (B, vocabulary)."""
    best = logits.max(-1)
    total = (logits - best.unsqueeze(-1)).exp().sum(-1).log()
    tokens: NDArray[np.int64] = logits.argmax(-1).numpy().astype(np.int64)
    logprobs: NDArray[np.float32] = -total.numpy()
    return tokens, logprobs


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
