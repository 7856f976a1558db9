"""RefCOCO, ODVG and episodes: real rows and the examples of their documentation."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from paddle_ground.data.dialogue import ANY_OBJECT
from paddle_ground.data.options import PrepareOptions
from paddle_ground.data.prepare import prepare
from paddle_ground.data.source import Referral
from paddle_ground.errors import ConfigError, DataError
from paddle_ground.records import read_samples, read_truth, truth_path

COCO = "COCO_train2014_000000580957"


# --- RefCOCO ---------------------------------------------------------------------------------------------


def test_real_refcoco_rows_of_an_image_are_one_row(shared_data, open_as, rows_of):
    source = open_as("refcoco", shared_data / "refcoco" / "refcoco_val_with_images.json")
    (row,) = rows_of(source)
    # Its bbox is 468.3, 0.91, 171.7, 116.12: x, y, width, height.
    np.testing.assert_allclose(row.boxes_xyxy_px[0], [468.3, 0.91, 640.0, 117.03])
    assert (row.image_id, row.size_wh, row.where) == (580957, (640, 428), "refcoco_val_with_images.json:2")
    assert row.referrals[0] == Referral("bowl behind the others can only see part", (0,))
    assert len({referral.phrase for referral in row.referrals}) == len(row.referrals)
    assert Image.open(io.BytesIO(row.read_image())).size == (640, 428)
    assert any(note.startswith("boxes: xywh") for note in source.notes)


def test_real_refcoco_files_of_a_folder_are_put_together_and_prepared(tmp_path, shared_data):
    report = prepare(PrepareOptions(tmp_path / "out", shared_data / "refcoco"))
    (result,) = report.splits
    assert (result.split, result.counts["kept"]) == ("val", 14)
    samples = list(read_samples(tmp_path / "out" / "val.jsonl"))
    assert len({(sample.images, sample.prompt) for sample in samples}) == 14
    truth = read_truth(truth_path(tmp_path / "out" / "val.jsonl"))
    assert {image.phrase for image in truth.images} >= {
        "bowl of carrots",
        "stuffed teddy bear with a red ribbon",
    }


def test_a_phrase_may_mean_several_boxes_or_none(tmp_path, write_image, write_rows, open_as, rows_of):
    write_image(tmp_path / "a.jpg")
    common = {"image": "a.jpg", "width": 200, "height": 100}
    rows = [
        common | {"phrase": "cows", "bbox": [[0, 0, 10, 10], [50, 50, 120, 90]]},
        common | {"phrase": "unicorn", "bbox": []},
        common | {"sentences": [{"sent": "left  cow", "raw": "Left cow"}, "a cow"], "bbox": [0, 0, 10, 10]},
        common | {"sents": "a cow", "bbox": [50, 50, 120, 90]},
    ]
    (row,) = rows_of(open_as("refcoco", write_rows(tmp_path / "rows.json", rows), layout="xyxy"))
    assert [(one.phrase, one.boxes) for one in row.referrals] == [
        ("cows", (0, 1)),
        ("unicorn", ()),
        ("left cow", (0,)),
        ("a cow", (0, 1)),
    ]
    assert len(row.boxes_xyxy_px) == 2


def jpeg(size_wh=(200, 100)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size_wh).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize("group_rows", [3, 2])
def test_the_parquet_of_lmms_lab(tmp_path, open_as, rows_of, group_rows):
    rows = [
        {
            "question_id": str(number),
            "image": {"bytes": jpeg(), "path": f"{name}.jpg"},
            "question": "Describe the region.",
            "answer": phrases,
            "bbox": box,
            "iscrowd": 0,
            "file_name": f"{name}.jpg",
        }
        for number, (name, phrases, box) in enumerate(
            [
                (f"{COCO}_0", ["left cow", "cow"], [10.0, 10.0, 30.0, 5.0]),
                ("COCO_train2014_000000000009_0", ["a pig"], [100.0, 50.0, 20.0, 20.0]),
                (f"{COCO}_1", ["right cow"], [100.0, 50.0, 90.0, 40.0]),
            ]
        )
    ]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "val-00000-of-00001.parquet", row_group_size=group_rows)
    source = open_as("refcoco", tmp_path, layout="xywh")
    found = rows_of(source)
    assert [row.image_id for row in found] == [580957, 9]
    assert [one.phrase for one in found[0].referrals] == ["left cow", "cow", "right cow"]
    np.testing.assert_allclose(found[0].boxes_xyxy_px, [[10, 10, 40, 15], [100, 50, 190, 90]])
    for row in source.read(source.chunks[0], np.array([1])):
        assert bytes(row.read_image()) == jpeg()
    assert [(chunk.split, chunk.rows) for chunk in source.chunks] == [("val", 2)]


def test_the_parquet_of_jxu124_names_its_images(tmp_path, write_image, open_as, rows_of):
    write_image(tmp_path / "train2014" / f"{COCO}.jpg")
    row = {
        "sentences": [{"raw": "Left cow", "sent": "left cow", "sent_id": 1, "tokens": ["left", "cow"]}],
        "image_path": f"coco/train2014/{COCO}.jpg",
        "bbox": [150.0, 10.0, 190.0, 95.0],
        "raw_image_info": '{"width": 200, "height": 100}',
        "image_id": 580957,
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "train-00000-of-00001.parquet")
    source = open_as("refcoco", tmp_path)
    (found,) = rows_of(source)
    np.testing.assert_allclose(found.boxes_xyxy_px, [[150, 10, 190, 95]])
    assert found.read_image()[:2] == b"\xff\xd8"
    assert "boxes: xyxy (of 1 boxes seen 1 can be xyxy only and 0 xywh only)" in source.notes


REFCOCO_BROKEN = [
    ({"sents": "cow", "bbox": [1, 2, 3], "image": "a.jpg"}, "expected four numbers"),
    ({"sents": "cow", "bbox": ["1", 2, 3, 4], "image": "a.jpg"}, "expected four numbers"),
    ({"sents": [7], "bbox": [1, 2, 3, 4], "image": "a.jpg"}, "expected phrases"),
    ({"sents": None, "bbox": [1, 2, 3, 4], "image": "a.jpg"}, "no phrase"),
    ({"sents": "cow", "bbox": [1, 2, 3, 4], "image": None}, "no image"),
    ({"sents": "cow", "bbox": [1, 2, 3, 4], "image": "a.jpg", "width": "9", "height": 9}, "whole number"),
]


@pytest.mark.parametrize(("row", "complaint"), REFCOCO_BROKEN)
def test_a_broken_row_is_refused_with_its_place(tmp_path, write_rows, open_as, row, complaint):
    good = {"sents": "cow", "bbox": [1, 2, 3, 4], "image": "a.jpg", "width": 9, "height": 9}
    file = write_rows(tmp_path / "rows.jsonl", [good, row])
    with pytest.raises(DataError, match=rf"rows\.jsonl:2: .*{complaint}"):
        open_as("refcoco", file)


# --- ODVG ------------------------------------------------------------------------------------------------

# The example of Open-GroundingDino's data_format.md.
ODVG = {
    "filename": "image.jpg",
    "height": 693,
    "width": 1024,
    "detection": {
        "instances": [
            {"bbox": [262, 210, 323, 338], "label": 0, "category": "dog"},
            {"bbox": [164, 263, 252, 371], "label": 1, "category": "cat"},
            {"bbox": [4, 243, 66, 373], "label": 2, "category": "apple"},
        ]
    },
}
GROUNDING = {
    "filename": "image.jpg",
    "height": 693,
    "width": 1024,
    "grounding": {
        "caption": "a wire hanger with a paper cover",
        "regions": [
            {"bbox": [20, 215, 985, 665], "phrase": "a paper cover"},
            {"bbox": [[19, 19, 982, 671], [262, 210, 323, 338]], "phrase": ["a wire", "hanger"]},
        ],
    },
}


def test_odvg_detection_lines_and_their_label_map(tmp_path, write_image, write_rows, open_as, rows_of):
    write_image(tmp_path / "train" / "image.jpg", (1024, 693))
    file = write_rows(tmp_path / "x_train_od.jsonl", [ODVG])
    source = open_as("odvg", tmp_path)
    assert source.class_names == ("dog", "cat", "apple")
    (row,) = rows_of(source)
    np.testing.assert_allclose(row.boxes_xyxy_px[0], [262, 210, 323, 338])
    assert (row.category_ids.tolist(), row.size_wh, row.referrals) == ([0, 1, 2], (1024, 693), ())
    assert row.read_image()[:2] == b"\xff\xd8"
    (tmp_path / "x_label_map.json").write_text('{"0": "hound", "1": "cat", "2": "apple"}')
    assert open_as("odvg", file).class_names == ("hound", "cat", "apple")
    (tmp_path / "x_label_map.json").rename(tmp_path.with_suffix(".json"))
    (tmp_path / "x_label_map.json").symlink_to(tmp_path.with_suffix(".json"))
    with pytest.raises(DataError, match=r"^x_label_map\.json: 'x_label_map\.json' is a link out of"):
        open_as("odvg", file)


def test_odvg_grounding_lines_become_phrases(tmp_path, write_rows, open_as, rows_of):
    source = open_as("odvg", write_rows(tmp_path / "vg.jsonl", [ODVG, GROUNDING, GROUNDING]))
    (row,) = rows_of(source)
    assert source.class_names == ("dog", "cat", "apple", ANY_OBJECT)
    assert [(one.phrase, len(one.boxes)) for one in row.referrals] == [
        ("a paper cover", 1),
        ("a wire hanger", 2),
    ]
    assert row.category_ids.tolist().count(3) == 3


ODVG_BROKEN = [
    ({"detection": {"instances": [{"bbox": [1, 2, 3, 4], "label": 7}]}}, "`category` is missing"),
    (
        {"detection": {"instances": [{"bbox": [1, 2, 3, 4], "label": 0, "category": "cow"}]}},
        "'cow' here and 'dog'",
    ),
    ({"detection": {"instances": [{"bbox": [1, 2, 3, 4], "label": -1, "category": "cow"}]}}, "label -1"),
    ({"detection": {"instances": [{"bbox": None, "label": 0, "category": "dog"}]}}, "expected four numbers"),
    ({"detection": {"instances": 3}}, "should be a list"),
    ({"grounding": {"regions": [{"bbox": [1, 2, 3, 4], "phrase": None}]}}, "`phrase` is null"),
    ({"grounding": [1]}, "expected a JSON object"),
]


@pytest.mark.parametrize(("change", "complaint"), ODVG_BROKEN)
def test_a_broken_odvg_line_is_refused_with_its_place(tmp_path, write_rows, open_as, change, complaint):
    broken = {"filename": "b.jpg", "width": 9, "height": 9} | change
    with pytest.raises(DataError, match=rf"rows\.jsonl:2: .*{complaint}"):
        open_as("odvg", write_rows(tmp_path / "rows.jsonl", [ODVG, broken]))


# --- OpenEQA ---------------------------------------------------------------------------------------------


@pytest.fixture
def episodes(tmp_path, write_image, write_rows):
    """Folder as OpenEQA publishes it: questions, and one of two episodes with twenty frames."""
    folder = tmp_path / "data" / "frames" / "hm3d-v0" / "000-hm3d-BFRyYbPCCPE"
    for number in range(20):
        write_image(folder / f"{number:05d}-rgb.png", (192, 108), number * 12)
        write_image(folder / f"{number:05d}-depth.png", (192, 108), 255)
    common = {"category": "object recognition", "episode_history": "hm3d-v0/000-hm3d-BFRyYbPCCPE"}
    rows = [
        common
        | {"question": "What is above the TV?", "answer": "Air conditioning unit", "question_id": "q1"},
        common
        | {"question": "Is it on?", "answer": "no", "extra_answers": ["No, it is off"], "question_id": "q2"},
        common
        | {"question": "Where?", "answer": "?", "question_id": "q3", "episode_history": "scannet-v0/002"},
        common | {"question": "No answer?", "question_id": "q4"},
    ]
    write_rows(tmp_path / "data" / "open-eqa-v0.json", rows)
    return tmp_path / "data"


def test_an_episode_is_sampled_evenly_from_first_to_last(episodes, open_as, rows_of):
    source = open_as("openeqa", episodes, frames=4)
    rows = rows_of(source)
    assert [row.turns[0].content for row in rows] == [
        "<image><image><image><image>What is above the TV?",
        "<image><image><image><image>Is it on?",
    ]
    assert rows[0].turns[1].content == "Air conditioning unit"
    folder = episodes / "frames" / "hm3d-v0" / "000-hm3d-BFRyYbPCCPE"
    expected = [(folder / f"{number:05d}-rgb.png").read_bytes() for number in (0, 6, 13, 19)]
    assert [read() for read in rows[0].read_images] == expected
    assert rows[0].group == rows[1].group != ""
    assert [note.split(" (")[0] for note in source.notes] == [
        "frames: 4 an episode, evenly spaced",
        "rows: 1 left out, whose frames are not there",
        "rows: 1 left out, without an answer",
    ]


def test_frames_are_made_smaller_when_asked(episodes, open_as, rows_of):
    row = rows_of(open_as("openeqa", episodes, frames=2, frame_max_side=96))[0]
    assert Image.open(io.BytesIO(row.read_images[0]())).size == (96, 54)
    prints = {
        open_as("openeqa", episodes, frames=n, frame_max_side=s).fingerprint for n, s in ((2, 96), (2, None))
    }
    assert len(prints) == 2


@pytest.mark.parametrize("options", [{"frames": 0}, {"frame_max_side": 1}])
def test_useless_numbers_of_frames_are_refused(episodes, open_as, options):
    with pytest.raises(ConfigError, match="frame"):
        open_as("openeqa", episodes, **options)


@pytest.mark.parametrize("episode", ["../../secret", "/etc", "a/../../.."])
def test_no_episode_leads_out_of_the_data_set(tmp_path, write_rows, open_as, episode):
    row = {"question": "?", "answer": "!", "episode_history": episode}
    with pytest.raises(DataError, match="leads out of the data set"):
        open_as("openeqa", write_rows(tmp_path / "in" / "questions.json", [row]))


def test_episodes_are_prepared_with_each_frame_once(tmp_path, episodes):
    report = prepare(PrepareOptions(tmp_path / "out", episodes, val_ratio=0, frames=4))
    assert report.splits[0].counts["kept"] == 2
    samples = list(read_samples(tmp_path / "out" / "train.jsonl"))
    assert {sample.images for sample in samples} == {samples[0].images}
    assert len(list((tmp_path / "out" / "images").iterdir())) == 4
