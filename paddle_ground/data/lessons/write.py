"""Write lessons: pictures, conversations about them to train on, single questions to be tested with.

Takes a folder, numbers and a seed; gives

    train.jsonl, train.meta.json              several questions a picture, as turns of one conversation,
                                              so that a picture is looked at once for all of them
    val.jsonl, val.truth.json, val.meta.json  one question a picture; line i asks for kind i modulo 8
    images/                                   JPEG

The same numbers and seed give the same bytes. Knows no model; `questions` knows what is asked.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from paddle_ground import __version__
from paddle_ground.answers import AnswerFormat, AnswerRegion, Target, render_target
from paddle_ground.data.lessons.order import batches_of_like_length
from paddle_ground.data.lessons.questions import ASKERS, Question, ask
from paddle_ground.data.lessons.things import DIGIT_SHARE, Thing, draw_things
from paddle_ground.data.lessons.words import CHINESE, ENGLISH, Words
from paddle_ground.errors import ConfigError
from paddle_ground.files import sha256_file
from paddle_ground.prompts import DETECT_ALL, Language, detect_classes, refer
from paddle_ground.records import (
    Category,
    Message,
    Sample,
    SamplesMeta,
    Truth,
    TruthBox,
    TruthImage,
    meta_path,
    truth_path,
    write_meta,
    write_samples,
    write_truth,
)
from paddle_ground.records.samples import IMAGE_MARK
from paddle_ground.spaces import RELATIVE_1000

_CHINESE_SHARE = 0.25
_VAL_SEED = 1 << 40  # Far from any number that training pictures are drawn with.
_PER_JOB = 200
_TRIES = 200


@dataclass(frozen=True, slots=True)
class LessonsReport:
    """What was written.

    Attributes:
        train_path: Conversations.
        val_path: Single questions.
        questions: How many questions the conversations hold.
    """

    train_path: Path
    val_path: Path
    questions: int


@dataclass(frozen=True, slots=True)
class _Course:
    """What all lessons share; see `write_lessons`."""

    root: Path
    most: int
    turns: int
    seed: int
    kinds: tuple[str, ...]
    step: int
    easy: bool
    scale: float
    digits: float
    fmt: AnswerFormat

    def draw(self, generator: np.random.Generator) -> tuple[Image.Image, tuple[Thing, ...]]:
        """Draw one of its pictures."""
        return draw_things(generator, self.most, self.easy, self.scale, self.digits)

    def settings(self) -> dict[str, str]:
        """Give what the meta file records."""
        numbers = {
            "seed": self.seed,
            "most_things": self.most,
            "turns": self.turns,
            "step": self.step,
            "easy": self.easy,
            "scale": self.scale,
            "digits": self.digits,
        }
        return {**{name: str(value) for name, value in numbers.items()}, "kinds": ",".join(self.kinds)}


@dataclass(frozen=True, slots=True)
class _Lesson:
    """One picture's sample, and for validation its size and boxes."""

    sample: Sample
    size_wh: tuple[int, int]
    truth: tuple[tuple[str, tuple[float, float, float, float]], ...]


def write_lessons(
    out_dir: str | os.PathLike[str],
    train_images: int,
    val_images: int,
    *,
    most_things: int = 4,
    turns: int = 6,
    seed: int = 0,
    kinds: Sequence[str] = tuple(ASKERS),
    step: int = 10,
    easy: bool = False,
    scale: float = 1.0,
    digits: float = DIGIT_SHARE,
    answer_format: AnswerFormat = AnswerFormat.TOKENS,
    batch: int = 0,
) -> LessonsReport:
    """Write lessons.

    Args:
        out_dir: The folder.
        train_images: Pictures to train on.
        val_images: Other pictures to test with.
        most_things: How many things a picture holds at most.
        turns: Questions a picture, in training.
        seed: Of everything.
        kinds: Names in `questions.ASKERS`: what is asked.
        step: Answers are rounded to so many thousandths. A picture of 128 pixels says nothing about
            single ones, and a digit that nobody can know is noise in every gradient.
        easy: Whether pictures are easy ones; see `things.draw_things`.
        scale: Of the pictures' sides; see there too.
        digits: Part of the things that are digits, 0 to 1. What is hard to tell apart is learnt when it is
            seen often: with as few as the test holds, digits stay at chance long after shapes are known.
        answer_format: Of the answers.
        batch: Above 0: training lines stand in batches of so many about equally long ones.

    Raises:
        ConfigError: A number is below 1, `digits` is no part of 1, or a kind is unknown.
        DataError: The folder can't be written.
    """
    if min(train_images, val_images, most_things, turns) < 1:
        raise ConfigError("lessons: train_images, val_images, most_things and turns must be 1 or more")
    if not 0 <= digits <= 1:
        raise ConfigError(f"lessons: digits is {digits}; it is a part of all things, from 0 to 1")
    root = Path(out_dir)
    unknown = sorted(set(kinds) - set(ASKERS))
    if unknown or not kinds:
        raise ConfigError(f"lessons: unknown kinds {unknown}; expected some of {', '.join(ASKERS)}")
    course = _Course(root, most_things, turns, seed, tuple(kinds), step, easy, scale, digits, answer_format)
    make = partial(_lessons, course)
    with ProcessPoolExecutor() as pool:
        train = [one for part in pool.map(make, *_jobs("train", train_images)) for one in part]
        val = [one for part in pool.map(make, *_jobs("val", val_images)) for one in part]
    if batch:
        lengths = [_length(lesson.sample) for lesson in train]
        order = batches_of_like_length(lengths, batch, np.random.default_rng(seed))
        train = [train[place] for place in order]
    for name, lessons in (("train", train), ("val", val)):
        path = root / f"{name}.jsonl"
        write_samples(path, (lesson.sample for lesson in lessons))
        meta = SamplesMeta(
            source="lessons",
            converter_version=__version__,
            coordinate_space=RELATIVE_1000.name,
            answer_format=answer_format.value,
            prompt=DETECT_ALL,
            class_names=(),
            counts={"kept": len(lessons)},
            samples_sha256=sha256_file(path),
            settings=course.settings(),
        )
        write_meta(meta_path(path), meta)
    write_truth(truth_path(root / "val.jsonl"), _truth(val))
    questions = sum(sum(turn.role == "user" for turn in lesson.sample.messages) for lesson in train)
    return LessonsReport(root / "train.jsonl", root / "val.jsonl", questions)


