"""Several questions about an image: what is asked, what is answered, and what the truth says of each."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddle_ground.answers import AnswerFormat, AnswerRegion, parse, render
from paddle_ground.data.checked import RowOptions, check_row
from paddle_ground.data.convert import answer
from paddle_ground.data.questions import TaskOptions, ask
from paddle_ground.errors import DataError
from paddle_ground.evaluate import evaluate_detection
from paddle_ground.prompts import detect_classes, refer
from paddle_ground.records import Prediction, Region, TruthImage, sample_from_line, sample_to_line
from paddle_ground.spaces import RELATIVE_1000

CAT, DOG, CUP, CAR = range(4)
LEFT, RIGHT, SMALL = (0, 0, 20, 40), (50, 8, 90, 48), (40, 60, 44, 63)
TOKENS = AnswerFormat.TOKENS


def asked_names(prompt):
    """Read the class names out of an English prompt."""
    return set(prompt.split(": ")[1].split(". ")[0].replace("'", "").split(", "))


def answers_of(samples):
    """Give the sets of names in the answers."""
    return [set(sample.refs) for sample in samples]


def test_detection_asks_once_and_keeps_the_ids_of_the_source(result, make_row):
    found = result([make_row(7, [(CAT, LEFT)]), make_row(9)])
    assert [sample.prompt for sample in found.samples] == ["Task: Object Detection"] * 2
    assert [(image.id, image.prompt) for image in found.truth.images] == [(7, ""), (9, "")]
    assert "task" not in found.meta.settings
    assert "images" not in found.counts


def test_classes_are_asked_for_together_with_some_that_are_not_there(result, make_row):
    rows = [make_row(1, [(CAT, LEFT), (CUP, RIGHT), (CAT, SMALL)]), make_row(2)]
    found = result(rows, task="classes", absent_classes=1)
    first, second = found.samples
    names = asked_names(first.prompt)
    assert names > {"cat", "cup"}
    assert len(names) == 3
    assert sorted(first.refs) == ["cat", "cat", "cup"]
    assert len(asked_names(second.prompt)) == 1  # nothing there: the absent class alone
    assert second.target == render([], TOKENS)
    assert found.meta.settings["task"] == "classes"
    # One question an image: any prompt is about it.
    assert {image.prompt for image in found.truth.images} == {""}


def test_a_prompt_for_each_class(result, make_row):
    rows = [make_row(1, [(CUP, LEFT), (CAT, RIGHT), (DOG, SMALL)], crowd=[2]), make_row(2, [(DOG, LEFT)])]
    found = result(rows, task="classes", ask="each")
    assert [sample.prompt for sample in found.samples] == [
        detect_classes([name], TOKENS) for name in ("cat", "cup", "dog")
    ]
    assert answers_of(found.samples) == [{"cat"}, {"cup"}, {"dog"}]
    assert [image.id for image in found.truth.images] == [1, 2, 3]
    assert [box.image_id for box in found.truth.annotations] == [1, 2, 3]
    assert [box.id for box in found.truth.annotations] == [1, 2, 3]
    assert [box.category_id for box in found.truth.annotations] == [CAT, CUP, DOG]
    # Only the image that is asked about twice needs prompts.
    assert [bool(image.prompt) for image in found.truth.images] == [True, True, False]
    assert found.files == ["000000000001.png", "000000000002.png"]
    assert (found.counts["kept"], found.counts["images"]) == (3, 2)


def test_a_crowd_is_in_the_truth_of_its_own_class_only(result, make_row):
    rows = [make_row(1, [(CAT, LEFT), (CAT, RIGHT), (DOG, RIGHT)], crowd=[1])]
    found = result(rows, task="classes", ask="each")
    boxes = [(b.image_id, b.category_id, b.is_crowd) for b in found.truth.annotations]
    assert boxes == [(1, CAT, False), (1, CAT, True), (2, DOG, False)]
    assert [sample.refs for sample in found.samples] == [("cat",), ("dog",)]


@pytest.mark.parametrize("ask", ["together", "each"])
def test_classes_that_might_be_there_are_not_called_absent(result, make_row, ask):
    nan = float("nan")
    # A crowd of dogs, a cup that is broken: neither can be asked for, neither is absent.
    rows = [make_row(i, [(DOG, RIGHT), (CUP, (nan, 0, 1, 1))], crowd=[0]) for i in range(8)]
    found = result(rows, task="classes", ask=ask, absent_classes=1)
    assert set().union(*(asked_names(sample.prompt) for sample in found.samples)) == {"cat", "car"}
    assert all(not sample.refs for sample in found.samples)


def test_phrases_are_asked_for_one_by_one(result, make_row):
    phrases = [("left cat", [0]), ("both  cats", [0, 1]), ("the dog", []), ("left cat", [1]), ("cup", [2])]
    nan = float("nan")
    rows = [make_row(5, [(CAT, LEFT), (DOG, RIGHT), (CUP, (nan, 1, 2, 3))], phrases)]
    found = result(rows)
    assert [sample.prompt for sample in found.samples] == [
        refer(phrase, TOKENS) for phrase in ("left cat", "both cats", "the dog")
    ]
    # The same words twice mean the boxes of both.
    assert [sample.refs for sample in found.samples] == [("left cat",) * 2, ("both cats",) * 2, ()]
    assert found.samples[0].boxes == ((0, 0, 200, 500), (500, 100, 900, 600))
    images = {image.id: image for image in found.truth.images}
    assert [images[i].phrase for i in (1, 2, 3)] == ["left cat", "both cats", "the dog"]
    # All boxes of a phrase are of one class, so that an answer can be of that class.
    assert {(b.image_id, b.category_id) for b in found.truth.annotations} == {(1, CAT), (2, CAT)}
    assert found.counts["skipped_phrase_without_box"] == 1
    assert found.counts["skipped_nan_box"] == 1
    assert found.files == ["000000000005.png"]


def test_a_phrase_for_what_can_not_be_asked_for_does_not_become_a_negative(result, make_row):
    phrases = [("the crowd", [0]), ("the speck", [1]), ("all dogs", [0, 2])]
    rows = [make_row(5, [(DOG, LEFT), (CUP, SMALL), (DOG, RIGHT)], phrases, crowd=[0])]
    found = result(rows, min_box_side=5)
    assert [sample.refs for sample in found.samples] == [("all dogs",)]
    assert found.counts["skipped_phrase_without_box"] == 2
    assert [box.is_crowd for box in found.truth.annotations] == [True, False]


def test_boxes_of_a_phrase_that_fall_together_are_said_once(result, make_row):
    rows = [make_row(5, [(CAT, LEFT), (DOG, LEFT)], [("the pair", [0, 1])])]
    found = result(rows)
    assert found.samples[0].refs == ("the pair",)
    assert (found.counts["boxes"], found.counts["merged_boxes"]) == (2, 1)


def test_rows_without_phrases_are_asked_for_all_objects_or_left_out(result, make_row):
    rows = [make_row(1, [(CAT, LEFT)], [("the cat", [0])]), make_row(2, [(DOG, LEFT)])]
    assert [s.prompt for s in result(rows).samples] == [refer("the cat", TOKENS), "Task: Object Detection"]
    found = result(rows, task="refer")
    assert [sample.prompt for sample in found.samples] == [refer("the cat", TOKENS)]
    assert found.counts["skipped_no_phrase"] == 1
    assert found.files == ["000000000001.png"]
    assert len(result(rows, task="detect").samples) == 2


def test_nothing_to_refer_to_is_an_error(run, make_row):
    with pytest.raises(DataError, match=r"no sample is left \(no_phrase: rows:1\)"):
        run([make_row(1, [(CAT, LEFT)])], task="refer")


def test_phrases_that_can_not_be_asked_are_skipped_with_their_place(result, make_row):
    phrases = [("the <image> cat", [0]), ("a </box>", [0]), ("", [0]), ("fine", [0])]
    found = result([make_row(1, [(CAT, LEFT)], phrases)])
    assert [sample.refs for sample in found.samples] == [("fine",)]
    assert found.counts["skipped_bad_phrase"] == 3


@pytest.mark.parametrize("answer_format", ["tokens", "json"])
def test_chinese_prompts_and_a_mixture(result, make_row, answer_format):
    rows = [make_row(i, [(CAT, LEFT)]) for i in range(40)]
    options = {"task": "classes", "answer_format": answer_format}
    prompts = [sample.prompt for sample in result(rows, language="zh", **options).samples]
    assert all("请找出图中" in prompt for prompt in prompts)
    mixed = [sample.prompt for sample in result(rows, language="mixed", **options).samples]
    assert 8 < sum("请找出图中" in prompt for prompt in mixed) < 32  # 40 throws of a coin
    again = [sample.prompt for sample in result(rows, language="mixed", workers=3, **options).samples]
    assert again == mixed
    detection = result(rows, language="zh", answer_format=answer_format).samples[0].prompt
    assert ("请找出图中" in detection) == (answer_format == "json")


PHRASES = st.tuples(st.sampled_from(["it", "both  of it", "the <image>", "猫"]), st.sets(st.integers(0, 5)))
OBJECTS = st.tuples(st.integers(0, 3), st.tuples(*[st.integers(-10, 110)] * 4))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(OBJECTS, max_size=6),
    st.lists(
        st.tuples(st.sampled_from(["it", "both  of it", "the <image>", "猫"]), st.sets(st.integers(0, 5)))
    ),
    st.sampled_from(["detect", "classes", "refer", "auto"]),
    st.sampled_from(["together", "each"]),
    st.integers(0, 2),
    st.sampled_from(["en", "zh", "mixed"]),
)
def test_every_answer_is_its_truth(make_row, objects, phrases, task, ask_for, absent, language):
    known = [(phrase, sorted(place for place in boxes if place < len(objects))) for phrase, boxes in phrases]
    row = make_row(1, objects, known, crowd=[0])
    options = RowOptions(RELATIVE_1000, TOKENS, "find", ("cat", "dog", "cup", "car"), "position")
    what = TaskOptions(task, TOKENS, options.class_names, "find", ask_for, 1, language)
    checked = check_row(row, (100, 80), options)
    asked = ask(checked, "a.png", absent, what)
    assert len({question.prompt for question in asked.questions}) == len(asked.questions)
    for question in asked.questions:
        found = answer(checked, question, TruthImage(1, "a.png", (100, 80)), 1, options)
        said = set(zip(found.sample.refs, found.sample.boxes, strict=True))
        meant = set()
        for box in found.truth:
            if not box.is_crowd:
                name = question.phrase or options.class_names[box.category_id]
                numbers = RELATIVE_1000.widen(RELATIVE_1000.encode([box.box_xyxy_px], (100, 80)), (100, 80))
                meant.add((name, tuple(numbers[0].tolist())))
        assert said == meant
        assert sample_from_line(sample_to_line(found.sample), "x:1") == found.sample
        assert len({box.category_id for box in found.truth}) <= 1 or not question.phrase


def test_evaluation_scores_each_question(result, make_row, tmp_path):
    rows = [
        make_row(1, [(CAT, LEFT), (DOG, RIGHT)], [("left", [0]), ("right", [1]), ("any bird", [])]),
        make_row(2, [(CUP, SMALL), (CUP, RIGHT)], [("the small cup", [0])]),
    ]
    found = result(rows)
    predictions = []
    for index, sample in enumerate(found.samples):
        # What a perfect model would say, but that it takes the wrong cup.
        said = [AnswerRegion(ref, box) for ref, box in zip(sample.refs, sample.boxes, strict=True)]
        if "small" in sample.prompt:
            said = [AnswerRegion("the small cup", (500, 100, 900, 600))]
        parsed = parse(render(said, TOKENS))
        regions = tuple(
            Region(one.label, tuple(RELATIVE_1000.decode([one.box], (100, 80))[0].tolist()))
            for one in parsed.regions
        )
        predictions.append(
            Prediction(index, sample.images[0], (100, 80), sample.prompt, "", "ok", regions=regions)
        )
    metrics = evaluate_detection(predictions, found.truth)
    assert (metrics.images, metrics.rates.phrases) == (4, 3)
    assert metrics.rates.referring_acc_50 == pytest.approx(2 / 3)
    assert (metrics.true_positives, metrics.false_positives, metrics.false_negatives) == (2, 1, 1)
    assert metrics.rates.hallucination_rate == 0.0
