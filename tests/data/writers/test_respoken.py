"""Prepared data for another family: as if it had been prepared for it, and the truth untouched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from paddle_ground.cli import app
from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.speaking import chosen_space
from paddle_ground.data.writers import convert
from paddle_ground.data.writers.respoken import Speaking
from paddle_ground.errors import BoxError, ConfigError, DataError
from paddle_ground.files import sha256_file
from paddle_ground.records import (
    Message,
    Sample,
    SamplesMeta,
    meta_path,
    read_meta,
    read_samples,
    samples_space,
    truth_path,
    write_meta,
    write_samples,
)

FAMILIES = ("qwen3_vl", "qwen2_5_vl", "qwen2_vl")
# Usual, smaller than any token, larger than training allows, and thin.
SIZES = ((301, 203), (30, 20), (1200, 900), (1500, 40))


def speaking(family: str) -> Speaking:
    return Speaking(family, chosen_space(family, None))


def write_coco(folder: Path, boxes: list[tuple[int, tuple[float, float, float, float]]]) -> Path:
    """Put boxes, in parts of an image, onto images of four sizes; the third box of each is a crowd."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, (width, height) in enumerate(SIZES, 1):
        Image.new("RGB", (width, height), (number * 9, 0, 0)).save(folder / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
        for place, (category, (x, y, w, h)) in enumerate(boxes):
            box = [x * width, y * height, w * width, h * height]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(place == 2),
                }
            )
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "hot dog"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def said(samples: Path) -> list[tuple[str, str, list[object]]]:
    """Give what each sample says, the boxes of an answer in any order."""
    return [
        (sample.images[0], sample.prompt, sorted(zip(sample.refs, sample.boxes, strict=True))
         or sorted(sample.target.splitlines(), key=lambda line: line.rstrip(",")))
        for sample in read_samples(samples)
    ]  # fmt: skip


PART = st.tuples(*[st.floats(0, 0.7)] * 2, *[st.floats(0.01, 0.3)] * 2)


