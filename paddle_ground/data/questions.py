"""Which questions are asked about an image: all objects, named classes, or phrases; present or absent.

Takes a checked row, gives `Question`s. What is drawn depends on the seed and on the image's name alone.

    detect    one question an image: every object
    classes   the classes by name: one question for all that are there and some that are not, or one
              question for each that is there
    refer     one question a phrase
    auto      refer where a row has phrases, else detect
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from paddle_ground.answers import AnswerFormat
from paddle_ground.data.checked import CheckedRow
from paddle_ground.data.choices import Ask, PromptLanguage, Task
from paddle_ground.data.convert import Question
from paddle_ground.data.phrases import PhrasePool
from paddle_ground.errors import ConfigError
from paddle_ground.prompts import Language, detect_classes, refer

Skipped = tuple[str, str]

_TRIES = 20  # For an absent question that was not asked of this image before.


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """What is asked.

    Attributes:
        task: See the top of the module.
        ask: Of "classes": "together" or "each".
        absent_classes: How many classes that are not there a question for several names as well.
        language: Of the prompt around names and phrases; "mixed" draws one a question.
        answer_format: Of the model.
        class_names: By category id.
        detect_prompt: What "detect" asks; None for the classes by name, in `language`.
        seed: Of all that is drawn.
        phrases: Where absent phrases are drawn from; None where none will be.
    """

    task: Task
    answer_format: AnswerFormat
    class_names: tuple[str, ...]
    detect_prompt: str | None
    ask: Ask = "together"
    absent_classes: int = 2
    language: PromptLanguage = "en"
    seed: int = 0
    phrases: PhrasePool | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The questions about a row, and what could not be asked: reason and place."""

    questions: tuple[Question, ...]
    skipped: tuple[Skipped, ...] = ()


def ask(checked: CheckedRow, image_name: str, absent: int, options: TaskOptions) -> Asked:
    """Find the questions about a row; no two of them have the same prompt.

    Args:
        checked: The row.
        image_name: Of the image file, for what is drawn.
        absent: How many questions for something absent are wanted beyond what the row itself gives.
        options: What is asked.
    """
    task = _task_of(checked, options)
    if task == "detect" and options.detect_prompt is not None:
        return Asked((Question(options.detect_prompt),))
    draw = _generator(options.seed, image_name)
    if task == "detect":
        prompt = detect_classes(options.class_names, options.answer_format, _language(options, draw))
        return Asked((Question(prompt),))
    found = _Collector()
    if task == "classes":
        _ask_classes(checked, absent, options, draw, found)
    else:
        _ask_phrases(checked, absent, options, draw, found)
    return Asked(tuple(found.questions.values()), tuple(found.skipped))


def _task_of(checked: CheckedRow, options: TaskOptions) -> Task:
    if options.task == "auto":
        return "refer" if checked.row.referrals else "detect"
    return options.task


class _Collector:
    """Questions by prompt, and what was skipped."""

    def __init__(self) -> None:
        self.questions: dict[str, Question] = {}
        self.skipped: list[Skipped] = []

    def add(self, question: Question) -> bool:
        is_new = question.prompt not in self.questions
        if is_new:
            self.questions[question.prompt] = question
        return is_new

    def try_absent(self, wanted: int, make: Callable[[], Question | None], where: str) -> None:
        """Add questions that are drawn until they are new."""
        for _ in range(wanted):
            drawn = (make() for _ in range(_TRIES))
            if not any(question is not None and self.add(question) for question in drawn):
                self.skipped.append(("no_absent_question", f"{where}: nothing absent is left to ask for"))


def _ask_classes(
    checked: CheckedRow, absent: int, options: TaskOptions, draw: np.random.Generator, found: _Collector
) -> None:
    row = checked.row
    ids = row.category_ids
    present = np.unique(ids[checked.is_answer]).tolist()
    # A class of which only a crowd, a speck or a broken box is there is neither asked for nor absent.
    missing = sorted(set(range(len(options.class_names))) - set(ids.tolist()))

    def question(asked: list[int]) -> Question:
        boxes = np.flatnonzero(np.isin(ids, asked))
        names = [options.class_names[category] for category in asked]
        return Question(
            detect_classes(names, options.answer_format, _language(options, draw)), tuple(boxes.tolist())
        )

    def draw_missing(number: int) -> list[int]:
        drawn: list[int] = draw.permutation(missing)[:number].tolist()
        return drawn

    beside = options.absent_classes if options.ask == "together" else 1
    if options.ask == "each":
        for category in present:
            found.add(question([category]))
    elif present:
        found.add(question(draw.permutation([*present, *draw_missing(beside)]).tolist()))

    def absent_question() -> Question | None:
        return question(draw_missing(max(beside, 1))) if missing else None

    # An image without any object still is a sample: one that asks for what is not there.
    wanted = absent if present else max(absent, 1)
    found.try_absent(wanted, absent_question, row.where)


def _ask_phrases(
    checked: CheckedRow, absent: int, options: TaskOptions, draw: np.random.Generator, found: _Collector
) -> None:
    row = checked.row
    means: dict[str, set[int]] = {}
    is_usable = checked.is_usable.tolist()
    for referral in row.referrals:
        phrase = " ".join(referral.phrase.split())
        usable = {place for place in referral.boxes if is_usable[place]}
        # A phrase that lost all its boxes must not become one that means nothing here.
        if referral.boxes and not any(checked.is_answer[place] for place in usable):
            found.skipped.append(("phrase_without_box", f"{row.where}: {phrase!r}"))
            continue
        # Two annotators with the same words mean both of their boxes.
        means.setdefault(phrase, set()).update(usable)
    for phrase, boxes in means.items():
        try:
            prompt = refer(phrase, options.answer_format, _language(options, draw))
        except ConfigError as error:
            found.skipped.append(("bad_phrase", f"{row.where}: {error}"))
            continue
        found.add(Question(prompt, tuple(sorted(boxes)), phrase))

    def absent_question() -> Question | None:
        if options.phrases is None:
            return None
        phrase = options.phrases.draw_absent(row, options.class_names, draw)
        if phrase is None:
            return None
        return Question(refer(phrase, options.answer_format, _language(options, draw)), (), phrase)

    found.try_absent(absent, absent_question, row.where)
    if not found.questions and not found.skipped:
        found.skipped.append(("no_phrase", row.where))


def _language(options: TaskOptions, draw: np.random.Generator) -> Language:
    if options.language == "mixed":
        return "zh" if draw.random() < 0.5 else "en"
    return options.language


def _generator(seed: int, name: str) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))
