"""Conversation formats: their documentation's own examples, read and held against numbers by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from paddle_ground.answers import AnswerFormat, parse
from paddle_ground.data.dialogue import ANY_OBJECT, EMPTY_GROUNDING, grounding_content
from paddle_ground.data.options import PrepareOptions
from paddle_ground.data.prepare import prepare
from paddle_ground.errors import DataError
from paddle_ground.records import read_samples, read_truth, truth_path

ASK = {"role": "user", "content": "<image>Find the animals."}


def swift_row(answer, image="a.jpg", ask=ASK["content"], **objects):
    messages = [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    row = {"messages": messages, "images": [image]}
    return row | ({"objects": objects} if objects else {})


@pytest.fixture
def one_row(tmp_path, write_image, write_rows, open_as, rows_of):
    """Function that writes one ms-swift row beside its images, and reads it."""

    def read(row, name="swift", file="train.jsonl", **options):
        write_image(tmp_path / "a.jpg")
        write_image(tmp_path / "b.jpg", (1000, 500))
        write_rows(tmp_path / file, [row])
        return rows_of(open_as(name, tmp_path / file, **options))[0]

    return read


# ms-swift's documentation, "Grounding": what each `objects` means.
SWIFT = [
    pytest.param(
        swift_row(
            "<ref-object><bbox> and <ref-object><bbox> are playing",
            ref=["a dog", "a woman"],
            bbox=[[33.5, 76.4, 85.5, 94.8], [67, 68, 109.9, 92.7]],
        ),
        "<ref-object><bbox> and <ref-object><bbox> are playing",
        ("a dog", "a woman"),
        [[33.5, 76.4, 85.5, 94.8], [67, 68, 109.9, 92.7]],
        id="words around stay",
    ),
    pytest.param(
        swift_row(
            "<bbox><bbox>",
            ask="<image>Find the <ref-object> in the image",
            ref=["sheep"],
            bbox=[[1, 2, 3, 4], [5, 6, 7, 8]],
        ),
        grounding_content(2),
        ("sheep", "sheep", "sheep"),
        [[1, 2, 3, 4], [5, 6, 7, 8]],
        id="the question names what the boxes are",
    ),
    pytest.param(
        swift_row(
            '```json\n[{"bbox_2d": <bbox>, "label": "<ref-object>"}, {"bbox_2d": <bbox>, "label": "cat"}]'
            "\n```",
            ref=["dog"],
            bbox=[[1, 2, 3, 4], [5, 6, 7, 8]],
        ),
        grounding_content(2),
        ("dog", "cat"),
        [[1, 2, 3, 4], [5, 6, 7, 8]],
        id="marks in JSON, as for Qwen2.5-VL and Qwen3-VL",
    ),
    pytest.param(
        swift_row("<ref-object><bbox>", ref=["dog"], bbox=[[0.1, 0.2, 0.5, 1.0]], bbox_type="norm1"),
        grounding_content(1),
        ("dog",),
        [[20, 20, 100, 100]],
        id="norm1 is parts of the image's sides",
    ),
    pytest.param(
        swift_row("click <bbox>", ref=[], bbox=[[61, 22]]),
        "click <bbox>",
        (),
        [[61, 22, 61, 22]],
        id="a point",
    ),
    pytest.param(
        {
            "query": "Find <bbox>",
            "response": "<ref-object>",
            "images": ["a.jpg"],
            "objects": json.dumps([{"caption": "guy in red", "bbox": [13, 36, 35, 59], "image": 0}]),
        },
        "<ref-object>",
        ("guy in red",),
        [[13, 36, 35, 59]],
        id="version 2",
    ),
    pytest.param(
        swift_row("```json\n[]\n```", ref=[], bbox=[]),
        EMPTY_GROUNDING,
        (),
        np.zeros((0, 4)),
        id="nothing there",
    ),
]


@pytest.mark.parametrize(("row", "answer", "refs", "boxes"), SWIFT)
def test_ms_swift_rows_mean_what_its_documentation_says(one_row, row, answer, refs, boxes):
    found = one_row(row)
    assert found.turns[-1].content == answer
    assert found.refs == refs
    np.testing.assert_allclose(found.boxes_xyxy_px, boxes)
    assert found.where == "train.jsonl:1"
    assert found.read_images[0]()[:2] == b"\xff\xd8"


def test_a_box_belongs_to_the_image_that_image_id_counts(one_row):
    row = swift_row("<bbox> <bbox>", ask="<image><image>?", bbox=[[0, 0, 0.5, 0.5]] * 2)
    row["objects"] |= {"image_id": [1], "bbox_type": "norm1"}
    row["images"] = ["a.jpg", "b.jpg"]
    found = one_row(row)
    assert found.box_images.tolist() == [1, 0]
    np.testing.assert_allclose(found.boxes_xyxy_px, [[0, 0, 500, 250], [0, 0, 100, 50]])


def test_images_without_a_mark_are_put_before_the_question(one_row):
    assert one_row(swift_row("A cow.", ask="What is it?")).turns[0].content == "<image>What is it?"


BROKEN = [
    (swift_row("<bbox>", ref=[], bbox=[[1, 2, 3]]), "expected x1, y1, x2, y2"),
    (swift_row("<bbox>", ref=[], bbox=["1234"]), "expected x1, y1, x2, y2"),
    (swift_row("<bbox><bbox>", ref=[], bbox=[[1, 2, 3, 4]]), "2 <bbox> marks but 0 names and 1 boxes"),
    (swift_row("<bbox>", bbox=[[1, 2, 3, 4]], bbox_type="norm7"), "unknown bbox_type 'norm7'"),
    (swift_row("<bbox>", bbox=[[1, 2, 3, 4]], image_id=["0"]), "count images from 0"),
    (swift_row("A cow.", ask="<image><image>?"), "2 <image> marks but 1 images"),
    ({"messages": [{"role": "wizard", "content": "?"}], "images": ["a.jpg"]}, "unknown role 'wizard'"),
    ({"messages": [{"role": "user"}], "images": ["a.jpg"]}, "`content` is missing"),
    ({"messages": [3], "images": ["a.jpg"]}, "expected a JSON object"),
    ({"messages": [], "images": [{"bytes": 1}]}, "is no path"),
    ({"messages": [ASK], "images": ["a.jpg"], "objects": "{"}, "`objects` is no JSON"),
    ({"query": "?", "response": 3, "images": ["a.jpg"]}, "`response` should be a string"),
]


@pytest.mark.parametrize(("row", "complaint"), BROKEN)
def test_a_broken_row_is_refused_with_its_place(one_row, row, complaint):
    with pytest.raises(DataError, match=r"^train\.jsonl:1:? ?.*" + complaint):
        one_row(row)


@pytest.mark.parametrize(
    "text", ['{"messages": [', "[1, 2]", '[{"a": 1} {"b": 2}]', '[{"a": 1}, {"b": ', "\xff"]
)
def test_a_truncated_or_foreign_file_is_refused_with_its_place(tmp_path, open_as, text):
    file = tmp_path / "train.jsonl"
    file.write_bytes(json.dumps(swift_row("A cow.")).encode() + b"\n" + text.encode("latin-1"))
    with pytest.raises(DataError, match=r"train\.jsonl:2: "):
        open_as("swift", file)


@pytest.mark.parametrize(
    "named", ["../secret.jpg", "/etc/passwd", "a/../../secret.jpg", "missing.jpg", "", "a\0b"]
)
def test_no_image_outside_of_the_data_set_is_read(tmp_path, one_row, named):
    (tmp_path.parent / "secret.jpg").write_bytes(b"secret")
    found = one_row(swift_row("A cow.", image=named))
    with pytest.raises(DataError, match=r"^train\.jsonl:1: "):
        found.read_images[0]()


def test_an_absolute_path_into_the_data_set_is_inside(tmp_path, one_row):
    found = one_row(swift_row("A cow.", image=str(tmp_path / "a.jpg")))
    assert found.read_images[0]() == (tmp_path / "a.jpg").read_bytes()


# --- LLaMA-Factory and Qwen ------------------------------------------------------------------------------


def test_alpaca_rows_and_their_history(one_row):
    row = {
        "instruction": "<image>What is it?",
        "input": "Be brief.",
        "output": "A cow.",
        "system": "You look.",
        "history": [["Hello", "Hi"]],
        "images": ["a.jpg"],
    }
    found = one_row(row, "llamafactory", "data.json")
    assert [(turn.role, turn.content) for turn in found.turns] == [
        ("system", "You look."),
        ("user", "Hello"),
        ("assistant", "Hi"),
        ("user", "<image>What is it?\nBe brief."),
        ("assistant", "A cow."),
    ]


def test_the_description_tells_columns_and_tags(tmp_path, write_image, write_rows, open_as, rows_of):
    write_image(tmp_path / "pictures" / "a.jpg")
    turns = [{"who": "me", "says": "<image>?"}, {"who": "it", "says": "A cow."}]
    write_rows(tmp_path / "mine.json", [{"talk": turns, "shots": ["pictures/a.jpg"]}])
    info = {
        "far": {"hf_hub_url": "somebody/else"},
        "gone": {"file_name": "gone.json"},
        "out": {"file_name": "../../etc/passwd"},
        "pairs": {"file_name": "mine.json", "ranking": True},
        "mine": {
            "file_name": "mine.json",
            "formatting": "sharegpt",
            "columns": {"messages": "talk", "images": "shots"},
            "tags": {"role_tag": "who", "content_tag": "says", "user_tag": "me", "assistant_tag": "it"},
        },
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    source = open_as("llamafactory", tmp_path)
    (row,) = rows_of(source)
    assert [turn.role for turn in row.turns] == ["user", "assistant"]
    assert source.notes == ("files: mine.json, as dataset_info.json says",)


def test_calls_of_tools_and_videos_are_left_out_and_said(tmp_path, write_image, write_rows, open_as, rows_of):
    write_image(tmp_path / "a.jpg")
    talk = [{"from": "human", "value": "<image>?"}, {"from": "gpt", "value": "A cow."}]
    rows = [
        {"image": "a.jpg", "conversations": talk},
        {"image": "a.jpg", "conversations": [*talk, {"from": "function_call", "value": "{}"}]},
        {"video": "a.mp4", "conversations": talk},
    ]
    source = open_as("qwen_finetune", write_rows(tmp_path / "data.json", rows))
    assert len(rows_of(source)) == 1
    assert len(source.notes) == 2
    assert "1 left out, with calls of tools (the first: data.json:" in source.notes[1]


def qwen_rows(*boxes, image="a.jpg"):
    answers = [json.dumps([{"bbox_2d": list(box), "label": "cow"}]) for box in boxes]
    return [
        {
            "image": image,
            "conversations": [
                {"from": "human", "value": "<image>Where?"},
                {"from": "gpt", "value": answer},
            ],
        }
        for answer in answers
    ]


@pytest.mark.parametrize(
    ("size_wh", "boxes", "units", "pixels"),
    [
        # A number beyond the image, and none beyond 1000: thousandths, Qwen3-VL.
        ((200, 100), [(0, 0, 500, 500), (0, 0, 100, 50)], "relative_1000", [(0, 0, 100, 50), (0, 0, 20, 5)]),
        # A number beyond 1000, inside the image: pixels, Qwen2.5-VL.
        ((1600, 1200), [(0, 0, 1500, 500), (0, 0, 9, 9)], "pixels", [(0, 0, 1500, 500), (0, 0, 9, 9)]),
        # 0..1 throughout can be parts of the sides only.
        ((200, 100), [(0, 0, 0.5, 0.5)], "fractions", [(0, 0, 100, 50)]),
    ],
)
def test_the_numbers_tell_the_units_of_boxes_in_text(
    tmp_path, write_image, write_rows, open_as, rows_of, size_wh, boxes, units, pixels
):
    write_image(tmp_path / "a.jpg", size_wh)
    source = open_as("qwen_finetune", write_rows(tmp_path / "data.json", qwen_rows(*boxes)))
    rows = rows_of(source)
    assert [row.turns[-1].content for row in rows] == [grounding_content(1)] * len(boxes)
    np.testing.assert_allclose(np.concatenate([row.boxes_xyxy_px for row in rows]), pixels)
    assert f"boxes: {units} (of {len(boxes)} boxes seen" in source.notes[-1]
    assert source.class_names == ("cow",)


def test_where_the_numbers_do_not_tell_the_user_does(tmp_path, write_image, write_rows, open_as, rows_of):
    write_image(tmp_path / "a.jpg")
    file = write_rows(tmp_path / "data.json", qwen_rows((10, 10, 100, 50)))
    with pytest.raises(DataError, match="pass --box-units pixels or --box-units relative_1000"):
        open_as("qwen_finetune", file)
    (row,) = rows_of(open_as("qwen_finetune", file, box_units="relative_1000"))
    np.testing.assert_allclose(row.boxes_xyxy_px, [(2, 1, 20, 5)])
    (row,) = rows_of(open_as("qwen_finetune", file, box_units="pixels"))
    np.testing.assert_allclose(row.boxes_xyxy_px, [(10, 10, 100, 50)])


def test_boxes_in_text_need_images_of_one_size_where_they_are_pixels(
    tmp_path, write_image, write_rows, open_as, rows_of
):
    write_image(tmp_path / "a.jpg")
    write_image(tmp_path / "b.jpg", (1000, 500))
    (row,) = qwen_rows((10, 10, 100, 50), image=["a.jpg", "b.jpg"])
    row["conversations"][0]["value"] = "<image><image>Where in the second one?"
    file = write_rows(tmp_path / "data.json", [row])
    (found,) = rows_of(open_as("qwen_finetune", file, box_units="relative_1000"))
    np.testing.assert_allclose(found.boxes_xyxy_px, [(2, 1, 20, 5)])
    with pytest.raises(DataError, match=r"^data\.json:\d+: .* its 2 images differ in size"):
        rows_of(open_as("qwen_finetune", file, box_units="pixels"))
    write_image(tmp_path / "b.jpg", shade=9)
    (found,) = rows_of(open_as("qwen_finetune", file, box_units="pixels"))
    np.testing.assert_allclose(found.boxes_xyxy_px, [(10, 10, 100, 50)])


def test_talk_with_numbers_stays_talk(one_row):
    text = "The points (1,2),(3,4) and the list [1, 2, 3, 4] are in exercise 7."
    assert one_row(swift_row(text)).turns[-1].content == text


def test_box_tokens_are_thousandths_by_convention(one_row):
    found = one_row(
        swift_row("<|object_ref_start|>cow<|object_ref_end|><|box_start|>(0,0),(500,500)<|box_end|>")
    )
    assert (found.turns[-1].content, found.refs) == (grounding_content(1), ("cow",))
    np.testing.assert_allclose(found.boxes_xyxy_px, [(0, 0, 100, 50)])


@pytest.mark.parametrize(("others", "content"), [(2, EMPTY_GROUNDING), (0, "none")])
def test_none_means_an_empty_answer_among_groundings_only(
    tmp_path, write_image, write_rows, open_as, rows_of, others, content
):
    write_image(tmp_path / "a.jpg")
    grounding = swift_row("<ref-object><bbox>", ref=["cow"], bbox=[[1, 2, 3, 4]])
    rows = [swift_row("none"), *[grounding] * others, *[swift_row("A cow.")] * (not others)]
    source = open_as("swift", write_rows(tmp_path / "train.jsonl", rows))
    assert rows_of(source)[0].turns[-1].content == content
    assert source.survey(source.chunks[0]).usable_boxes[0] == (1 if content == "none" else 0)


def test_free_phrases_are_no_classes(tmp_path, write_image, write_rows, open_as):
    write_image(tmp_path / "a.jpg")
    rows = [swift_row("<ref-object><bbox>", ref=[f"cow {n}"], bbox=[[1, 2, 3, 4]]) for n in range(30)]
    assert open_as("swift", write_rows(tmp_path / "train.jsonl", rows)).class_names == (ANY_OBJECT,)


def test_the_fingerprint_follows_rows_and_images(tmp_path, write_image, write_rows, open_as):
    prints = []
    for folder, size_wh, answer in (
        ("x", (64, 64), "A"),
        ("y", (64, 64), "A"),
        ("z", (64, 64), "B"),
        ("w", (9, 9), "A"),
    ):
        write_image(tmp_path / folder / "a.jpg", size_wh)
        file = write_rows(tmp_path / folder / "train.jsonl", [swift_row(answer)])
        prints.append(open_as("swift", file).fingerprint)
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


# --- Prepared data again, and end to end -----------------------------------------------------------------


def test_prepared_data_is_prepared_again_without_loss(tmp_path, write_image, write_rows):
    for number in range(3):
        write_image(tmp_path / "src" / f"{number}.jpg", (199, 97), number * 80)
    boxes = [[10.3, 5.2, 60.7, 40.1], [100.05, 20, 150.5, 90.25]]
    rows = [
        swift_row("<ref-object><bbox>, <ref-object><bbox>", f"{n}.jpg", ref=["dog", "cat"], bbox=boxes)
        for n in range(2)
    ]
    rows.append(swift_row("none", "2.jpg"))
    write_rows(tmp_path / "src" / "train.jsonl", rows)
    outs = [tmp_path / name for name in ("tokens", "json", "again")]
    sources = [tmp_path / "src", outs[0], outs[1]]
    for source, out, fmt in zip(sources, outs, ("tokens", "json", "tokens"), strict=True):
        prepare(PrepareOptions(out, source, val_ratio=0, answer_format=fmt))
    first, second, third = ((out / "train.jsonl").read_text() for out in outs)
    assert first == third
    assert first != second
    truths = [read_truth(truth_path(out / "train.jsonl")) for out in outs]
    assert [box.box_xyxy_px for box in truths[2].annotations] == [
        box.box_xyxy_px for box in truths[0].annotations
    ]
    exact = [box.box_xyxy_px for box in truths[0].annotations]
    np.testing.assert_allclose(sorted(exact), sorted([*boxes, *boxes]))
    answers = [parse(sample.target, AnswerFormat.JSON) for sample in read_samples(outs[1] / "train.jsonl")]
    assert sorted(len(answer.regions) for answer in answers) == [0, 2, 2]
    assert {answer.status for answer in answers} == {"ok"}


def test_a_point_is_left_out_and_counted_where_it_stands(tmp_path, write_image, write_rows):
    write_image(tmp_path / "src" / "a.jpg")
    rows = [swift_row("click <bbox>", ref=[], bbox=[[61, 22]]), swift_row("A cow.")]
    write_rows(tmp_path / "src" / "train.jsonl", rows)
    report = prepare(PrepareOptions(tmp_path / "out", tmp_path / "src", val_ratio=0))
    (result,) = report.splits
    assert (result.counts["kept"], result.counts["skipped_point"]) == (1, 1)
    assert result.examples["point"][0].startswith("train.jsonl:1 box 0")
