"""Ask a model everything that a samples file asks: JSONL in, JSONL out, in order, resumable.

Takes samples.jsonl and a model folder; gives predictions.jsonl. A bad image is one record with an
error and not the end; a run that was killed goes on where it stopped. Knows no metric.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from paddle_ground.answers import parse
from paddle_ground.errors import BoxError, ConfigError, DataError, RecordError
from paddle_ground.files import sha256_file
from paddle_ground.infer.engine import DEFAULT_MAX_NEW_TOKENS, Engine
from paddle_ground.infer.grounding import constraint_of, read_answer
from paddle_ground.infer.loops import MAX_REPEATS
from paddle_ground.infer.match import check_match
from paddle_ground.infer.preprocess import Prompt
from paddle_ground.infer.progress import PredictReport, Tally
from paddle_ground.infer.request import Answer, Request
from paddle_ground.infer.rows import Constraint
from paddle_ground.infer.run_identity import RunIdentity, claim, only_writer
from paddle_ground.infer.sampling import GREEDY, Sampling
from paddle_ground.records import (
    Prediction,
    PredictionSink,
    Sample,
    meta_path,
    read_meta,
    read_samples,
    resolve_image,
)

LOGGER = logging.getLogger(__name__)

T = TypeVar("T")

AnswerKind = Literal["boxes", "text", "mixed"]

_BATCHES_READ_AHEAD = 4
"""Samples of so many batches are read at once, so that a batch is filled up as its answers end."""


def predict(
    samples_path: str | Path,
    model: Engine | str | Path,
    output_path: str | Path,
    *,
    batch_size: int = 8,
    max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS,
    limit: int | None = None,
    dtype: str = "float32",
    free: bool = False,
    max_repeats: int = MAX_REPEATS,
    sampling: Sampling = GREEDY,
    show_progress: bool = True,
) -> PredictReport:
    """Answer a samples file.

    Args:
        samples_path: samples.jsonl; its `.meta.json`, if there, must suit the model's `grounding.json`.
        model: A loaded engine, or a model folder.
        output_path: predictions.jsonl. Answers that it already holds from the same samples and model
            are kept, so a run that was stopped goes on.
        batch_size: Samples under way at once; answers don't depend on it.
        max_new_tokens: Where an answer is cut off.
        limit: Only the first so many samples; None for all.
        dtype: Of the weights, where `model` is a folder.
        free: Let the model write whatever it wants. Otherwise a model that says its answer format can
            only write well-formed answers; asked its own prompt, only with the labels it was tuned on.
            Samples whose meta says that answers are words, or some of them, are always free.
        max_repeats: A region that is said once more than so many times ends its answer, which says so.
        sampling: How tokens are chosen; the likeliest where nothing is said.
        show_progress: Draw a progress bar with images and tokens a second on stderr.

    Returns:
        Counts and times of this run.

    Raises:
        RecordError: The samples can't be read, or the output holds another run's answers, or gets them now.
        ModelError: The model can't be loaded, or was tuned on other coordinates or answers.
        DataError: The output can't be written.
        ConfigError: `batch_size` or `limit` is below 1.
    """
    samples_path, output_path = Path(samples_path), Path(output_path)
    if batch_size < 1 or (limit is not None and limit < 1):
        raise ConfigError(f"batch_size {batch_size} and limit {limit} must be at least 1")
    # Read once as a whole before any arithmetic: a broken line shows now, and the bar knows its length.
    total = sum(1 for _ in itertools.islice(read_samples(samples_path), limit))
    engine = model if isinstance(model, Engine) else Engine.load(model, dtype=dtype)
    check_match(samples_path, engine.grounding, engine.coordinate_space)
    answers = _answers(samples_path)
    free = free or answers != "boxes"
    asking = Asking(max_new_tokens, batch_size, free, max_repeats, sampling, answers)
    with only_writer(output_path):
        claim(output_path, _identity(samples_path, engine, asking))
        with PredictionSink(output_path) as sink, Tally(total, sink.done, show_progress) as tally:
            pending = _pending(samples_path, limit, sink.done)
            for batch in _batched(pending, batch_size * _BATCHES_READ_AHEAD):
                for prediction in answer_samples(engine, samples_path, batch, asking):
                    sink.write(prediction)
                    tally.count(prediction)
    return tally.report(output_path)


def _answers(samples_path: Path) -> AnswerKind:
    """Tell what is asked for; a grammar of boxes would forbid right answers in words."""
    path = meta_path(samples_path)
    answers: AnswerKind = read_meta(path).answers if path.is_file() else "boxes"
    if answers != "boxes":
        LOGGER.info("%s: answers are words, so the model may write whatever it wants", path)
    return answers


def _identity(samples_path: Path, engine: Engine, asking: Asking) -> RunIdentity:
    return RunIdentity(
        samples_sha256=sha256_file(samples_path),
        model=engine.loaded.checkpoint.fingerprint(),
        dtype=str(engine.loaded.model.lm_head.weight.dtype),
        max_new_tokens=asking.max_new_tokens,
        free=asking.free,
        max_repeats=asking.max_repeats,
        temperature=asking.sampling.temperature,
        top_p=asking.sampling.top_p,
        seed=asking.sampling.seed if asking.sampling.temperature else None,  # says nothing otherwise
    )


def _pending(samples_path: Path, limit: int | None, done: frozenset[int]) -> Iterator[tuple[int, Sample]]:
    for index, sample in enumerate(itertools.islice(read_samples(samples_path), limit)):
        if index not in done:
            yield index, sample


@dataclass(frozen=True, slots=True)
class Asking:
    """How samples are asked.

    Attributes:
        max_new_tokens: Where an answer is cut off.
        batch_size: Samples under way at once.
        free: Whether the model may write whatever it wants; see `predict`.
        max_repeats: How often a region may be said.
        sampling: How tokens are chosen.
        answers: What the samples ask for, as their meta says.
    """

    max_new_tokens: int
    batch_size: int
    free: bool
    max_repeats: int = MAX_REPEATS
    sampling: Sampling = GREEDY
    answers: AnswerKind = "boxes"


def answer_samples(
    engine: Engine, samples_path: Path, batch: list[tuple[int, Sample]], asking: Asking
) -> Iterator[Prediction]:
    """Answer what can be asked, and give an error record for what can't, in order.

    Args:
        engine: Answers.
        samples_path: The file that the samples are from; image paths are relative to its folder.
        batch: Samples with their 0-based lines in that file.
        asking: How.
    """
    prompts: dict[int, Prompt] = {}
    errors: dict[int, str] = {}
    for index, sample in batch:
        try:
            prompt = engine.prepare(_request(samples_path, sample))
            if not _wants_words(sample, asking.answers):
                engine.coordinate_space.refuse_several_borders((prompt.size_wh, *prompt.more_sizes_wh))
            prompts[index] = prompt
        except (BoxError, DataError, RecordError) as error:
            errors[index] = str(error)
            LOGGER.warning("sample %d: %s", index, error)
    samples = dict(batch)
    answers = engine.generate(
        list(prompts.values()),
        max_new_tokens=asking.max_new_tokens,
        batch_size=asking.batch_size,
        constraints=[
            _constraint(samples[index], prompt.size_wh, engine, asking) for index, prompt in prompts.items()
        ],
        sampling=asking.sampling,
    )
    by_index = dict(zip(prompts, answers, strict=True))
    for index, sample in batch:
        if index in by_index:
            yield _prediction(index, sample, by_index[index], engine, asking)
        else:
            yield _failure(index, sample, errors[index])


def _constraint(sample: Sample, size_wh: tuple[int, int], engine: Engine, asking: Asking) -> Constraint:
    trained = engine.grounding
    # Other prompts than its own may ask for things that the model's classes don't name.
    own = trained is not None and sample.prompt == trained.prompt
    labels = trained.class_names or None if own and trained else None
    return constraint_of(engine, labels, asking.free, asking.max_repeats, size_wh=size_wh)


def _request(samples_path: Path, sample: Sample) -> Request:
    return Request.from_sample(sample, tuple(resolve_image(samples_path, name) for name in sample.images))


def _prediction(index: int, sample: Sample, answer: Answer, engine: Engine, asking: Asking) -> Prediction:
    reading = read_answer(answer, engine, words=_wants_words(sample, asking.answers))
    return Prediction(
        index=index,
        image=sample.images[0],
        size_wh=answer.size_wh,
        prompt=sample.prompt,
        text=answer.text,
        status=reading.status,
        repairs=reading.repairs,
        regions=reading.regions,
        tokens=len(answer.token_ids),
        seconds=round(answer.seconds, 6),
    )


def _wants_words(sample: Sample, answers: AnswerKind) -> bool:
    """Tell whether a sample asks for words; among boxes and words, what it expects says so."""
    if answers != "mixed":
        return answers == "text"
    return bool(sample.target) and not sample.boxes and parse(sample.target).status == "failed"


def _failure(index: int, sample: Sample, error: str) -> Prediction:
    image = sample.images[0] if sample.images else ""
    return Prediction(
        index=index, image=image, size_wh=(0, 0), prompt=sample.prompt, text="", status="error", error=error
    )


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut into lists of `size`, the last one shorter (itertools has this from Python 3.12 on)."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
