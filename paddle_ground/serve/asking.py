"""From a job to a row of the engine, and from the row that ended to what the client is told.

Takes an engine and jobs; gives rows and events. The same prompts, pixel limits, grammar and reading of
answers as `paddle_ground.infer`'s own `ground` and `predict`, so that a served answer is the measured one.
Knows neither sockets nor HTTP.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from PIL import Image

from paddle_ground.answers import AnswerFormat, answer_format, parse
from paddle_ground.errors import DataError
from paddle_ground.infer import Answer, Engine, Request
from paddle_ground.infer.grounding import constraint_of, query_labels, read_answer
from paddle_ground.infer.loops import RepeatGuard
from paddle_ground.infer.rows import Constraint, Row
from paddle_ground.prompts import DETECT_ALL, query_prompt
from paddle_ground.records.samples import IMAGE_MARK
from paddle_ground.serve.jobs import BoxLayout, Done, Job
from paddle_ground.serve.telling import Telling

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What is decoded, by PIL's names. PIL knows many more, some of which start other programs."""


class ContextFullError(DataError):
    """A question that leaves no room for an answer."""


@dataclass(slots=True, eq=False)
class Asked:
    """A job under way.

    Attributes:
        number: The job's.
        job: What is wanted.
        prompt: What the user's last turn was.
        row: The answer in the making.
        telling: Its text.
    """

    number: int
    job: Job
    prompt: str
    row: Row
    telling: Telling

    def renewed(self, engine: Engine) -> Asked:
        """Begin the answer anew: a row that was touched by a failure can't be used again."""
        row = _row(engine, self.job, self.row.prompt, self.row.limit, self.prompt)
        return Asked(self.number, self.job, self.prompt, row, Telling(row, engine.vocabulary, self.job.stop))


def ask(engine: Engine, number: int, job: Job, max_context: int) -> Asked:
    """Read a job's images, write its prompt, and begin its answer.

    Args:
        engine: That will answer.
        number: The job's.
        job: What is wanted.
        max_context: Tokens of question and answer together.

    Raises:
        ContextFullError: The question leaves no room.
        DataError: An image can't be read, boxes are asked for without one, or a format that nobody knows.
        RecordError: Marks and images don't match.
        ConfigError: A blank phrase or class name.
        BoxError: Boxes are asked for among images in whose different pixels the model speaks.
    """
    images = [_open(number, blob) for number, blob in enumerate(job.images, start=1)]
    if not images and (job.search is not None or job.boxes is not None or job.constrained):
        raise DataError("boxes are asked for, but there is no image to find things in; send one")
    if job.constrained and job.boxes is None and engine.grounding is None:
        raise DataError(
            "`constrained` holds an answer to the model's own format, but this model's folder says none (no "
            "grounding.json); leave it out"
        )
    prompt, earlier = _question(engine, job)
    first = images[0] if images else None
    read = engine.prepare(Request(first, prompt, more_images=tuple(images[1:]), earlier=tuple(earlier)))
    room = max_context - len(read.token_ids)
    if room < (1 if job.max_tokens is None else job.limit):
        raise ContextFullError(
            f"the question has {len(read.token_ids)} tokens and the answer may have {job.limit}, but both "
            f"share {max_context}; ask less, send smaller images, or lower max_tokens"
        )
    row = _row(engine, job, read, min(job.limit, room), prompt)
    if row.constraint and row.constraint.restricts:  # as `predict` does; free words may be of any image
        engine.coordinate_space.refuse_several_borders((read.size_wh, *read.more_sizes_wh))
    return Asked(number, job, prompt, row, Telling(row, engine.vocabulary, job.stop))


def done(asked: Asked, engine: Engine) -> Done:
    """Tell how a job ended whose row has ended, or whose text came to a stop string."""
    row, job, telling = asked.row, asked.job, asked.telling
    rest = telling.finish()
    if telling.stopped:
        row.reason = "stop"
    answer = engine.answer_of(row)
    told = Done(
        telling.text,
        rest.text,
        answer.finish_reason,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=len(row.token_ids),
        seconds=row.seconds,
        prompt=asked.prompt,
        size_wh=answer.size_wh,
    )
    if job.boxes is not None:
        text = _as_wanted(answer, engine, job.boxes)
        return replace(told, text=text, rest=text)
    if job.logprobs:
        told = replace(told, tokens=tuple(telling.tokens), rest_tokens=rest.tokens)
    if job.search is None:
        return told
    reading = read_answer(answer, engine)
    return replace(told, status=reading.status, repairs=reading.repairs, regions=reading.regions)


def _open(number: int, blob: bytes) -> Image.Image:
    try:
        image = Image.open(BytesIO(blob), formats=IMAGE_FORMATS)
        image.load()
        return image
    except Exception as error:  # PIL's decoders raise nearly everything at one input or another
        raise DataError(f"image {number}: not a whole image that can be read; send another file") from error


def _question(engine: Engine, job: Job) -> tuple[str, Sequence[Any]]:
    if job.search is None:
        return job.turns[-1].content, job.turns[:-1]
    trained = engine.grounding
    default = trained.prompt if trained else DETECT_ALL
    return query_prompt(job.search.query, _format(engine), job.search.lang, default=default), ()


def _format(engine: Engine) -> AnswerFormat:
    # A checkpoint that doesn't say is taken for a published one, whose own answers are JSON.
    return answer_format(engine.grounding.answer_format) if engine.grounding else AnswerFormat.JSON


def _row(engine: Engine, job: Job, read: Any, limit: int, prompt: str) -> Row:
    constraint = _constraint(engine, job, prompt, read.size_wh)
    return engine.row(read, max_new_tokens=limit, sampling=job.sampling, constraint=constraint)


def _constraint(engine: Engine, job: Job, prompt: str, size_wh: tuple[int, int]) -> Constraint:
    trained = engine.grounding
    if not job.images:  # Words alone: no borders at which coordinates end.
        return RepeatGuard(engine.vocabulary, coord_max=math.inf)
    if job.boxes is not None:
        # Also for a model that doesn't say its format: who asks for a schema gets it.
        grammar = engine.grammar(job.boxes.labels, default=_format(engine))
        assert grammar is not None  # somebody said the format
        return grammar.start(coord_max=engine.coordinate_space.borders_wh(size_wh))
    if job.search is not None:
        labels = query_labels(job.search.query, trained)
        return constraint_of(engine, labels, job.constrained is False, size_wh=size_wh)
    own = trained is not None and not job.turns[:-1] and prompt.replace(IMAGE_MARK, "") == trained.prompt
    is_held = own if job.constrained is None else job.constrained
    labels = (trained.class_names or None) if own and trained else None
    return constraint_of(engine, labels, not is_held, size_wh=size_wh)


def _as_wanted(answer: Answer, engine: Engine, layout: BoxLayout) -> str:
    """Write an answer's boxes as the client's schema has them, in the model's own coordinates."""
    parsed = parse(answer.text, _format(engine), engine.coordinate_space.borders_wh(answer.size_wh))
    rows = [
        {layout.box_key: [int(number) for number in region.box]}
        | ({layout.label_key: region.label} if layout.label_key else {})
        for region in parsed.regions
    ]
    return json.dumps({layout.wrapper: rows} if layout.wrapper else rows, ensure_ascii=False)
