"""xyxy or xywh, by evidence: known boxes in both layouts, real COCO in both, and what does not tell."""

from __future__ import annotations

import json

import numpy as np
import pytest

from paddle_ground.data.layout import LayoutEvidence, weigh_layout


def weigh(boxes, size_wh=(100, 100), areas=None):
    areas = np.full(len(boxes), np.nan) if areas is None else np.array(areas, float)
    sizes = np.full((len(boxes), 2), size_wh, dtype=float)
    return weigh_layout(np.array(boxes, float).reshape(-1, 4), sizes, areas)


@pytest.mark.parametrize(
    ("box", "area", "against_xyxy", "against_xywh"),
    [
        ([50, 50, 90, 90], None, 0, 1),  # as xywh it would end at 140
        ([50, 50, 20, 30], None, 1, 0),  # as xyxy it would be inside out
        ([10, 10, 40, 40], None, 0, 0),  # both are possible
        ([10, 10, 40, 40], 1600, 1, 0),  # but as xyxy its object would be larger than it
        ([10, 10, 40, 40], 900, 0, 0),
        ([90, 50, 80, 90], None, 0, 0),  # broken in any reading
        ([10, 10, np.nan, 40], None, 0, 0),
        ([0, 0, 101.5, 100], None, 0, 0),  # over the border by a rounding
    ],
)
def test_what_single_boxes_tell(box, area, against_xyxy, against_xywh):
    evidence = weigh([box], areas=None if area is None else [area])
    assert (evidence.against_xyxy, evidence.against_xywh) == (against_xyxy, against_xywh)


def test_unknown_sizes_contradict_nothing():
    evidence = weigh([[50, 50, 90, 90], [50, 50, 20, 30]], size_wh=(np.nan, np.nan))
    assert (evidence.against_xyxy, evidence.against_xywh) == (1, 0)


@pytest.mark.parametrize(
    ("against_xyxy", "against_xywh", "verdict"),
    [(0, 0, None), (0, 1, "xyxy"), (1, 0, "xywh"), (1, 99, "xyxy"), (50, 1, "xywh"), (10, 90, None)],
)
def test_a_few_broken_boxes_do_not_turn_the_verdict(against_xyxy, against_xywh, verdict):
    assert LayoutEvidence(1000, against_xyxy, against_xywh).verdict() == verdict


def test_fractions_are_no_pixels():
    assert weigh([[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1]]).are_fractions
    assert not weigh([[0.1, 0.2, 0.5, 0.6], [0, 0, 2, 1]]).are_fractions
    assert not weigh([]).are_fractions


@pytest.mark.parametrize("layout", ["xywh", "xyxy"])
def test_real_coco_tells_its_layout(shared_data, layout):
    document = json.loads((shared_data / "coco40" / "instances.json").read_text())
    sizes = {image["id"]: (image["width"], image["height"]) for image in document["images"]}
    boxes = np.array([a["bbox"] for a in document["annotations"]])
    if layout == "xyxy":
        boxes[:, 2:] += boxes[:, :2]
    sizes_wh = np.array([sizes[a["image_id"]] for a in document["annotations"]], float)
    areas = np.array([a["area"] for a in document["annotations"]], float)
    for known_areas in (areas, np.full(len(areas), np.nan)):
        assert weigh_layout(boxes, sizes_wh, known_areas).verdict() == layout
