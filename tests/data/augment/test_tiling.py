"""Tiles: the grid against its promises, tiles against pixels, and what is asked about a tile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_ground.data.tiling import TileOptions, Tiling, tile_windows
from paddle_ground.errors import ConfigError

SIDES = st.integers(1, 3000)


def test_a_grid_worked_out_by_hand():
    # Steps of 512 = 640 - 128; the last tile of each row and column ends at the border.
    windows = tile_windows((1500, 700), TileOptions(tile_px=640, overlap=0.2))
    lefts, tops = [0, 512, 860], [0, 60]
    assert windows == [(x, y, x + 640, y + 640) for y in tops for x in lefts]
    assert tile_windows((640, 640), TileOptions(tile_px=640)) == [(0, 0, 640, 640)]
    assert tile_windows((500, 1280), TileOptions(tile_px=640, overlap=0)) == [
        (0, 0, 500, 640),
        (0, 640, 500, 1280),
    ]


@settings(max_examples=200)
@given(SIDES, SIDES, st.integers(64, 700), st.floats(0, 0.9))
def test_a_grid_covers_its_image_and_keeps_small_objects_whole(width, height, tile_px, overlap):
    windows = np.array(tile_windows((width, height), TileOptions(tile_px=tile_px, overlap=overlap)))
    assert windows.min() == 0
    assert windows[:, 2:].max(axis=0).tolist() == [width, height]
    assert (windows[:, 2:] - windows[:, :2] == np.minimum([width, height], tile_px)).all()
    assert len({tuple(window) for window in windows.tolist()}) == len(windows)
    # Any stretch no longer than the overlap lies inside one tile, on each axis by itself.
    for axis, side in ((0, width), (1, height)):
        starts, ends = np.unique(windows[:, axis]), np.unique(windows[:, axis + 2])
        assert (ends[:-1] - starts[1:] >= int(tile_px * overlap)).all() or side <= tile_px


@settings(max_examples=25)
@given(st.data())
def test_every_object_is_whole_in_a_tile_and_right_in_all(picture, bright_box, data):
    options = TileOptions(tile_px=64, overlap=0.5, min_visible=0.25)
    size = (data.draw(st.integers(65, 200)), data.draw(st.integers(40, 200)))
    x, y = (data.draw(st.integers(0, side - 32)) for side in size)
    width, height = data.draw(st.integers(8, 32)), data.draw(st.integers(8, 32))
    whole = picture(size, [[x, y, x + width, y + height]])
    tiles = list(Tiling(options)(whole))
    assert any(
        (t.row.boxes_xyxy_px[:, 2:] - t.row.boxes_xyxy_px[:, :2] == (width, height)).any() for t in tiles
    )
    for tile in tiles:
        found = bright_box(tile.pixels.image)
        assert tile.pixels.image.size == tile.row.size_wh == tile.size_wh
        assert tile.row.boxes_xyxy_px.tolist() == ([] if found is None else [list(found)])
        if found is not None:
            share = (found[2] - found[0]) * (found[3] - found[1]) / (width * height)
            assert tile.has_object == (share >= 0.25)


def test_a_small_picture_is_left_alone_and_not_decoded(row):
    from paddle_ground.data.augment.picture import Picture, Pixels

    small = Picture(row([[0, 0, 5, 5]]), (640, 300), Pixels(data=b"not an image"), "train", ("x",))
    assert list(Tiling(TileOptions(tile_px=640))(small)) == [small]


def test_tiles_are_named_after_their_corner_and_keep_what_was_done_before(picture):
    tiles = list(Tiling(TileOptions(tile_px=64, overlap=0, keep_empty=1))(picture((100, 64), [])))
    assert [tile.suffix for tile in tiles] == ["_t0x0", "_t36x0"]


@pytest.mark.parametrize(
    ("split", "share", "expected"), [("train", 0.0, 0), ("train", 1.0, 4), ("val", 0.0, 4)]
)
def test_empty_tiles_of_val_stay_those_of_train_by_share(picture, split, share, expected):
    options = TileOptions(tile_px=64, overlap=0, keep_empty=share)
    assert len(list(Tiling(options)(picture((128, 128), [], split=split)))) == expected


def test_about_the_chosen_share_of_empty_tiles_is_kept(picture):
    options = TileOptions(tile_px=32, overlap=0, keep_empty=0.3)
    kept = len(list(Tiling(options)(picture((32 * 30, 32 * 30), []))))
    assert 0.2 * 900 < kept < 0.4 * 900


def test_a_sliver_is_ignored_in_val_and_no_example_in_train(picture):
    # 4 of 44 pixels reach into the second tile: 9 %.
    boxes = [[24, 10, 68, 30]]
    for split, suffixes in (("val", ["_t0x0", "_t64x0"]), ("train", ["_t0x0"])):
        options = TileOptions(tile_px=64, overlap=0, keep_empty=1)
        tiles = list(Tiling(options)(picture((128, 64), boxes, split=split)))
        assert [tile.suffix for tile in tiles] == suffixes
        assert [tile.row.is_crowd.tolist() for tile in tiles] == [[False], [True]][: len(tiles)]


def test_phrases_go_where_their_objects_are(picture):
    boxes = [[10, 10, 30, 30], [80, 10, 100, 30]]
    phrases = [
        ("cup near the bowl", (0,)),
        ("left cup", (0,)),
        ("cups", (0, 1)),
        ("plate", (1,)),
        ("dog", ()),
    ]
    first, second = Tiling(TileOptions(tile_px=64, overlap=0))(picture((128, 64), boxes, phrases))
    assert [(r.phrase, r.boxes) for r in first.row.referrals] == [("cup near the bowl", (0,)), ("dog", ())]
    assert [(r.phrase, r.boxes) for r in second.row.referrals] == [("plate", (0,)), ("dog", ())]


def test_a_tile_without_a_phrase_of_a_referring_picture_is_no_example(picture):
    tiles = Tiling(TileOptions(tile_px=64, overlap=0))(
        picture((128, 64), [[10, 10, 30, 30]], [("cup", (0,))], split="val")
    )
    assert [tile.suffix for tile in tiles] == ["_t0x0"]


@pytest.mark.parametrize(
    "wrong", [{"tile_px": 31}, {"overlap": 1.0}, {"overlap": float("nan")}, {"keep_empty": 2}]
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="must be"):
        TileOptions(**wrong)
