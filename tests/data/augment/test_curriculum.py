"""The course from objects to whole images: its windows against its formula and its pixels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_ground.data.curriculum import Curriculum, CurriculumOptions
from paddle_ground.errors import ConfigError


def test_windows_grow_by_even_steps_as_worked_out_by_hand(picture):
    # 1.5 x the 200 x 160 box is 300 x 240 around (300, 280): 150..450, 160..400. The image is 1000 x 800.
    views = list(Curriculum(CurriculumOptions(3))(picture((1000, 800), [[200, 200, 400, 360]])))
    assert [view.size_wh for view in views] == [(300, 240), (650, 520), (1000, 800)]
    assert [view.row.boxes_xyxy_px.tolist() for view in views] == [
        [[50, 40, 250, 200]],
        # Half of 150 and of 160 is where the second window begins.
        [[125, 120, 325, 280]],
        [[200, 200, 400, 360]],
    ]
    assert [view.part for view in views] == [0, 1, 2]
    assert [view.suffix for view in views] == ["_c1", "_c2", ""]


@settings(max_examples=40)
@given(st.integers(40, 300), st.integers(40, 300), st.data())
def test_each_view_holds_its_object_whole_where_its_box_says(picture, bright_box, width, height, data):
    x, y = data.draw(st.integers(0, width - 10)), data.draw(st.integers(0, height - 10))
    box = [x, y, data.draw(st.integers(x + 8, width)), data.draw(st.integers(y + 8, height))]
    before = picture((width, height), [box])
    views = list(Curriculum(CurriculumOptions(4))(before))
    assert [view.part for view in views] == [0, 1, 2, 3]
    areas = [np.prod(view.size_wh) for view in views]
    # An inset may take back what the step from one part to the next gave, but no more than that.
    assert all(later > 0.8 * earlier for earlier, later in itertools.pairwise(areas))
    assert views[-1].pixels is before.pixels
    for view in views:
        found = bright_box(view.pixels.image)
        assert view.row.boxes_xyxy_px.tolist() == [list(found)]
        share = (found[2] - found[0]) * (found[3] - found[1]) / ((box[2] - box[0]) * (box[3] - box[1]))
        # Only an object that fills the image is cut a little, so that each view is another.
        fills = box[2] - box[0] > 0.9 * width and box[3] - box[1] > 0.9 * height
        assert share == 1 or (share > 0.8 and fills)


def test_all_objects_of_a_picture_get_their_turn(picture):
    boxes = [[0, 0, 100, 100], [250, 250, 330, 330], [300, 20, 400, 100]]
    seen = set()
    for seed in range(30):
        first = next(iter(Curriculum(CurriculumOptions(2))(picture((400, 350), boxes, seed=(seed,)))))
        seen.add(tuple(first.size_wh))
    assert len(seen) == 3


def test_val_is_shown_as_it_is(picture):
    before = picture((300, 300), [[0, 0, 40, 40]], split="val")
    assert list(Curriculum(CurriculumOptions(5))(before)) == [before]


def test_a_picture_of_nothing_has_parts_of_nothing(picture):
    views = list(Curriculum(CurriculumOptions(3))(picture((300, 200), [])))
    assert [view.part for view in views] == [0, 1, 2]
    assert views[0].size_wh < views[1].size_wh < (300, 200)


def test_phrases_that_name_places_wait_for_the_whole_picture(picture):
    boxes = [[0, 0, 40, 40], [300, 300, 360, 360]]
    phrases = [("cup on the left", (0,)), ("the red cup", (1,))]
    views = list(Curriculum(CurriculumOptions(2))(picture((600, 600), boxes, phrases)))
    assert [[r.phrase for r in view.row.referrals] for view in views] == [
        ["the red cup"],
        ["cup on the left", "the red cup"],
    ]
    only_places = picture((600, 600), boxes, phrases[:1])
    assert [view.part for view in Curriculum(CurriculumOptions(3))(only_places)] == [2]


@pytest.mark.parametrize(
    "wrong", [{"parts": 1}, {"parts": 3, "context": 0.9}, {"parts": 3, "min_visible": -1}]
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="curriculum"):
        CurriculumOptions(**wrong)
