"""Point at things in one image: a question in, regions in pixels out.

Takes an engine or a model folder, an image and a query; reads the model's text with
`paddle_ground.answers` and turns its numbers into pixels with `paddle_ground.boxes`. Knows no data set.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paddle_ground.answers import AnswerFormat, AnswerRegion, CoordMax, Repair, answer_format, parse
from paddle_ground.errors import ConfigError
from paddle_ground.infer.engine import DEFAULT_MAX_NEW_TOKENS, Engine
from paddle_ground.infer.loops import LOOP_STOPPED, MAX_REPEATS, RepeatGuard
from paddle_ground.infer.request import Answer, ImageSource, Request
from paddle_ground.infer.rows import Constraint
from paddle_ground.infer.sampling import GREEDY, Sampling
from paddle_ground.infer.scores import scored_regions
from paddle_ground.prompts import DETECT_ALL, Language, query_prompt
from paddle_ground.records import GroundingConfig, Region


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model's text was found to say.

    Attributes:
        regions: The things and where they are, in pixels of the image as stored.
        status: "ok", "repaired" or "failed"; see `paddle_ground.answers.parse`. Words that were asked for
            are "ok", whatever boxes are among them.
        repairs: What the parser mended, or why it failed; last `LOOP_STOPPED` where a guard ended it.
    """

    regions: tuple[Region, ...]
    status: str
    repairs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grounding:
    """The answer to a query about an image.

    Attributes:
        regions: The things and where they are, in pixels of the image as stored; () where there are
            none, or where `status` is "failed".
        text: The model's raw answer, special tokens included.
        status: "ok", "repaired" or "failed".
        repairs: What the parser mended, or why it failed.
        prompt: What was asked.
        size_wh: Width and height of the image in pixels.
        finish_reason: "stop", "length" where the answer was cut off, "loop" where it went in circles.
        tokens: How many tokens were generated.
        seconds: How long that took.
    """

    regions: tuple[Region, ...]
    text: str
    status: str
    repairs: tuple[str, ...]
    prompt: str
    size_wh: tuple[int, int]
    finish_reason: str
    tokens: int
    seconds: float

    def to_json(self) -> dict[str, object]:
        """Give what `json.dumps` takes, seconds to a tenth of a millisecond."""
        return {
            "regions": [
                {"label": region.label, "box_xyxy_px": region.box_xyxy_px, "score": region.score}
                for region in self.regions
            ],
            "size_wh": self.size_wh,
            "status": self.status,
            "repairs": self.repairs,
            "finish_reason": self.finish_reason,
            "prompt": self.prompt,
            "text": self.text,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 4),
        }


def ground(
    model: Engine | str | Path,
    image: ImageSource,
    query: str | Iterable[str] | None = None,
    *,
    lang: Language = "en",
    max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS,
    free: bool = False,
    max_repeats: int = MAX_REPEATS,
    sampling: Sampling = GREEDY,
) -> Grounding:
    """Find things in an image.

    Args:
        model: A loaded engine, or a model folder to load one from (seconds; load once for many images).
        image: A path, or an open PIL image. An EXIF rotation is not applied: boxes are in stored pixels.
        query: A phrase ("the red cup"), several class names, or None for the prompt that the model was
            tuned on.
        lang: Language of the prompt around the query, "en" or "zh".
        max_new_tokens: Where the answer is cut off.
        free: Let the model write whatever it wants. Otherwise a model that says its answer format can
            only write well-formed answers, and only with the names that were asked for, if they were.
        max_repeats: A region that is said once more than so many times ends the answer.
        sampling: How tokens are chosen; the likeliest where nothing is said.

    Returns:
        The regions in pixels, with the raw text and how it was read.

    Raises:
        ModelError: The model folder can't be loaded.
        DataError: The image can't be read.
        ConfigError: The query is blank, or `max_repeats` is below 1.

    Example:
        >>> found = ground("runs/demo/train", "street.jpg", "the red car")
        >>> [(region.label, region.box_xyxy_px) for region in found.regions]
    """
    engine = model if isinstance(model, Engine) else Engine.load(model)
    query = query if query is None or isinstance(query, str) else tuple(query)
    trained = engine.grounding
    # A checkpoint that doesn't say is taken for a published one, whose own answers are JSON.
    fmt = answer_format(trained.answer_format) if trained else AnswerFormat.JSON
    prompt = query_prompt(query, fmt, lang, default=trained.prompt if trained else DETECT_ALL)
    asked = engine.prepare(Request(image, prompt))
    labels = query_labels(query, trained)
    (answer,) = engine.generate(
        [asked],
        max_new_tokens=max_new_tokens,
        constraints=[constraint_of(engine, labels, free, max_repeats, size_wh=asked.size_wh)],
        sampling=sampling,
    )
    reading = read_answer(answer, engine)
    return Grounding(
        regions=reading.regions,
        text=answer.text,
        status=reading.status,
        repairs=reading.repairs,
        prompt=prompt,
        size_wh=answer.size_wh,
        finish_reason=answer.finish_reason,
        tokens=len(answer.token_ids),
        seconds=answer.seconds,
    )


