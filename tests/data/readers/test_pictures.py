"""Which image a row means where train and val have images of the same names, such as frames of videos."""

from __future__ import annotations

import pytest

from paddle_ground.data.options import PrepareOptions
from paddle_ground.data.prepare import prepare
from paddle_ground.records import read_samples

SPLITS = ("train", "val")


def row_of(name: str, image: str, ask: str = "Where is it?") -> dict[str, object]:
    if name == "odvg":
        instances = [{"bbox": [10, 10, 50, 50], "label": 0, "category": "cat"}]
        return {"filename": image, "height": 100, "width": 200, "detection": {"instances": instances}}
    messages = [
        {"role": "user", "content": f"<image>{ask}"},
        {"role": "assistant", "content": "<ref-object><bbox>"},
    ]
    objects = {"ref": ["cat"], "bbox": [[10, 10, 50, 50]]}
    return {"messages": messages, "images": [image], "objects": objects}


@pytest.mark.parametrize("name", ["odvg", "swift"])
@pytest.mark.parametrize(
    ("rows", "images"),
    [
        ("{}/labels.jsonl", "{}"),
        ("{}/labels.jsonl", "{}/images"),
        ("annotations/{}.jsonl", "images/{}"),
        ("annotations/my_{}.jsonl", "{}"),
        ("{}.jsonl", "images/{}"),
    ],
)
def test_each_split_has_its_own_images(tmp_path, write_image, write_rows, name, rows, images):
    written = {}
    for split in SPLITS:
        files = [
            write_image(
                tmp_path / "set" / images.format(split) / f"{i}.jpg", shade=9 * i + 99 * (split == "val")
            )
            for i in range(3)
        ]
        written[split] = {file.read_bytes() for file in files}
        write_rows(tmp_path / "set" / rows.format(split), [row_of(name, file.name) for file in files])
    report = prepare(PrepareOptions(tmp_path / "out", tmp_path / "set"))
    assert {result.split: result.counts["kept"] for result in report.splits} == {"train": 3, "val": 3}
    for split in SPLITS:
        samples = list(read_samples(tmp_path / "out" / f"{split}.jsonl"))
        assert {(tmp_path / "out" / one.images[0]).read_bytes() for one in samples} == written[split]


def test_rows_of_two_files_about_one_image_stay_in_one_split(tmp_path, write_image, write_rows):
    for i in range(3):
        write_image(tmp_path / "set" / "images" / f"{i}.jpg", shade=9 * i)
    for split, shown in (("train", ("0.jpg", "1.jpg", "images/2.jpg")), ("val", ("2.jpg",))):
        rows = [row_of("swift", name, f"Where is it in {split}?") for name in shown]
        write_rows(tmp_path / "set" / f"{split}.jsonl", rows)
    report = prepare(PrepareOptions(tmp_path / "out", tmp_path / "set"))
    assert {result.split: result.counts["kept"] for result in report.splits} == {"train": 2, "val": 1}
