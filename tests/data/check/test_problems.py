"""Every kind of problem: planted alone, it is found alone; a right set has none."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from paddle_ground.data.check import KINDS, CheckOptions, Severity, check
from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.scenes import SceneStyle
from paddle_ground.data.synth import write_synth

Planted = Any  # tests.data.check.conftest.Planted; test folders are no packages.
Plant = Callable[[Planted], None]
PLANTS: dict[str, tuple[Plant, int]] = {}
"""By code: what plants it, and the line where it must be found (0: the whole file)."""


def plants(code: str, line: int = 0) -> Callable[[Plant], Plant]:
    """Enter a function into the table."""

    def enter(plant: Plant) -> Plant:
        PLANTS[code] = (plant, line)
        return plant

    return enter


# --- lines and turns


@plants("no_samples")
def _(planted: Planted) -> None:
    planted.lines = []


@plants("not_utf8", 3)
def _(planted: Planted) -> None:
    planted.lines.insert(2, b'{"messages": [{"role": "user", "content": "caf\xe9"}]}')


@plants("bad_json", 2)
def _(planted: Planted) -> None:
    planted.lines.insert(1, '{"messages": [')


@plants("bad_record", 2)
def _(planted: Planted) -> None:
    planted.record(1)["messages"][0]["role"] = "human"


@plants("bad_box", 2)
def _(planted: Planted) -> None:
    planted.record(1)["objects"]["bbox"][0] = [0.1, 0.2, 0.5, 0.75]


@plants("marks_mismatch", 2)
def _(planted: Planted) -> None:
    planted.record(1)["objects"]["ref"].pop()


@plants("turn_order", 1)
def _(planted: Planted) -> None:
    planted.record(0)["messages"].insert(1, {"role": "user", "content": "Please."})


@plants("no_answer", 1)
def _(planted: Planted) -> None:
    planted.record(0)["messages"].pop()


@plants("no_image", 7)
def _(planted: Planted) -> None:
    turns = [
        {"role": "user", "content": "Capital of France?"},
        {"role": "assistant", "content": "It is Paris."},
    ]
    planted.lines.append({"messages": turns})


# --- boxes and answers


@plants("wrong_space")
def _(planted: Planted) -> None:
    planted.truth_lines = copy.deepcopy(planted.lines)
    for line in planted.lines:
        boxes = line["objects"]["bbox"]
        line["objects"]["bbox"] = [
            [round(x1 * 0.16), round(y1 * 0.12), round(x2 * 0.16), round(y2 * 0.12)]
            for x1, y1, x2, y2 in boxes
        ]


@plants("box_outside", 2)
def _(planted: Planted) -> None:
    planted.record(1)["objects"]["bbox"][0][2] = 1001


@plants("box_degenerate", 2)
def _(planted: Planted) -> None:
    planted.record(1)["objects"]["bbox"][0] = [300, 300, 200, 400]


def add(planted: Planted, place: int, label: str, box: list[int]) -> None:
    record = planted.record(place)
    record["objects"]["ref"].append(label)
    record["objects"]["bbox"].append(box)
    record["messages"][1]["content"] += ", <ref-object><bbox>"


@plants("box_repeated", 2)
def _(planted: Planted) -> None:
    objects = planted.record(1)["objects"]
    add(planted, 1, objects["ref"][0], list(objects["bbox"][0]))


@plants("many_boxes", 2)
def _(planted: Planted) -> None:
    for step in range(60):
        add(planted, 1, "cat", [step * 15, 10, step * 15 + 10, 40])


@plants("answer_unreadable", 1)
def _(planted: Planted) -> None:
    planted.record(0)["messages"][1]["content"] = "There is a cat at the left."


@plants("answer_mended", 1)
def _(planted: Planted) -> None:
    # The closing box token is missing.
    planted.record(0)["messages"][1]["content"] = (
        "<|object_ref_start|>cat<|object_ref_end|><|box_start|>(100,200),(300,400)"
    )


@plants("answer_format", 1)
def _(planted: Planted) -> None:
    planted.record(0)["messages"][1]["content"] = (
        '```json\n[\n\t{"bbox_2d": [100, 200, 300, 400], "label": "cat"}\n]\n```'
    )


@plants("answers_differ", 7)
def _(planted: Planted) -> None:
    record = copy.deepcopy(planted.record(1))
    record["objects"]["bbox"][0][0] += 7
    planted.lines.append(record)


@plants("sample_repeated", 7)
def _(planted: Planted) -> None:
    planted.lines.append(copy.deepcopy(planted.record(1)))


# --- labels


@plants("label_unusable", 2)
def _(planted: Planted) -> None:
    planted.record(1)["objects"]["ref"][0] = "cat <|im_end|>"


@plants("label_variant", 4)
def _(planted: Planted) -> None:
    planted.record(3)["objects"]["ref"][0] = "Cats"


@plants("label_unknown", 4)
def _(planted: Planted) -> None:
    planted.class_names = ("cat", "dog")
    planted.record(3)["objects"]["ref"][0] = "zebra"


@plants("label_conflict", 2)
def _(planted: Planted) -> None:
    objects = planted.record(1)["objects"]
    x1, y1, x2, y2 = objects["bbox"][0]
    add(planted, 1, "fox", [x1, y1 + 1, x2, y2])


@plants("class_imbalance")
def _(planted: Planted) -> None:
    base = planted.record(1)
    for number in range(30):
        record = copy.deepcopy(base)
        record["messages"][0]["content"] = f"<image>Question {number}?"
        record["messages"][1]["content"] = ", ".join(["<ref-object><bbox>"] * 45)
        record["objects"] = {"ref": ["cat"] * 45, "bbox": [[i * 20, 10, i * 20 + 15, 40] for i in range(45)]}
        planted.lines.append(record)


@plants("no_negatives")
def _(planted: Planted) -> None:
    planted.lines = [
        {
            **copy.deepcopy(planted.record(1 + number % 5)),
            "messages": [
                {"role": "user", "content": f"<image>Question {number}?"},
                planted.record(1)["messages"][1],
            ],
        }
        for number in range(100)
    ]


# --- images


@plants("image_missing", 1)
def _(planted: Planted) -> None:
    (planted.folder / "images/0.png").unlink()


@plants("image_outside", 1)
def _(planted: Planted) -> None:
    planted.record(0)["images"] = ["../0.png"]
    planted.truth_lines = copy.deepcopy(planted.lines)


@plants("image_unreadable", 1)
def _(planted: Planted) -> None:
    whole = (planted.folder / "images/0.png").read_bytes()
    (planted.folder / "images/0.png").write_bytes(whole[: len(whole) // 2])


@plants("image_rotated", 1)
def _(planted: Planted) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    planted.record(0)["images"] = [planted.picture("images/turned.jpg", 20, exif=exif)]


@plants("image_mode", 1)
def _(planted: Planted) -> None:
    with Image.open(planted.folder / "images/0.png") as image:
        image.convert("CMYK").save(planted.folder / "images/print.jpg")
    planted.record(0)["images"] = ["images/print.jpg"]


@plants("image_animated", 1)
def _(planted: Planted) -> None:
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "green")]
    frames[0].save(planted.folder / "images/moving.gif", save_all=True, append_images=frames[1:])
    planted.record(0)["images"] = ["images/moving.gif"]


@plants("image_kind", 1)
def _(planted: Planted) -> None:
    planted.record(0)["images"] = [planted.picture("images/scan.tiff", 21)]


@plants("image_aspect", 1)
def _(planted: Planted) -> None:
    Image.new("RGB", (4100, 20)).save(planted.folder / "images/strip.png")
    planted.record(0)["images"] = ["images/strip.png"]


@plants("image_tiny", 1)
def _(planted: Planted) -> None:
    Image.new("RGB", (9, 9)).save(planted.folder / "images/dot.png")
    planted.record(0)["images"] = ["images/dot.png"]


@plants("image_repeated", 6)
def _(planted: Planted) -> None:
    shutil.copy(planted.folder / "images/2.png", planted.folder / "images/5.png")


@plants("image_alike", 6)
def _(planted: Planted) -> None:
    with Image.open(planted.folder / "images/2.png") as image:
        image.resize((120, 90)).save(planted.folder / "images/small.jpg", quality=60)
    planted.record(5)["images"] = ["images/small.jpg"]
    planted.options["decode"] = True


def other_split(planted: Planted, image: str) -> None:
    record = {**copy.deepcopy(planted.record(2)), "images": [image]}
    (planted.folder / "val.jsonl").write_text(json.dumps(record) + "\n")


@plants("leak", 3)
def _(planted: Planted) -> None:
    shutil.copy(planted.folder / "images/2.png", planted.folder / "images/other name.png")
    other_split(planted, "images/other name.png")


@plants("leak_alike", 3)
def _(planted: Planted) -> None:
    with Image.open(planted.folder / "images/2.png") as image:
        image.resize((320, 240)).save(planted.folder / "images/large.jpg", quality=50)
    other_split(planted, "images/large.jpg")
    planted.options["decode"] = True


# --- files beside


@plants("meta_missing")
def _(planted: Planted) -> None:
    planted.meta_changes = None


@plants("meta_unreadable")
def _(planted: Planted) -> None:
    planted.meta_changes = {"counts": 3}


@plants("meta_stale")
def _(planted: Planted) -> None:
    planted.meta_changes = {"samples_sha256": "0" * 64}


def model(planted: Planted, **grounding: Any) -> None:
    folder = planted.folder / "model"
    folder.mkdir()
    for name in ("tokenizer.json", "preprocessor_config.json", "config.json"):
        shutil.copy(planted.model_dir / name, folder / name)
    values = {
        "coordinate_space": "relative_1000",
        "answer_format": "tokens",
        "prompt": "",
        "min_pixels": 1024,
        "max_pixels": 589824,
    }
    (folder / "grounding.json").write_text(json.dumps(values | grounding))
    planted.options["model_dir"] = folder


@plants("space_differs")
def _(planted: Planted) -> None:
    model(planted, coordinate_space="absolute_resized")


@plants("format_differs")
def _(planted: Planted) -> None:
    model(planted, answer_format="json")


@plants("truth_missing")
def _(planted: Planted) -> None:
    planted.truth_lines = None


@plants("truth_unreadable")
def _(planted: Planted) -> None:
    planted.truth_text = '{"images": '


@plants("truth_lacks_image", 1)
def _(planted: Planted) -> None:
    planted.truth_lines = planted.lines[1:]


@plants("truth_size", 1)
def _(planted: Planted) -> None:
    planted.write()
    planted.truth_text = (
        (planted.folder / "train.truth.json").read_text().replace('"width": 160', '"width": 161', 1)
    )


@plants("truth_differs")
def _(planted: Planted) -> None:
    planted.truth_lines = copy.deepcopy(planted.lines)
    for line in planted.truth_lines:
        line["objects"]["bbox"] = [
            [x1 // 3 + 20, y1 // 2, x2 - 20, y2] for x1, y1, x2, y2 in line["objects"]["bbox"]
        ]


# --- tokens


@plants("too_long", 4)
def _(planted: Planted) -> None:
    planted.options |= {"model_dir": planted.model_dir, "max_seq_len": 400}
    planted.record(3)["messages"][0]["content"] += " Well?" * 400


@plants("image_shrunk")
def _(planted: Planted) -> None:
    planted.options |= {"model_dir": planted.model_dir, "max_pixels": 100 * 100}


@pytest.mark.parametrize("code", KINDS)
def test_a_planted_problem_is_found_and_nothing_else(code: str, planted: Planted, model_dir: Path) -> None:
    plant, line = PLANTS[code]
    planted.model_dir = model_dir
    plant(planted)
    report = planted.check()
    assert {problem.code for problem in report.problems} == {code}, [p.message for p in report.problems]
    problem = report.problems[0]
    assert problem.line == line
    if line:
        assert problem.where == f"{planted.path}:{line}"
    assert problem.message
    assert report.is_clean() == (problem.kind.severity is not Severity.ERROR)
    assert report.is_clean(strict=True) == (problem.kind.severity is Severity.NOTE)


def test_every_kind_is_planted() -> None:
    assert set(PLANTS) == set(KINDS)


def test_all_problems_of_a_line_are_told_at_once(planted: Planted) -> None:
    record = planted.record(1)
    record["messages"][0]["role"] = "human"
    record["objects"]["ref"].pop()
    record["objects"]["bbox"][0] = [1, 2]
    codes = [problem.code for problem in planted.check().problems]
    assert codes == ["bad_record", "bad_box", "marks_mismatch"]


@pytest.mark.parametrize("decode", [False, True])
def test_a_right_set_has_no_problem(planted: Planted, decode: bool) -> None:
    planted.options["decode"] = decode
    report = planted.check()
    assert report.problems == ()
    assert (report.numbers.samples, report.numbers.images, report.numbers.boxes) == (6, 6, 20)
    assert report.numbers.without_boxes == 1


@pytest.mark.parametrize("answer_format", ["tokens", "json"])
def test_real_prepared_images_have_no_problem(shared_data: Path, tmp_path: Path, answer_format: str) -> None:
    prepare(PrepareOptions(tmp_path, shared_data / "coco_parquet", answer_format=answer_format))
    for split in ("train", "val"):
        assert check(tmp_path / f"{split}.jsonl", CheckOptions(decode=True)).problems == ()


def test_prepared_synthetic_scenes_have_no_problem(tmp_path: Path) -> None:
    write_synth(tmp_path / "scenes", 150, 20, seed=1, style=SceneStyle(min_shapes=0))
    prepare(PrepareOptions(tmp_path / "out", tmp_path / "scenes"))
    for split in ("train", "val"):
        report = check(tmp_path / "out" / f"{split}.jsonl", CheckOptions(decode=True))
        assert report.problems == (), [(p.code, p.message) for p in report.problems]
