"""Drawing: the right pixels have the right colours, at any size and in any mode."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from paddle_ground.records import Region
from paddle_ground.view import contact_sheet, draw_regions, label_color, side_by_side
from paddle_ground.view.draw import DrawStyle
from paddle_ground.view.sheet import Scene

Ground = Callable[[int, int], Image.Image]
CAT = Region("cat", (60.0, 50.0, 160.0, 130.0))


def share_of(picture: Image.Image, color: tuple[int, int, int], box: tuple[int, int, int, int]) -> float:
    pixels = np.asarray(picture.crop(box))
    return float((pixels == np.array(color, dtype=np.uint8)).all(axis=-1).mean())


def test_the_edge_of_the_box_has_the_class_colour(ground: Ground) -> None:
    picture = draw_regions(ground(240, 180), [CAT])
    for edge in ((60, 50, 160, 52), (60, 128, 160, 130), (60, 50, 62, 130), (158, 50, 160, 130)):
        assert share_of(picture, label_color("cat"), edge) == 1.0
    assert share_of(picture, label_color("cat"), (70, 60, 150, 120)) == 0.0  # the inside is untouched
    assert share_of(picture, label_color("cat"), (60, 131, 160, 133)) == 0.0


def test_the_image_is_left_alone(ground: Ground) -> None:
    image = ground(240, 180)
    before = image.tobytes()
    draw_regions(image, [CAT])
    assert image.tobytes() == before
    assert draw_regions(image, []).tobytes() == before


def test_the_tag_is_filled_and_written_on(ground: Ground) -> None:
    tag = (62, 40, 80, 48)  # above the box's top left corner
    picture = draw_regions(ground(240, 180), [CAT])
    assert 0.3 < share_of(picture, label_color("cat"), tag) < 1.0
    assert share_of(draw_regions(ground(240, 180), []), label_color("cat"), tag) == 0.0


def test_a_score_is_written_where_there_is_one(ground: Ground) -> None:
    def tag_width(score: float | None) -> int:
        picture = draw_regions(ground(240, 180), [Region("cat", CAT.box_xyxy_px, score)])
        row = np.asarray(picture)[45]
        return int((row == np.array(label_color("cat"), dtype=np.uint8)).all(axis=-1).sum())

    assert tag_width(0.87) > tag_width(None) + 10


def test_labels_differ_in_the_picture(ground: Ground) -> None:
    dog, pet = (draw_regions(ground(240, 180), [Region(name, CAT.box_xyxy_px)]) for name in ("猫", "狗"))
    assert dog.tobytes() != pet.tobytes()


@pytest.mark.parametrize(
    "box",
    [
        (-50.0, -50.0, 300.0, 300.0),  # larger than the image
        (0.0, 0.0, 240.0, 180.0),  # all of it
        (239.5, 179.5, 240.0, 180.0),  # less than a pixel in the corner
        (100.0, 50.0, 100.0, 50.0),  # no area
        (230.0, 10.0, 400.0, 40.0),
    ],
)
def test_odd_boxes_are_drawn_inside(ground: Ground, box: tuple[float, float, float, float]) -> None:
    picture = draw_regions(ground(240, 180), [Region("cat", box)])
    assert picture.size == (240, 180)
    assert share_of(picture, label_color("cat"), (0, 0, 240, 180)) > 0


def test_a_box_outside_is_left_out(ground: Ground) -> None:
    image = ground(240, 180)
    assert draw_regions(image, [Region("cat", (300.0, 0.0, 400.0, 50.0))]).tobytes() == image.tobytes()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "I;16", "CMYK"])
def test_any_mode_becomes_rgb(ground: Ground, mode: str) -> None:
    source = ground(240, 180)
    image = Image.new(mode, source.size) if mode == "I;16" else source.convert(mode)
    picture = draw_regions(image, [CAT])
    assert picture.mode == "RGB"
    assert share_of(picture, label_color("cat"), (60, 50, 160, 52)) == 1.0


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 500), (500, 3), (16, 16)])
def test_very_small_and_very_long_images_are_drawn(ground: Ground, width: int, height: int) -> None:
    region = Region("a rather long label", (0.0, 0.0, float(width), float(height)), 0.5)
    assert draw_regions(ground(width, height), [region]).size == (width, height)
    assert max(side_by_side(ground(width, height), [region], []).size) >= 480


@pytest.mark.parametrize("label", ["", " ", "\n", "a\nb", "x" * 3000, "\x00", "👾", "ok<|im_end|>"])
def test_any_label_is_drawn(ground: Ground, label: str) -> None:
    assert draw_regions(ground(240, 180), [Region(label, CAT.box_xyxy_px)]).size == (240, 180)


def test_enlarging_moves_the_boxes_along(ground: Ground) -> None:
    picture = draw_regions(ground(60, 40), [Region("cat", (15.0, 10.0, 45.0, 30.0))], enlarge_to_px=240)
    assert picture.size == (240, 160)
    assert share_of(picture, label_color("cat"), (60, 40, 180, 42)) == 1.0
    assert draw_regions(ground(60, 40), [], enlarge_to_px=10).size == (60, 40)


def test_letters_grow_with_the_picture_and_never_shrink_below_eleven_pixels() -> None:
    assert DrawStyle.for_picture((64, 64), 1).letter_px == 11
    assert DrawStyle.for_picture((4000, 3000), 1).letter_px > 90
    assert DrawStyle.for_picture((1000, 800), 40).letter_px < DrawStyle.for_picture((1000, 800), 2).letter_px


# --- several pictures ---------------------------------------------------------------------------------


def test_truth_is_left_and_prediction_right(ground: Ground) -> None:
    picture = side_by_side(ground(240, 180), [CAT], [Region("dog", CAT.box_xyxy_px)])
    half = picture.width // 2
    left, right = (0, 0, half, picture.height), (half, 0, picture.width, picture.height)
    assert share_of(picture, label_color("cat"), left) > 0
    assert share_of(picture, label_color("cat"), right) == 0
    assert share_of(picture, label_color("dog"), right) > 0
    assert share_of(picture, label_color("dog"), left) == 0


def test_panels_are_enlarged_but_not_shrunk(ground: Ground) -> None:
    assert side_by_side(ground(64, 64), [], [], panel_px=320).width >= 2 * 320
    assert side_by_side(ground(900, 600), [], [], panel_px=320).width >= 2 * 900


def test_a_sheet_holds_every_scene(ground: Ground) -> None:
    def sheet(count: int, columns: int) -> Image.Image:
        scenes = [Scene(ground(64, 48), (Region("cat", (8.0, 8.0, 40.0, 40.0)),), ()) for _ in range(count)]
        return contact_sheet(scenes, columns=columns, panel_px=120)

    one, row, grid = sheet(1, 1), sheet(2, 2), sheet(3, 2)
    assert row.width > 1.9 * one.width
    assert grid.width == row.width
    assert grid.height > 1.8 * row.height
    color = label_color("cat")
    drawn = [share_of(s, color, (0, 0, *s.size)) * s.width * s.height for s in (one, row, grid)]
    assert drawn[1] == pytest.approx(2 * drawn[0])
    assert drawn[2] == pytest.approx(3 * drawn[0])


def test_a_large_image_is_shrunk_on_the_sheet_with_its_boxes(ground: Ground) -> None:
    scene = Scene(ground(1200, 900), (Region("cat", (0.0, 0.0, 1200.0, 900.0)),), ())
    sheet = contact_sheet([scene], panel_px=300)
    assert sheet.width < 2 * 300 + 80
    columns = (np.asarray(sheet) == np.array(label_color("cat"), dtype=np.uint8)).all(axis=-1).any(axis=0)
    assert np.flatnonzero(columns).max() - np.flatnonzero(columns).min() == pytest.approx(299, abs=2)


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs scenes"):
        contact_sheet([])


# --- golden pictures ----------------------------------------------------------------------------------

GOLDEN_REGIONS = (
    Region("red circle", (20.0, 40.0, 110.0, 120.0), 0.93),
    Region("一只狗", (90.0, 60.0, 200.0, 170.0)),
    Region("蓝色方块 3", (200.0, 10.0, 235.0, 60.0), 0.5),
    Region("cat", (205.0, 120.0, 225.0, 140.0)),
)


def test_regions_look_as_they_did(
    ground: Ground, golden_difference: Callable[[Image.Image, str], float]
) -> None:
    assert golden_difference(draw_regions(ground(240, 180), GOLDEN_REGIONS), "regions") < 0.01


def test_side_by_side_looks_as_it_did(
    ground: Ground, golden_difference: Callable[[Image.Image, str], float]
) -> None:
    picture = side_by_side(ground(240, 180), GOLDEN_REGIONS[:2], GOLDEN_REGIONS[1:], panel_px=240)
    assert golden_difference(picture, "side_by_side") < 0.01


def test_the_comparison_sees_a_moved_box_and_a_changed_name(
    ground: Ground, golden_difference: Callable[[Image.Image, str], float]
) -> None:
    first, *rest = GOLDEN_REGIONS
    moved = Region(first.label, (24.0, 40.0, 114.0, 120.0), first.score)
    renamed = Region("green star", first.box_xyxy_px, first.score)
    for changed in (moved, renamed):
        assert golden_difference(draw_regions(ground(240, 180), [changed, *rest]), "regions") > 0.01
