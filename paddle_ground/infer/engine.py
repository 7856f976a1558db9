"""Ask a model: requests to prompts, prompts to answers, under the grammar of the model's own format.

Takes `Request`s; gives `Answer`s. Requests become prompts in `paddle_ground.infer.preprocess`, prompts
become tokens in `paddle_ground.infer.generation`. Knows no boxes: what an answer means is read in
`paddle_ground.infer.grounding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paddle_ground.answers import AnswerFormat, answer_format
from paddle_ground.errors import ConfigError, ModelError
from paddle_ground.families import family
from paddle_ground.infer.generation import Generation
from paddle_ground.infer.grammar import Grammar
from paddle_ground.infer.model_folder import grounding_of, model_space, pixel_limits
from paddle_ground.infer.preprocess import Preprocessor, Prompt
from paddle_ground.infer.request import Answer, Request
from paddle_ground.infer.rows import Constraint, Row
from paddle_ground.infer.sampling import GREEDY, Sampling
from paddle_ground.infer.vocabulary import Vocabulary
from paddle_ground.records import GroundingConfig
from paddle_ground.spaces import CoordinateSpace

DEFAULT_MAX_NEW_TOKENS = 512

_GRAMMARS_KEPT = 32
"""A server is asked for ever new names; the grammar of free names is kept in any case."""


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
        self._grammars: dict[tuple[AnswerFormat, tuple[str, ...] | None], Grammar] = {}
        self.vocabulary = Vocabulary(loaded.tokenizer)
        self._family = family(loaded.config.model_type)
        self._preprocessor = Preprocessor(loaded.processor, pixel_limits(grounding), self._family.template)

    @classmethod
    def load(cls, model_dir: str | Path, *, dtype: str = "float32") -> Engine:
        """Load a model folder.

        Args:
            model_dir: A checkpoint of a known family. Its `grounding.json` says how it must be asked; where
                it has none, the model family's defaults are taken and a warning says so.
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
        return model_space(self.grounding, self._family, self.loaded.processor)

    def grammar(
        self, labels: Sequence[str] | None = None, default: AnswerFormat | None = None
    ) -> Grammar | None:
        """Give the grammar of this model's answers; none where nobody says their format.

        Args:
            labels: The names that labels may be; none leaves them free.
            default: The format of a model that doesn't say its own.

        Raises:
            ModelError: The tokenizer doesn't suit.
            ConfigError: A name is blank.
        """
        fmt = answer_format(self.grounding.answer_format) if self.grounding else default
        if fmt is None:
            return None
        key = (fmt, None if labels is None else tuple(labels))
        if key not in self._grammars:
            if labels is not None and len(self._grammars) > _GRAMMARS_KEPT:
                del self._grammars[next(one for one in self._grammars if one[1] is not None)]  # the oldest
            end, most = int(self.loaded.tokenizer.eos_token_id), self.coordinate_space.maximum
            self._grammars[key] = Grammar(self.vocabulary, fmt, end, most, key[1])
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
        if batch_size is not None and batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be at least 1")
        rows = [
            self.row(prompt, max_new_tokens=max_new_tokens, sampling=sampling, constraint=constraint)
            for prompt, constraint in zip(prompts, constraints or [None] * len(prompts), strict=True)
        ]
        if rows:
            from paddle_ground.backend.contiguous import inference_kernels

            with inference_kernels():
                Generation(self.loaded).run(rows, batch_size or len(rows))
        return [self.answer_of(row) for row in rows]

    def row(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS,
        sampling: Sampling = GREEDY,
        constraint: Constraint | None = None,
    ) -> Row:
        """Begin an answer, for `generate` and for `paddle_ground.infer.session`.

        Raises:
            ConfigError: `max_new_tokens` is below 1.
        """
        if max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {max_new_tokens}; it must be at least 1")
        ends = self.loaded.end_token_ids
        return Row(prompt, ends, max_new_tokens, sampling, constraint, self.jump_forward)

    def answer_of(self, row: Row) -> Answer:
        """Give the answer of a row that ended."""
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