@pytest.mark.parametrize("fmt", ["tokens", "json"])
@settings(max_examples=4)
@given(
    boxes=st.lists(st.tuples(st.integers(1, 2), PART), max_size=4), one=st.sampled_from(FAMILIES),
    other=st.sampled_from(FAMILIES),
)  # fmt: skip
def test_it_says_what_preparing_for_that_family_says(
    fmt: str, boxes: list[tuple[int, tuple[float, ...]]], one: str, other: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    root = tmp_path_factory.mktemp("speak")
    source = write_coco(root / "source", boxes)  # type: ignore[arg-type]
    for family in {one, other}:
        prepare(PrepareOptions(root / family, source=source, val_ratio=0.0, workers=1, model_family=family,
                               answer_format=fmt))  # fmt: skip
    convert(root / one, root / "out", "paddle", speaking=speaking(other))
    out, direct = root / "out" / "train.jsonl", root / other / "train.jsonl"
    # A box that two families' numbers tell apart differently may stand there once or twice.
    for mine, theirs in zip(said(out), said(direct), strict=True):
        assert mine[:2] == theirs[:2]
        assert {str(region).rstrip(",") for region in mine[2]} <= {str(r).rstrip(",") for r in theirs[2]}
    assert truth_path(out).read_bytes() == truth_path(root / one / "train.jsonl").read_bytes()
    mine, theirs = read_meta(meta_path(out)), read_meta(meta_path(direct))
    expected = {name: text for name, text in theirs.settings.items() if name != "fingerprint"}
    assert (mine.coordinate_space, mine.settings) == (theirs.coordinate_space, expected)
    assert mine.samples_sha256 == sha256_file(out)
    assert samples_space(mine) == speaking(other).space


@pytest.mark.parametrize("fmt", ["tokens", "json"])
def test_there_and_back_again_real_data_is_the_same(shared_data: Path, tmp_path: Path, fmt: str) -> None:
    prepare(PrepareOptions(tmp_path / "first", source=shared_data / "coco40", answer_format=fmt))
    convert(tmp_path / "first", tmp_path / "there", "paddle", speaking=speaking("qwen2_5_vl"))
    convert(tmp_path / "there", tmp_path / "back", "paddle", speaking=speaking("qwen3_vl"))
    for name in ("train.jsonl", "train.truth.json", "val.jsonl"):
        first = (tmp_path / "first" / name).read_bytes()
        assert (tmp_path / "back" / name).read_bytes() == first
        assert ((tmp_path / "there" / name).read_bytes() == first) == ("truth" in name)


def write_talk(
    folder: Path, answer: Message, fmt: str, sizes: tuple[tuple[int, int], ...], **more: object
) -> Path:
    folder.mkdir()
    for number, size in enumerate(sizes):
        Image.new("RGB", size).save(folder / f"{number}.png")
    turns = (Message("user", "<image>" * len(sizes) + "Where?"), answer)
    images = tuple(f"{number}.png" for number in range(len(sizes)))
    write_samples(folder / "train.jsonl", [Sample(turns, images, **more)])  # type: ignore[arg-type]
    meta = SamplesMeta("set", "1", "relative_1000", fmt, "Where?", (), {"kept": 1}, "")
    write_meta(folder / "train.meta.json", meta)
    return folder


def test_words_around_boxes_stay(tmp_path: Path) -> None:
    answer = Message("assistant", "The <ref-object><bbox> sleeps.")
    talk = write_talk(
        tmp_path / "talk", answer, "tokens", ((280, 560),), refs=("cat",), boxes=((100, 100, 500, 1000),)
    )
    convert(talk, tmp_path / "out", "paddle", speaking=speaking("qwen2_5_vl"))
    (sample,) = read_samples(tmp_path / "out" / "train.jsonl")
    assert sample.messages[1] == answer
    # 280 x 560 are multiples of 28 and within all limits: the model's pixels are the file's.
    assert sample.boxes == ((28, 56, 140, 560),)


def test_what_cannot_be_told_is_refused(tmp_path: Path) -> None:
    prose = write_talk(tmp_path / "prose", Message("assistant", "At [1, 2, 30, 40]."), "json", ((64, 64),))
    with pytest.raises(DataError, match=r"train\.jsonl:1: numbers of boxes inside sentences"):
        convert(prose, tmp_path / "out", "paddle", speaking=speaking("qwen2_5_vl"))
    two = write_talk(
        tmp_path / "two", Message("assistant", "<ref-object><bbox>"), "tokens", ((64, 64), (640, 480)),
        refs=("cat",), boxes=((1, 2, 30, 40),),
    )  # fmt: skip
    with pytest.raises((DataError, BoxError), match="nothing says of which image"):
        convert(two, tmp_path / "out", "paddle", speaking=speaking("qwen2_5_vl"))
    with pytest.raises(ConfigError, match="only samples `--to paddle`"):
        convert(two, tmp_path / "out", "coco", speaking=speaking("qwen2_5_vl"))
    assert not (tmp_path / "out").exists()


def test_preparing_again_refuses_numbers_inside_sentences_too(tmp_path: Path) -> None:
    """Of a sentence prepared in thousandths, pixels would be made neither right nor seen to be wrong."""
    answer = Message("assistant", "The <ref-object><bbox> sleeps.")
    talk = write_talk(
        tmp_path / "talk", answer, "tokens", ((280, 560),), refs=("cat",), boxes=((100, 100, 500, 1000),)
    )
    plain = tmp_path / "plain"
    again = PrepareOptions(plain, source=talk, val_ratio=0, answer_format="json")
    prepare(again)
    (sample,) = read_samples(plain / "train.jsonl")
    assert sample.target == "The cat[100, 100, 500, 1000] sleeps."
    other = replace(again, output_dir=tmp_path / "other", source=plain, model_family="qwen2_5_vl")
    with pytest.raises(
        DataError, match=r"train\.jsonl:1: numbers of boxes inside sentences, in relative_1000"
    ):
        prepare(other)
    assert not (tmp_path / "other").exists()
    # The same numbers mean the same to another family of the same space.
    prepare(replace(other, model_family="qwen2_vl"))
    assert list(read_samples(tmp_path / "other" / "train.jsonl")) == [sample]
    # From the source itself they are made anew: 280 x 560 are pixels of the model too.
    prepare(replace(other, source=talk, output_dir=tmp_path / "anew"))
    (anew,) = read_samples(tmp_path / "anew" / "train.jsonl")
    assert anew.target == "The cat[28, 56, 140, 560] sleeps."


def test_the_command_takes_the_family_and_the_limits_of_training(tmp_path: Path) -> None:
    answer = Message("assistant", "<ref-object><bbox>")
    talk = str(write_talk(tmp_path / "talk", answer, "tokens", ((280, 560),), refs=("cat",),
                          boxes=((0, 0, 1000, 1000),)))  # fmt: skip
    command = ["convert", talk, str(tmp_path / "out"), "--to", "paddle"]
    wrong = CliRunner().invoke(app, [*command, "--image-max-pixels", "40000"])
    assert isinstance(wrong.exception, ConfigError)
    done = CliRunner().invoke(app, [*command, "--model-family", "qwen2_5_vl", "--image-max-pixels", "40000"])
    assert done.exit_code == 0, done.output
    (sample,) = read_samples(tmp_path / "out" / "train.jsonl")
    assert np.prod(sample.boxes[0][2:]) <= 40000
    assert read_meta(tmp_path / "out" / "train.meta.json").settings["image.max_pixels"] == "40000"