def _length(sample: Sample) -> int:
    """Estimate a sample's length: characters, with a box's marks and numbers as 80 of them."""
    return sum(len(turn.content) for turn in sample.messages) + 80 * len(sample.boxes)


def _jobs(split: str, images: int) -> tuple[Sequence[str], Sequence[range]]:
    parts = [range(first, min(first + _PER_JOB, images)) for first in range(0, images, _PER_JOB)]
    return [split] * len(parts), parts


def _lessons(course: _Course, split: str, numbers: range) -> list[_Lesson]:
    folder = course.root / "images" / f"{split}-{numbers.start // 10_000:03d}"
    folder.mkdir(parents=True, exist_ok=True)
    return [_lesson(course, folder, split, number) for number in numbers]


def _lesson(course: _Course, folder: Path, split: str, number: int) -> _Lesson:
    generator = np.random.default_rng([course.seed, number + (_VAL_SEED if split == "val" else 0)])
    if split == "val":
        kind = course.kinds[number % len(course.kinds)]
        image, things, questions = _test(generator, course, kind)
    else:
        image, things = course.draw(generator)
        questions = list(_questions(things, image.size, generator, course))
    path = folder / f"{number:06d}.jpg"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    path.write_bytes(buffer.getvalue())
    targets = [_target(question, things, image.size, course) for question in questions]
    messages: list[Message] = []
    for question, target in zip(questions, targets, strict=True):
        mark = "" if messages else IMAGE_MARK
        messages += [
            Message("user", mark + _prompt(question, course.fmt)),
            Message("assistant", target.content),
        ]
    sample = Sample(
        tuple(messages),
        (path.relative_to(course.root).as_posix(),),
        tuple(ref for target in targets for ref in target.refs),
        tuple(box for target in targets for box in target.boxes),
    )
    truth = tuple((label, things[place].box_xyxy_px) for label, place in questions[0].answer)
    return _Lesson(sample, image.size, truth)


def _test(
    generator: np.random.Generator, course: _Course, kind: str
) -> tuple[Image.Image, tuple[Thing, ...], list[Question]]:
    """Draw pictures until one allows a question of a kind; where none does, take another kind."""
    for _ in range(_TRIES):
        image, things = course.draw(generator)
        question = ask(things, image.size, generator, _words(generator), kind)
        if question.kind == kind:
            break
    return image, things, [question]


def _questions(
    things: Sequence[Thing], size_wh: tuple[int, int], generator: np.random.Generator, course: _Course
) -> Iterator[Question]:
    asked: set[Question] = set()
    shares = np.array([ASKERS[kind][0] for kind in course.kinds])
    # With more turns than things the boxes repeat, and an answer can be copied from the one before.
    for _ in range(min(course.turns, len(things) + 1)):
        kind = course.kinds[int(generator.choice(len(shares), p=shares / shares.sum()))]
        question = ask(things, size_wh, generator, _words(generator), kind)
        if question not in asked:
            asked.add(question)
            yield question


def _words(generator: np.random.Generator) -> Words:
    return CHINESE if generator.random() < _CHINESE_SHARE else ENGLISH


def _prompt(question: Question, fmt: AnswerFormat) -> str:
    lang: Language = "zh" if question.lang == "zh" else "en"
    if question.phrase:
        return refer(question.phrase, fmt, lang)
    return detect_classes(question.names, fmt, lang) if question.names else DETECT_ALL


def _target(question: Question, things: Sequence[Thing], size_wh: tuple[int, int], course: _Course) -> Target:
    exact = RELATIVE_1000.encode([things[place].box_xyxy_px for _, place in question.answer], size_wh)
    boxes = (exact + course.step // 2) // course.step * course.step
    named = sorted(
        zip(boxes.tolist(), (label for label, _ in question.answer), strict=True),
        key=lambda pair: (pair[0][1], pair[0][0], pair[0][3], pair[0][2], pair[1]),
    )
    return render_target([AnswerRegion(label, tuple(box)) for box, label in named], course.fmt)


def _truth(lessons: Sequence[_Lesson]) -> Truth:
    names = sorted({label for lesson in lessons for label, _ in lesson.truth})
    ids = {name: number for number, name in enumerate(names)}
    images: list[TruthImage] = []
    boxes: list[TruthBox] = []
    for number, lesson in enumerate(lessons):
        images.append(TruthImage(number, lesson.sample.images[0], lesson.size_wh))
        for label, box in lesson.truth:
            area = (box[2] - box[0]) * (box[3] - box[1])
            boxes.append(TruthBox(len(boxes) + 1, number, ids[label], box, area))
    return Truth(tuple(images), tuple(boxes), tuple(Category(i, name) for name, i in ids.items()))
