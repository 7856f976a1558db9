"""Tags: inside the picture, by their box, clear of each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.view.tags import Rect, place_tags

PICTURE = (200, 100)


@st.composite
def boxes(draw: st.DrawFn) -> list[Rect]:
    found = []
    for _ in range(draw(st.integers(0, 12))):
        left, top = draw(st.integers(0, 199)), draw(st.integers(0, 99))
        found.append(Rect(left, top, draw(st.integers(left + 1, 200)), draw(st.integers(top + 1, 100))))
    return found


@given(boxes(), st.integers(1, 80), st.integers(1, 20))
def test_tags_stay_inside_and_keep_their_size(found: list[Rect], width: int, height: int) -> None:
    tags = place_tags(found, [(width, height)] * len(found), PICTURE)
    assert len(tags) == len(found)
    for tag in tags:
        assert (tag.width, tag.height) == (width, height)
        assert tag.left >= 0
        assert tag.top >= 0
        assert tag.right <= PICTURE[0]
        assert tag.bottom <= PICTURE[1]


def test_a_tag_stands_on_its_box() -> None:
    assert place_tags([Rect(50, 40, 100, 80)], [(30, 10)], PICTURE) == [Rect(50, 30, 80, 40)]


def test_at_the_top_border_it_moves_inside() -> None:
    assert place_tags([Rect(50, 0, 150, 80)], [(30, 10)], PICTURE) == [Rect(50, 0, 80, 10)]


def test_at_the_right_border_it_ends_with_the_picture() -> None:
    [tag] = place_tags([Rect(190, 40, 200, 80)], [(30, 10)], PICTURE)
    assert (tag.right, tag.bottom) == (200, 40)


def test_boxes_of_one_corner_get_tags_apart() -> None:
    found = [Rect(60, 40, 60 + side, 40 + side) for side in (20, 30, 40)]
    tags = place_tags(found, [(30, 10)] * 3, PICTURE)
    assert all(a.overlap(b) == 0 for i, a in enumerate(tags) for b in tags[:i])


def test_a_small_neighbour_is_not_hidden() -> None:
    large, small = Rect(50, 40, 150, 90), Rect(52, 31, 62, 39)
    tag = place_tags([large, small], [(40, 10), (8, 8)], PICTURE)[0]
    assert tag.overlap(small) == 0


def test_overlap_counts_pixels() -> None:
    assert Rect(0, 0, 10, 10).overlap(Rect(8, 9, 20, 20)) == 2
    assert Rect(0, 0, 10, 10).overlap(Rect(10, 0, 20, 10)) == 0
