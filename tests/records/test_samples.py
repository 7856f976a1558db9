"""samples.jsonl: lines as PaddleFormers reads them, and each way in which a line can be wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.errors import DataError, RecordError
from paddle_ground.records import (
    Message,
    Sample,
    read_samples,
    resolve_image,
    sample_from_line,
    sample_to_line,
    write_samples,
)

# Written by hand in the layout of PaddleFormers' own grounding example.
LINE = (
    '{"messages": [{"role": "user", "content": "<image>Task: Object Detection"}, '
    '{"role": "assistant", "content": "<ref-object><bbox>, <ref-object><bbox>"}], '
    '"images": ["images/000000000009.jpg"], '
    '"objects": {"ref": ["碗", "orange"], "bbox": [[1, 391, 957, 987], [487, 9, 986, 485]]}}'
)

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<"), max_size=20)
NUMBER = st.integers(0, 1000)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Draw a sample whose marks match its objects."""
    refs = tuple(draw(st.lists(TEXT, max_size=4)))
    boxes = tuple(draw(st.tuples(NUMBER, NUMBER, NUMBER, NUMBER)) for _ in refs)
    answer = ", ".join(["<ref-object><bbox>"] * len(refs)) + draw(TEXT)
    turns = (Message("user", "<image>" + draw(TEXT)), Message("assistant", answer))
    return Sample(turns, (draw(TEXT),), refs, boxes)


def test_a_line_is_read_field_by_field():
    sample = sample_from_line(LINE, "x:1")
    assert sample.prompt == "Task: Object Detection"
    assert sample.target == "<ref-object><bbox>, <ref-object><bbox>"
    assert sample.images == ("images/000000000009.jpg",)
    assert sample.refs == ("碗", "orange")
    assert sample.boxes == ((1, 391, 957, 987), (487, 9, 986, 485))


def test_a_line_is_written_as_it_was_read():
    assert sample_to_line(sample_from_line(LINE, "x:1")) == LINE


@given(samples())
def test_any_sample_survives_the_way_through_a_line(sample):
    line = sample_to_line(sample)
    assert "\n" not in line
    assert sample_from_line(line, "x:1") == sample


def test_a_whole_surrogate_pair_is_a_character():
    assert sample_from_line(changed(ref=["one", "\U0001f600"]), "x:1").refs[1] == "\U0001f600"


def test_a_sample_without_objects_is_read():
    line = '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hello"}]}'
    sample = sample_from_line(line, "x:1")
    assert (sample.prompt, sample.target, sample.images, sample.boxes) == ("hello", "", (), ())


def test_the_last_user_turn_is_the_prompt():
    turns = (Message("user", "<image>one"), Message("assistant", "1"), Message("user", " two "))
    assert Sample(turns, ("a.jpg",)).prompt == "two"


def changed(**objects: object) -> str:
    record = json.loads(LINE)
    record["objects"].update(objects)
    return json.dumps(record)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "x:7: not valid JSON"),
        ("[1]", r"x:7: expected a JSON object, found a list \(\[1\]\)"),
        ("[" * 100_000, "x:7: not valid JSON"),  # nested too deep
        ('{"images": []}', "x:7: `messages` is missing"),
        ('{"messages": []}', "x:7: `messages` is empty"),
        ('{"messages": ["hi"]}', r"x:7: messages\[0\]: expected a JSON object"),
        ('{"messages": [{"role": "human", "content": ""}]}', r"role 'human' is not one of system, user"),
        ('{"messages": [{"role": "user", "content": 3}]}', "`content` should be a string, found a number"),
        (
            '{"messages": [{"role": "user", "content": "<image>"}]}',
            "x:7: 1 <image> placeholders but 0 in images",
        ),
        (changed(ref=["one"]), "x:7: 2 <ref-object> placeholders but 1 in objects.ref"),
        (changed(bbox=[[1, 2, 3, 4]] * 3), "x:7: 2 <bbox> placeholders but 3 in objects.bbox"),
        (changed(bbox=[[0.1, 0.2, 0.3, 0.4]] * 2), r"x:7: objects.bbox\[0\] is \[0.1, .*4 whole numbers"),
        (changed(bbox=[[1, 2, 3, 4], [1, 2, 3]]), r"x:7: objects.bbox\[1\] is \[1, 2, 3\]"),
        (changed(bbox=[[1, 2, 3, True]] * 2), r"objects.bbox\[0\]"),
        (changed(bbox=[[1, 2, 10**400, 4]] * 2), r"objects.bbox\[0\] is \[1, 2, 1000.{1,80}4 whole numbers"),
        (changed(bbox=7), "`bbox` should be a list, found a number"),
        (changed(ref=["one", "t\ud83dwo"]), "x:7: a text holds half a surrogate pair"),
        (LINE.replace("9.jpg", r"\uDE00.jpg"), "x:7: a text holds half a surrogate pair"),
    ],
)
def test_a_wrong_line_is_named(line, message):
    with pytest.raises(RecordError, match=message) as caught:
        sample_from_line(line, "x:7")
    assert "\n" not in str(caught.value)


def test_whole_floats_are_whole_numbers():
    assert sample_from_line(changed(bbox=[[1.0, 2.0, 3.0, 4.0]] * 2), "x:1").boxes[0] == (1, 2, 3, 4)


def test_files_are_read_line_by_line_and_blank_lines_passed_over(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(LINE + "\n\n" + LINE, encoding="utf-8")
    assert len(list(read_samples(path))) == 2
    path.write_text(LINE + "\n\n{}\n", encoding="utf-8")
    lines = read_samples(path)
    assert next(lines).refs == ("碗", "orange")
    with pytest.raises(RecordError, match=r"train\.jsonl:3: `messages` is missing"):
        next(lines)


@pytest.mark.parametrize(("content", "message"), [(None, "no such file"), (b"\xff\xfe{}", "not UTF-8")])
def test_an_unreadable_file_is_named(tmp_path, content, message):
    path = tmp_path / "train.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordError, match=rf"train\.jsonl: {message}"):
        list(read_samples(path))


def test_samples_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "out" / "train.jsonl"
    sample = sample_from_line(LINE, "x:1")
    assert write_samples(path, [sample, sample]) == 2
    before = path.read_bytes()
    assert before.decode() == LINE + "\n" + LINE + "\n"

    def breaks_off():
        yield sample
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_samples(path, breaks_off())
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["train.jsonl"]


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/train\.jsonl: cannot write here"):
        write_samples(tmp_path / "file" / "train.jsonl", [])


def test_images_are_found_beside_the_samples(tmp_path):
    samples_path = tmp_path / "train.jsonl"
    assert resolve_image(samples_path, "images/a.jpg") == tmp_path / "images" / "a.jpg"
    assert resolve_image(samples_path, "images/../a.jpg") == tmp_path / "images/../a.jpg"


@pytest.mark.parametrize("image", ["../a.jpg", "images/../../a.jpg", "/etc/passwd", ".."])
def test_image_paths_that_lead_out_are_refused(tmp_path, image):
    with pytest.raises(RecordError, match="leads out of its folder"):
        resolve_image(tmp_path / "train.jsonl", image)
