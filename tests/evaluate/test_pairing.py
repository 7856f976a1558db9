"""Several questions about one image: each is scored against its own entry of the truth."""

from __future__ import annotations

import pytest

from paddle_ground.errors import EvaluationError
from paddle_ground.evaluate import evaluate_detection
from paddle_ground.evaluate.pairing import pair_up
from paddle_ground.records import Category, Prediction, Region, Truth, TruthBox, TruthImage

SIZE = (100, 100)
CUP, TWO_CUPS, NO_DOG = (f"find {phrase}" for phrase in ("the left cup", "both cups", "the dog"))
TRUTH = Truth(
    (
        TruthImage(1, "a.png", SIZE, CUP, "the left cup"),
        TruthImage(2, "a.png", SIZE, TWO_CUPS, "both cups"),
        TruthImage(3, "a.png", SIZE, NO_DOG, "the dog"),
        TruthImage(4, "b.png", SIZE),
    ),
    (
        TruthBox(1, 1, 7, (0.0, 0.0, 10.0, 10.0), 100.0),
        TruthBox(2, 2, 7, (0.0, 0.0, 10.0, 10.0), 100.0),
        TruthBox(3, 2, 7, (50.0, 0.0, 60.0, 10.0), 100.0),
        TruthBox(4, 4, 8, (0.0, 0.0, 10.0, 10.0), 100.0),
    ),
    (Category(7, "cup"), Category(8, "dog")),
)


def answer(index: int, image: str, prompt: str, *regions: tuple[str, float]) -> Prediction:
    """Make a prediction of boxes 10 pixels wide that begin at an x."""
    boxes = tuple(Region(label, (x, 0.0, x + 10, 10.0), 0.9) for label, x in regions)
    return Prediction(index, image, SIZE, prompt, "...", "ok", regions=boxes)


ANSWERS = [
    answer(3, "b.png", "whatever", ("dog", 0.0)),
    answer(0, "a.png", CUP, ("the left cup", 0.0)),
    answer(1, "a.png", TWO_CUPS, ("both cups", 50.0), ("", 80.0)),
    answer(2, "a.png", NO_DOG, ("the dog", 30.0)),
]


def test_each_answer_meets_its_own_question() -> None:
    first, second, third, fourth = pair_up(ANSWERS, TRUTH)
    assert [len(case.truth) for case in (first, second, third, fourth)] == [1, 2, 0, 1]
    # Whatever the answer calls it, it is meant for the phrase; where nothing is, for the first category.
    assert [[known for known, _ in case.regions] for case in (first, second, third)] == [[7], [7, 7], [7]]
    assert fourth.regions[0][0] == 8


def test_referring_accuracy_counts_phrases_with_one_box() -> None:
    metrics = evaluate_detection(ANSWERS, TRUTH)
    # One phrase and one detection have exactly one box; both found. The dog was made up.
    assert (metrics.rates.phrases, metrics.rates.referring_acc_50) == (2, 1.0)
    assert (metrics.rates.object_free_images, metrics.rates.hallucination_rate) == (1, 1.0)
    assert (metrics.true_positives, metrics.false_positives, metrics.false_negatives) == (3, 2, 1)
    assert metrics.images == 4
    wrong = [answer(0, "a.png", CUP, ("the left cup", 6.0)), *ANSWERS[:1], *ANSWERS[2:]]
    # 4 of 16 pixels in common: a quarter, so half of the two phrases is found.
    assert evaluate_detection(wrong, TRUTH).rates.referring_acc_50 == 0.5


def test_a_prompt_that_nobody_asked_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"a\.png: no entry of the truth has the prompt 'find it'"):
        pair_up([answer(0, "a.png", "find it")], TRUTH)


def test_questions_that_can_not_be_told_apart_are_refused() -> None:
    twice = Truth((*TRUTH.images, TruthImage(9, "a.png", SIZE, CUP)), (), TRUTH.categories)
    with pytest.raises(
        EvaluationError, match=r"names the image 'a\.png' twice for the prompt 'find the left"
    ):
        pair_up([], twice)
