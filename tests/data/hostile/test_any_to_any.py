"""Every format read, written as every other, and read again: pictures, names and boxes stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from paddle_ground.data.options import PrepareOptions
from paddle_ground.data.prepare import prepare
from paddle_ground.data.prepare_to import prepare_to
from paddle_ground.data.readers import formats
from paddle_ground.data.writers import WRITER_NAMES
from paddle_ground.errors import DataError
from paddle_ground.records import read_samples, read_truth, truth_path

READERS = [one.name for one in formats() if one.name != "openeqa"]  # Which has no boxes; see below.
PICTURES = ("coco", "yolo")
READ_AS = {"coco": "coco_json", "yolo": "yolo", "swift": "swift", "llamafactory": "llamafactory"}
THOUSANDTHS = 0.101  # Half of one, of 200 pixels, and what is rounded again.
BOXES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 9), st.integers(1, 7), st.integers(1, 5)).map(
        # Twelve pixels apart: what falls together in thousandths is asked for once.
        lambda b: (b[0] * 12, b[1] * 7, b[0] * 12 + b[2] * 8, min(b[1] * 7 + b[3] * 9, 100))
    ),
    min_size=1,
    max_size=3,
    unique=True,
)
Boxes = dict[bytes, list[tuple[float, ...]]]


def options(out: Path, source: Path, name: str, box_units: str | None = "pixels") -> PrepareOptions:
    layout = {"coco_parquet": "xyxy", "refcoco": "xywh"}.get(name, "auto")
    return PrepareOptions(
        out, source, val_ratio=0, source_format=name, workers=1, box_units=box_units, bbox_format=layout
    )


def boxes_in(folder: Path) -> Boxes:
    truth = read_truth(truth_path(folder / "train.jsonl"))
    found: Boxes = {}
    for image in truth.images:
        own = [box.box_xyxy_px for box in truth.annotations if box.image_id == image.id]
        found.setdefault((folder / image.file_name).read_bytes(), []).extend(own)
    return found


def is_same(before: Boxes, after: Boxes, tolerance: float) -> bool:
    """Each box is among the others' and theirs among these; an order or a copy tells nothing."""
    if before.keys() != after.keys():
        return False
    pairs = [(np.array(before[key]), np.array(after[key])) for key in before]
    apart = [np.abs(a[:, None] - b[None]).max(axis=2) for a, b in pairs if len(a) and len(b)]
    is_empty = [len(a) == len(b) for a, b in pairs if not (len(a) and len(b))]
    return all(is_empty) and all(max(d.min(0).max(), d.min(1).max()) <= tolerance for d in apart)


@pytest.mark.parametrize("to", WRITER_NAMES)
@pytest.mark.parametrize("name", READERS)
@settings(
    max_examples=2,
    phases=[Phase.generate],  # A trip takes too long to look for the shortest one that fails.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(boxes=BOXES)
def test_boxes_stay_from_any_format_to_any(name, to, boxes, write_set, tmp_path_factory):
    root = write_set(name, {"boxes": tuple(boxes)}, inside=tmp_path_factory.mktemp("trip"))
    out = root.parent
    prepare(options(out / "first", root, name))
    # Data that says its answers twice over is read as one image with all of them.
    before = boxes_in(out / "first")
    assert len(before) == 2
    if to == "paddle":
        from paddle_ground.data.writers import convert

        convert(out / "first", out / "other", to)
        for file in ("train.jsonl", "train.truth.json", "train.meta.json"):
            assert (out / "other" / file).read_bytes() == (out / "first" / file).read_bytes()
    else:
        prepare_to(options(out / "other", root, name), to)
    prepare(options(out / "again", out / "other", READ_AS.get(to, "paddle"), None))
    tolerance = {"coco": 1e-9, "yolo": 1e-6, "swift": 1e-3, "paddle": 1e-9}.get(to, THOUSANDTHS)
    assert is_same(before, boxes_in(out / "again"), tolerance)
    assert sorted(path.name for path in out.iterdir()) == ["again", "first", "other", "set"]


@pytest.mark.parametrize("to", WRITER_NAMES)
def test_conversations_without_boxes_go_where_there_are_conversations(to, write_set, tmp_path):
    root = write_set("openeqa", {"label": "A red one."})
    if to in PICTURES:
        with pytest.raises(DataError, match="none of its answers is about boxes alone"):
            prepare_to(options(tmp_path / "other", root, "openeqa"), to)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["set"], "nothing is left behind"
        return
    prepare(options(tmp_path / "first", root, "openeqa"))
    prepare_to(options(tmp_path / "other", root, "openeqa"), to)
    prepare(options(tmp_path / "again", tmp_path / "other", READ_AS.get(to, "paddle"), None))
    before, after = (list(read_samples(tmp_path / name / "train.jsonl")) for name in ("first", "again"))
    assert [sample.messages for sample in before] == [sample.messages for sample in after]
    assert "A red one." in {sample.target for sample in after}
