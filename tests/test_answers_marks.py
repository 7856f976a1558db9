"""Marks filled in and taken out again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.answers import AnswerFormat, fill_marks, take_marks
from paddle_ground.errors import AnswerError

# ms-swift's documentation shows these turns for Qwen2-VL.
BEACH = (
    "<|object_ref_start|>a dog<|object_ref_end|><|box_start|>(221,423),(569,886)<|box_end|> and "
    "<|object_ref_start|>a woman<|object_ref_end|><|box_start|>(451,381),(733,793)<|box_end|> are playing"
)
CLICK = "Action: click(start_box='<|box_start|>(246,113)<|box_end|>')"


def test_marks_are_filled_in_as_paddleformers_and_as_plain_text():
    content, refs, boxes = "<ref-object><bbox>, it <bbox>", ["a dog"], [(1, 2, 3, 4), (5, 6, 7, 8)]
    assert fill_marks(content, refs, boxes) == (
        "<|object_ref_start|>a dog<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>, it "
        "<|box_start|>(5,6),(7,8)<|box_end|>"
    )
    assert fill_marks(content, refs, boxes, AnswerFormat.JSON) == "a dog[1, 2, 3, 4], it [5, 6, 7, 8]"


def test_a_mark_too_few_or_too_many_is_refused():
    with pytest.raises(AnswerError, match="2 <bbox> marks, but 0 names and 1 boxes"):
        fill_marks("<bbox><bbox>", [], [(1, 2, 3, 4)])


def test_tokens_are_taken_out_of_their_sentence():
    found = take_marks(BEACH)
    assert found.content == "<ref-object><bbox> and <ref-object><bbox> are playing"
    assert (found.refs, found.boxes) == (("a dog", "a woman"), ((221, 423, 569, 886), (451, 381, 733, 793)))
    assert fill_marks(found.content, found.refs, [[int(n) for n in box] for box in found.boxes]) == BEACH


def test_older_tokens_are_taken_out_too():
    found = take_marks("<ref>the cat</ref><box>(1,2),(3,4)</box>!")
    assert (found.content, found.refs, found.boxes) == ("<ref-object><bbox>!", ("the cat",), ((1, 2, 3, 4),))


@pytest.mark.parametrize(
    "text",
    [
        "no box here",
        CLICK,
        "<|box_start|>(1,2),(3,4)<|box_end|><|box_start|>(1,2",
        "<bbox> and <|box_start|>(1,2),(3,4)<|box_end|>",
        "<|object_ref_start|>a name alone<|object_ref_end|>",
    ],
)
def test_what_is_not_whole_is_left_alone(text):
    assert take_marks(text) is None


NUMBER = st.integers(0, 99999)
WORDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="<>|"), max_size=12)


@given(st.lists(st.tuples(WORDS, st.tuples(NUMBER, NUMBER, NUMBER, NUMBER)), min_size=1, max_size=5), WORDS)
def test_what_was_filled_in_can_be_taken_out(parts, tail):
    content = "".join(f"{words}<bbox>" for words, _ in parts) + tail
    boxes = [box for _, box in parts]
    found = take_marks(fill_marks(content, [], boxes))
    assert (found.content, found.boxes) == (content, tuple(boxes))
