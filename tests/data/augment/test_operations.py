"""Each operation against pixels: where the rectangle is now is where its box says it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from paddle_ground.data.augment.colour import ColourRanges, change_colours, keeps_colours, to_grey
from paddle_ground.data.augment.crop import crop
from paddle_ground.data.augment.degrade import blur, save_small
from paddle_ground.data.augment.flip import flip
from paddle_ground.data.augment.mosaic import mosaic
from paddle_ground.data.augment.picture import Picture
from paddle_ground.data.augment.rows import Visibility
from paddle_ground.data.augment.scale import scale

RANGES = ColourRanges(0.2, 0.2, 0.3, 0.02)
SEEDS = st.integers(0, 10_000)
SHARE = Visibility(0.3)


@st.composite
def scenes(draw: st.DrawFn, least: int = 48, most: int = 160) -> tuple[tuple[int, int], list[list[float]]]:
    """Draw an image size and a box of at least 6 pixels in it."""
    width, height = draw(st.integers(least, most)), draw(st.integers(least, most))
    x_min, y_min = draw(st.integers(0, width - 6)), draw(st.integers(0, height - 6))
    x_max, y_max = draw(st.integers(x_min + 6, width)), draw(st.integers(y_min + 6, height))
    return (width, height), [[x_min, y_min, x_max, y_max]]


def assert_fits(result: Picture, bright_box, within_px: float) -> None:
    """Compare the row's boxes, at most one, with what can be seen, and the size with what it says."""
    image = result.pixels.image
    assert image.size == result.size_wh == (result.row.size_wh or result.size_wh)
    found = bright_box(image)
    boxes = result.row.boxes_xyxy_px
    if found is None:
        assert len(boxes) == 0
    else:
        np.testing.assert_allclose(boxes, [found], atol=within_px)


@given(scenes())
def test_a_mirrored_box_is_where_the_rectangle_is(picture, bright_box, scene):
    result = flip(picture(*scene), (0,))
    assert_fits(result, bright_box, 0)


@given(scenes())
def test_mirroring_twice_is_nothing(picture, scene):
    before = picture(*scene, [("cup on the left", (0,)), ("最右边的杯子", (0,))])
    after = flip(flip(before, (0,)), (0,))
    np.testing.assert_array_equal(after.row.boxes_xyxy_px, before.row.boxes_xyxy_px)
    assert after.row.referrals == before.row.referrals
    assert after.pixels.image.tobytes() == before.pixels.image.tobytes()


def test_mirroring_exchanges_the_sides_of_classes_and_phrases(picture):
    boxes = [[0, 0, 10, 10], [20, 0, 50, 10]]
    before = picture((60, 50), boxes, [("left glove", (0,)), ("it", (0, 1))], category_ids=np.array([1, 2]))
    after = flip(before, (0, 2, 1))
    assert after.row.category_ids.tolist() == [2, 1]
    assert [(r.phrase, r.boxes) for r in after.row.referrals] == [("right glove", (0,)), ("it", (0, 1))]
    assert after.row.boxes_xyxy_px.tolist() == [[50, 0, 60, 10], [10, 0, 40, 10]]


def test_what_has_no_mirrored_class_or_phrase_is_not_mirrored(picture):
    boxes = [[0, 0, 10, 10]]
    assert flip(picture((60, 50), boxes), (None,)) is None
    assert flip(picture((60, 50), boxes, [("bag left behind the car", (0,))]), (0,)) is None
    both = flip(picture((60, 50), boxes, [("bag left behind the car", (0,)), ("bag", (0,))]), (0,))
    assert [r.phrase for r in both.row.referrals] == ["bag"]


@given(scenes(64), SEEDS)
def test_a_crop_shows_its_object_where_its_box_is(picture, bright_box, scene, seed):
    before = picture(*scene)
    result = crop(before, np.random.default_rng(seed), (0.2, 0.9), SHARE)
    assume(result is not None)
    assert_fits(result, bright_box, 0)
    shown, whole = (
        np.prod(one.row.boxes_xyxy_px[0, 2:] - one.row.boxes_xyxy_px[0, :2]) for one in (result, before)
    )
    assert shown / whole >= 0.3
    assert not result.row.is_crowd.any()
    assert result.size_wh != before.size_wh