def constraint_of(
    engine: Engine,
    labels: Sequence[str] | None,
    free: bool,
    max_repeats: int = MAX_REPEATS,
    *,
    size_wh: tuple[int, int],
) -> Constraint:
    """Begin an answer: held to the grammar; `free` or without one, only kept from going in circles.

    Args:
        engine: That will answer.
        labels: The names that labels may be; none leaves them free.
        free: Let the model write whatever it wants.
        max_repeats: A region that is said once more than so many times ends the answer; at least 1.
        size_wh: Of the image that is asked about, as stored: coordinates end at its borders.

    Raises:
        ConfigError: `max_repeats` is below 1; or see `Engine.grammar`.
        ModelError: See `Engine.grammar`.
    """
    if max_repeats < 1:
        raise ConfigError(f"max_repeats is {max_repeats}; it must be at least 1")
    grammar = None if free else engine.grammar(labels)
    borders = engine.coordinate_space.borders_wh(size_wh)
    if grammar is not None:
        return grammar.start(max_repeats, borders)
    return RepeatGuard(engine.vocabulary, max_repeats, borders)


def query_labels(query: str | Sequence[str] | None, trained: GroundingConfig | None) -> Sequence[str] | None:
    """Give the names that an answer may use; none where any may stand."""
    if isinstance(query, str):
        return None
    if query is None:
        return (trained.class_names or None) if trained else None
    return [" ".join(name.split()) for name in query]


def read_answer(answer: Answer, engine: Engine, *, words: bool = False) -> Reading:
    """Read an answer's text and turn its boxes into pixels.

    Args:
        answer: From this engine.
        engine: Tells the coordinate space and the answer format; where the model doesn't say, the
            format is recognised from the text.
        words: Whether words were asked for, in which nothing can be wrong but that there are none.
    """
    trained, space = engine.grounding, engine.coordinate_space
    borders = space.borders_wh(answer.size_wh)
    parsed = parse(answer.text, answer_format(trained.answer_format) if trained else None, borders)
    scores = _scores(answer, engine, borders) if answer.logprobs else {}
    # A region that had to be mended is scored like the whole answer.
    rest = math.exp(sum(answer.logprobs) / len(answer.logprobs)) if answer.logprobs else None
    boxes_px = space.decode([region.box for region in parsed.regions], answer.size_wh)
    regions = tuple(
        Region(
            region.label,
            (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            scores.get(region, rest),
        )
        for region, box in zip(parsed.regions, boxes_px, strict=True)
    )
    status, repairs = str(parsed.status), parsed.repairs
    if words and Repair.EMPTY_ANSWER not in repairs:
        status, repairs = "ok", ()
    if answer.finish_reason != "loop":
        return Reading(regions, status, repairs)
    return Reading(regions, "repaired" if status == "ok" else status, (*repairs, LOOP_STOPPED))


def _scores(answer: Answer, engine: Engine, coord_max: CoordMax) -> dict[AnswerRegion, float]:
    """Score the regions of an answer; where one is said twice, its first mention counts."""
    scores: dict[AnswerRegion, float] = {}
    for found in scored_regions(answer.token_ids, answer.logprobs, engine.vocabulary, coord_max):
        scores.setdefault(found.region, found.score)
    return scores
