"""Conversations become records: numbers checked by hand, answers read back by the parser."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_ground.answers import AnswerFormat, fill_marks, parse
from paddle_ground.data.dialogue import (
    ANY_OBJECT,
    EMPTY_GROUNDING,
    DialogueOptions,
    convert_dialogue,
    grounding_content,
)
from paddle_ground.data.source import DialogueRow
from paddle_ground.errors import DataError
from paddle_ground.families import QWEN2_5_VL
from paddle_ground.records import Message, Sample, TruthImage, sample_from_line, sample_to_line
from paddle_ground.spaces import RELATIVE_1000, coordinate_space

ONE = (TruthImage(7, "images/a.jpg", (200, 100)),)
TWO = (*ONE, TruthImage(8, "images/b.jpg", (1000, 500)))


def make_row(*turns: tuple[str, str], refs=(), boxes=(), images=1, box_images=None) -> DialogueRow:
    """Make a row whose images are never read."""
    return DialogueRow(
        image_id=1,
        read_images=(lambda: b"",) * images,
        turns=tuple(Message(role, content) for role, content in turns),
        refs=tuple(refs),
        boxes_xyxy_px=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        box_images=np.array(box_images or [0] * len(boxes), dtype=np.int64),
        where="train.jsonl:3",
    )


def convert(row, fmt=AnswerFormat.TOKENS, images=ONE, names=("cat", "dog"), order="source"):
    return convert_dialogue(row, images, 11, DialogueOptions(RELATIVE_1000, fmt, names, order))


def test_boxes_that_nothing_would_place_are_refused_in_absolute_pixels():
    turns = ("user", "<image><image>Where is it?"), ("assistant", "<ref-object><bbox>")
    row = make_row(*turns, refs=("cat",), boxes=[(10, 10, 50, 50)], images=2, box_images=[1])
    absolute = DialogueOptions(
        coordinate_space("absolute_resized", QWEN2_5_VL.resize()), AnswerFormat.TOKENS, ("cat",)
    )
    with pytest.raises(DataError, match=r"train\.jsonl:3: .*2 images .* 196 x 112, 1008 x 504.*which image"):
        convert_dialogue(row, TWO, 11, absolute)
    # Of one size, or in parts of their images, or without boxes, they are what they are.
    same = (*ONE, TruthImage(8, "images/b.jpg", (200, 100)))
    assert convert_dialogue(row, same, 11, absolute).sample.boxes == ((10, 11, 49, 56),)
    assert convert(row, images=TWO, names=("cat",)).sample is not None
    words = make_row(turns[0], ("assistant", "In the second."), images=2)
    assert convert_dialogue(words, TWO, 11, absolute).sample is not None


def model_text(sample: Sample) -> str:
    """What a model sees of the last answer once PaddleFormers has filled in the marks."""
    return fill_marks(sample.target, sample.refs, sample.boxes)


ASK = ("user", "<image>Find all animals.")
GROUNDING = make_row(
    ASK,
    ("assistant", grounding_content(2)),
    refs=("dog", "cat"),
    boxes=[(100, 50, 150, 75), (20.2, 10.1, 60, 30)],
)


def test_a_grounding_is_encoded_for_its_image_and_kept_exactly_in_the_truth():
    found = convert(GROUNDING)
    assert found.sample.boxes == ((500, 500, 750, 750), (101, 101, 300, 300))
    assert found.sample.refs == ("dog", "cat")
    assert [box.box_xyxy_px for box in found.truth] == [(100, 50, 150, 75), (20.2, 10.1, 60, 30)]
    assert [(box.id, box.image_id, box.category_id, box.area) for box in found.truth] == [
        (11, 7, 1, 1250),
        (12, 7, 0, pytest.approx(39.8 * 19.9)),
    ]
    assert (found.prompt, found.phrase, found.has_answer) == ("Find all animals.", "", True)
    assert sample_from_line(sample_to_line(found.sample), "x:1") == found.sample


@pytest.mark.parametrize("fmt", list(AnswerFormat))
def test_a_grounding_is_written_in_the_wanted_format_only(fmt):
    sample = convert(GROUNDING, fmt).sample
    read = parse(model_text(sample), fmt)
    assert (read.status, read.repairs) == ("ok", ())
    assert [(region.label, region.box) for region in read.regions] == [
        ("dog", (500, 500, 750, 750)),
        ("cat", (101, 101, 300, 300)),
    ]
    assert bool(sample.boxes) == (fmt is AnswerFormat.TOKENS)


def test_boxes_can_be_put_in_the_order_of_their_position():
    assert convert(GROUNDING, order="position").sample.refs == ("cat", "dog")


@pytest.mark.parametrize(
    ("fmt", "said"), [(AnswerFormat.TOKENS, "none"), (AnswerFormat.JSON, "```json\n[]\n```")]
)
def test_nothing_there_is_said_in_the_wanted_format(fmt, said):
    found = convert(make_row(ASK, ("assistant", EMPTY_GROUNDING)), fmt)
    assert (found.sample.target, found.truth, found.has_answer) == (said, (), False)


def test_words_stay_and_boxes_among_them_are_filled_in_by_format():
    row = make_row(
        ("user", "<image>What is at <bbox>?"),
        ("assistant", "<ref-object><bbox> sleeps."),
        refs=("a dog",),
        boxes=[(0, 0, 20, 10), (100, 50, 150, 75)],
    )
    tokens = convert(row).sample
    assert [message.content for message in tokens.messages] == [turn.content for turn in row.turns]
    assert tokens.boxes == ((0, 0, 100, 100), (500, 500, 750, 750))
    plain = convert(row, AnswerFormat.JSON)
    assert [message.content for message in plain.sample.messages] == [
        "<image>What is at [0, 0, 100, 100]?",
        "a dog[500, 500, 750, 750] sleeps.",
    ]
    assert (plain.sample.boxes, plain.truth, plain.has_answer) == ((), None, True)


def test_each_box_is_encoded_for_the_image_that_it_belongs_to():
    row = make_row(
        ("user", "<image><image>Find the cats."),
        ("assistant", grounding_content(2)),
        refs=("cat", "cat"),
        boxes=[(100, 50, 200, 100), (100, 50, 200, 100)],
        images=2,
        box_images=[1, 0],
    )
    found = convert(row, images=TWO)
    assert found.sample.boxes == ((100, 100, 200, 200), (500, 500, 1000, 1000))
    assert found.sample.images == ("images/a.jpg", "images/b.jpg")
    assert found.truth is None, "boxes over several images are no COCO truth"


def test_several_turns_share_out_names_and_boxes_in_order():
    row = make_row(
        ASK,
        ("assistant", grounding_content(1)),
        ("user", "And the <ref-object>?"),
        ("assistant", grounding_content(1)),
        refs=("cat", "dog", "dog"),
        boxes=[(0, 0, 20, 10), (100, 50, 150, 75)],
    )
    found = convert(row, AnswerFormat.JSON)
    assert [message.content for message in found.sample.messages][2] == "And the dog?"
    assert parse(found.sample.target).regions[0].box == (500, 500, 750, 750)
    assert found.prompt == "And the dog?"
    assert [box.box_xyxy_px for box in found.truth] == [(100, 50, 150, 75)]


BAD = [
    ((np.nan, 0, 10, 10), "nan_box"),
    ((5, 5, 5, 5), "point"),
    ((300, 20, 400, 40), "outside_box"),
    ((50, 50, 20, 60), "empty_box"),
]


@pytest.mark.parametrize(("box", "reason"), BAD)
def test_a_bad_box_is_left_out_with_its_place(box, reason):
    row = make_row(
        ASK, ("assistant", grounding_content(2)), refs=("cat", "dog"), boxes=[box, (0, 0, 300, 50)]
    )
    found = convert(row)
    assert found.sample.boxes == ((0, 0, 1000, 500),)
    assert found.clipped_boxes == 1
    ((why, where),) = found.skipped
    assert why == reason
    assert where.startswith("train.jsonl:3 box 0: ")
    assert [entry.id for entry in found.truth] == [11]


@pytest.mark.parametrize("content", [grounding_content(1), "<ref-object><bbox> sleeps."])
@pytest.mark.parametrize(("box", "reason"), BAD)
def test_an_answer_that_would_lose_its_sense_takes_the_row_with_it(content, box, reason):
    found = convert(make_row(ASK, ("assistant", content), refs=("cat",), boxes=[box]))
    assert (found.sample, found.truth) == (None, None)
    assert [why for why, _ in found.skipped] == [reason]


def test_a_name_that_no_answer_can_hold_and_a_question_without_answer_are_left_out():
    row = make_row(ASK, ("assistant", grounding_content(1)), refs=("<|im_end|>",), boxes=[(0, 0, 9, 9)])
    assert [why for why, _ in convert(row).skipped] == ["label"]
    assert [why for why, _ in convert(make_row(ASK)).skipped] == ["no_answer"]


def test_the_same_object_twice_is_said_once():
    row = make_row(
        ASK,
        ("assistant", grounding_content(2)),
        refs=("cat", "cat"),
        boxes=[(0, 0, 20, 10), (0, 0, 20.01, 10)],
    )
    found = convert(row)
    assert (len(found.sample.boxes), found.merged_boxes, len(found.truth)) == (1, 1, 2)


def test_free_names_count_as_one_class_under_their_phrase():
    found = convert(GROUNDING, names=(ANY_OBJECT,))
    assert (found.phrase, {box.category_id for box in found.truth}) == ("dog, cat", {0})


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (make_row(("user", "Find it."), ("assistant", "no")), "0 <image> marks but 1 images"),
        (make_row(ASK, ("assistant", grounding_content(1)), refs=("cat",)), "1 <bbox> marks but 0 boxes"),
        (make_row(ASK, ("assistant", "<ref-object>")), "1 <ref-object> marks but 0 names"),
        (
            make_row(
                ASK, ("assistant", grounding_content(1)), refs=("a",), boxes=[(0, 0, 1, 1)], box_images=[3]
            ),
            "belongs to image 3",
        ),
    ],
)
def test_what_does_not_match_is_refused_with_its_place(row, complaint):
    with pytest.raises(DataError, match=rf"train\.jsonl:3: .*{complaint}"):
        convert(row)