@given(SEEDS)
def test_a_crop_holds_each_object_visibly_or_not_at_all(picture, seed):
    boxes = [[10, 10, 60, 60], [100, 20, 150, 110], [30, 80, 90, 125], [180, 40, 200, 60]]
    result = crop(picture((220, 140), boxes), np.random.default_rng(seed), (0.1, 0.9), Visibility(0.5))
    assume(result is not None)
    assert len(result.row.boxes_xyxy_px)
    assert not result.row.is_crowd.any()


def test_a_crop_of_an_empty_picture_is_empty(picture):
    result = crop(picture((120, 90), []), np.random.default_rng(0), (0.3, 0.9), SHARE)
    assert result is not None
    assert len(result.row.boxes_xyxy_px) == 0


def test_a_crop_keeps_only_phrases_that_are_true_without_the_rest(picture):
    boxes = [[50, 30, 70, 60], [0, 0, 8, 8]]
    phrases = [("cup on the left", (0,)), ("cup next to the bowl", (0,)), ("a spoon", (1,)), ("a dog", ())]
    kept = set()
    for seed in range(40):
        result = crop(picture((120, 90), boxes, phrases), np.random.default_rng(seed), (0.2, 0.9), SHARE)
        assert result is not None
        found = {r.phrase: r.boxes for r in result.row.referrals}
        assert "cup on the left" not in found
        assert found["a dog"] == ()
        assert ("a spoon" in found) == (
            len(result.row.boxes_xyxy_px) == 2 or "cup next to the bowl" not in found
        )
        kept.add(frozenset(found))
    assert len(kept) > 1  # with and without the spoon, else nothing was tried


@given(scenes(), SEEDS)
def test_a_resized_box_is_where_the_rectangle_is(picture, bright_box, scene, seed):
    before = picture(*scene, [("cup on the left", (0,))])
    result = scale(before, np.random.default_rng(seed), (0.5, 1.5), 0.2)
    assume(result is not None)
    assert_fits(result, bright_box, 1.5)
    assert result.row.referrals == before.row.referrals
    width, height = (after / old for after, old in zip(result.size_wh, before.size_wh, strict=True))
    assert 1 / 1.25 < width / height < 1.25


def test_an_area_follows_the_size(picture):
    before = picture((100, 100), [[10, 10, 50, 50]], areas_px=np.array([1000.0]))
    result = before.through((0, 0, 100, 100), (200, 50), SHARE)
    assert result.row.areas_px.tolist() == [1000.0]
    assert result.row.boxes_xyxy_px.tolist() == [[20, 5, 100, 25]]
    half = before.through((30, 0, 100, 100), (70, 100), SHARE)
    assert half.row.areas_px.tolist() == [500.0]


@pytest.mark.parametrize("paint", ["colours", "grey", "blur", "small"])
@settings(max_examples=30)
@given(scene=scenes(), seed=SEEDS)
def test_painting_moves_no_object(picture, bright_box, paint, scene, seed):
    before = picture(*scene, [("cup on the left", (0,))])
    generator = np.random.default_rng(seed)
    result = {
        "colours": lambda: change_colours(before, generator, RANGES, False),
        "grey": lambda: to_grey(before),
        "blur": lambda: blur(before, generator, (0.5, 1.5)),
        "small": lambda: save_small(before, generator, (30, 75)),
    }[paint]()
    assert result.row is before.row
    # Where one object fills the picture, all is of one colour, and there is no edge to blur.
    if before.pixels.image.getcolors(1) is None:
        assert result.pixels.image.tobytes() != before.pixels.image.tobytes()
    assert_fits(result, bright_box, {"blur": 2, "small": 2}.get(paint, 0))


