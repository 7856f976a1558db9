"""Answers that list boxes of which one can't be used: never trained as text in the source's units."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.records import read_samples

GOOD = '[{"bbox_2d": [10, 20, 60, 70], "label": "cup"}]'


LISTED = "a list of boxes that can't all be used"
SPOKEN = "box tokens that can't all be read"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ('[{"bbox_2d": [10, 20, 60], "label": "cup"}]', LISTED),
        (
            '[{"bbox_2d": [10, 20, 60, 70], "label": "cup"}, {"bbox_2d": [NaN, 1, 2, 3], "label": "cup"}]',
            LISTED,
        ),
        ('```json\n[{"bbox_2d": [60, 20, 10, "x"], "label": "cup"}]\n```', LISTED),
        ("<|object_ref_start|>cup<|object_ref_end|><|box_start|>(-10,20),(60,70)<|box_end|>", SPOKEN),
        ("The cup is at <|box_start|>(10,20)<|box_end|>.", SPOKEN),
        ("<ref>cup</ref><box>(10,20),(60</box>", SPOKEN),
    ],
)
def test_such_a_row_is_left_out_and_said(tmp_path: Path, broken: str, said: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    Image.new("RGB", (100, 80), (200, 30, 30)).save(source / "a.jpg")
    Image.new("RGB", (100, 80), (30, 30, 200)).save(source / "b.jpg")
    rows = [
        {"image": name, "conversations": [{"from": "human", "value": "<image>Find the cup."},
                                          {"from": "gpt", "value": answer}]}
        for name, answer in (("a.jpg", GOOD), ("b.jpg", broken))
    ]  # fmt: skip
    (source / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    options = PrepareOptions(tmp_path / "out", source=source, val_ratio=0.0, box_units="pixels")
    report = prepare(options)
    assert [note for note in report.notes if "left out" in note] == [
        f"rows: 1 left out, with {said} (the first: rows.json:1)"
    ]
    (sample,) = read_samples(tmp_path / "out" / "train.jsonl")
    assert sample.boxes == ((100, 250, 600, 875),)