def test_a_named_colour_keeps_its_hue(picture):
    ranges = ColourRanges(0.0, 0.0, 0.0, 0.25)
    red = [[0, 0, 60, 50]]
    plain = picture((60, 50), red, colours=[(220, 40, 40)])
    named = picture((60, 50), red, [("the red one", (0,))], colours=[(220, 40, 40)])
    assert keeps_colours(named, False)
    assert keeps_colours(plain, True)
    assert not keeps_colours(plain, False)
    turned = change_colours(plain, np.random.default_rng(1), ranges, False).pixels.image.getpixel((5, 5))
    kept = change_colours(named, np.random.default_rng(1), ranges, True).pixels.image.getpixel((5, 5))
    assert kept == (220, 40, 40)
    assert max(abs(a - b) for a, b in zip(turned, kept, strict=True)) > 60


COLOURS = [(230, 60, 60), (60, 230, 60), (60, 60, 230), (230, 230, 60)]


@settings(max_examples=60)
@given(st.lists(scenes(70), min_size=4, max_size=4), SEEDS)
def test_a_mosaic_holds_four_pictures_with_their_boxes(picture, scenes_drawn, seed):
    four = [
        picture(size, boxes, colours=[colour], category_ids=np.array([place]), sources=(str(place),))
        for place, ((size, boxes), colour) in enumerate(zip(scenes_drawn, COLOURS, strict=True))
    ]
    result = mosaic(four[0], four[1:], np.random.default_rng(seed), SHARE)
    assert result.size_wh == result.pixels.image.size == four[0].size_wh
    assert set(result.sources) == {"0", "1", "2", "3"}
    pixels = np.asarray(result.pixels.image).astype(int)
    for place, colour in enumerate(COLOURS):
        mine = result.row.boxes_xyxy_px[result.row.category_ids == place]
        ys, xs = np.nonzero(np.abs(pixels - colour).max(axis=2) < 60)
        # A sliver thinner than a pixel may have no colour of its own.
        if len(mine) and (mine[0, 2:] - mine[0, :2]).min() > 3:
            found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            np.testing.assert_allclose(mine, [found], atol=2)
        elif len(xs):
            assert len(mine) == 1


def test_a_mosaic_needs_three_others_and_no_phrases(picture):
    one = picture((80, 80), [[0, 0, 10, 10]])
    assert mosaic(one, [one, one], np.random.default_rng(0), SHARE) is None
    asked = picture((80, 80), [[0, 0, 10, 10]], [("it", (0,))])
    assert mosaic(asked, [one] * 3, np.random.default_rng(0), SHARE) is None
    assert mosaic(one, [one] * 3, np.random.default_rng(0), SHARE) is not None


def test_a_window_turns_what_it_hardly_shows_into_a_crowd(picture):
    boxes = [[0, 0, 20, 20], [30, 0, 50, 20], [70, 0, 90, 20], [38, 30, 42, 34]]
    # 25 %, then whole, then nothing; 4 x 4 pixels are whole as well.
    result = picture((100, 50), boxes).through((15, 0, 65, 50), (50, 50), Visibility(0.3))
    assert result.row.boxes_xyxy_px.tolist() == [[0, 0, 5, 20], [15, 0, 35, 20], [23, 30, 27, 34]]
    assert result.row.is_crowd.tolist() == [True, False, False]
    assert result.has_object


def test_boxes_that_are_none_stay_out_unless_they_are_to_be_counted(picture, row):
    boxes = [[0, 0, 20, 20], [np.nan, 0, 3, 3], [5, 5, 5, 9], [200, 0, 210, 9]]
    strange = replace(picture((100, 50), []), row=row(boxes))
    assert len(strange.through((0, 0, 50, 50), (50, 50), SHARE).row.boxes_xyxy_px) == 1
    counted = strange.through((0, 0, 50, 50), (50, 50), SHARE, keep_unusable=True).row
    np.testing.assert_array_equal(counted.boxes_xyxy_px, boxes)
    assert not counted.is_crowd.any()
