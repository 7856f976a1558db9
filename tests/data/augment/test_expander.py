"""The whole way from a row to its variants: files, names, seeds, and what must not depend on what."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from paddle_ground.data.augment.expander import expander, expander_settings
from paddle_ground.data.augment.stage import AugmentOptions
from paddle_ground.data.curriculum import CurriculumOptions
from paddle_ground.data.expand import Unchanged, content_key
from paddle_ground.data.tiling import TileOptions
from paddle_ground.errors import ConfigError, DataError

ALWAYS = AugmentOptions(copies=3, mosaic=0.4)
NAMES = ("thing",)


def everything(seed: int = 5):
    """Give an expander with all stages."""
    options = (ALWAYS, TileOptions(tile_px=96), CurriculumOptions(2))
    return expander(*options, seed=seed, class_names=NAMES).fresh()


def rows_and_files(row, draw, file, number: int = 6, kind: str = "JPEG"):
    """Make some rows of one chunk, all with two objects."""
    made = []
    for place in range(number):
        boxes = [[10 + place, 12, 50, 48], [60, 20 + place, 110, 70]]
        made.append((row(boxes, image_id=place, where=f"shard:{place}"), file(draw((128, 100), boxes), kind)))
    return made


def look(variant):
    """Give all of a variant that can be compared."""
    inner = variant.row
    arrays = (inner.boxes_xyxy_px, inner.category_ids, inner.areas_px, inner.is_crowd)
    return (
        bytes(variant.data),
        variant.suffix,
        variant.part,
        variant.sources,
        *(array.tobytes() for array in arrays),
        inner.referrals,
        inner.where,
        inner.size_wh,
    )


def expand_all(one, chunk, split="train"):
    """Expand the rows of a chunk."""
    return [look(v) for row, data in chunk for v in one.expand(row, data, (128, 100), split)]


def test_nothing_to_do_is_nothing_done(row):
    one = expander(seed=0, class_names=NAMES)
    assert isinstance(one, Unchanged)
    same = row([[0, 0, 5, 5]])
    (variant,) = one.fresh().expand(same, b"no image at all", (9, 9), "train")
    assert (variant.row, variant.data, variant.suffix) == (same, b"no image at all", "")
    assert variant.sources == (content_key(b"no image at all"),)


def test_variants_describe_the_files_they_come_with(row, draw, file):
    found = [
        v for r, d in rows_and_files(row, draw, file) for v in everything().expand(r, d, (128, 100), "train")
    ]
    assert len(found) > 40
    for variant in found:
        with Image.open(io.BytesIO(variant.data)) as image:
            assert image.size == variant.row.size_wh
            assert image.format == "JPEG"
        assert bytes(variant.row.read_image()) == variant.data
        assert re.fullmatch(r"(_t\d+x\d+)(_c1)?(_a[123])?", variant.suffix)
        assert variant.part == (0 if "_c1" in variant.suffix else 1)
        assert variant.row.where.startswith("shard:")
        assert variant.row.where.endswith(variant.suffix)
        boxes = variant.row.boxes_xyxy_px
        assert (boxes[:, :2] < boxes[:, 2:]).all()
        assert (boxes >= 0).all()
        assert (boxes[:, 2:] <= variant.row.size_wh).all()


def test_the_untouched_image_is_the_source_file(row, draw, file):
    (one, data), *_ = rows_and_files(row, draw, file)
    augment = expander(ALWAYS, seed=1, class_names=NAMES).fresh()
    first, *copies = augment.expand(one, data, (128, 100), "train")
    assert first.row is one
    assert first.data is data
    assert [copy.suffix for copy in copies] == ["_a1", "_a2", "_a3"]
    assert len({bytes(copy.data) for copy in copies} | {data}) == 4
    assert all(content_key(data) in copy.sources for copy in copies)


def test_val_is_not_augmented(row, draw, file):
    one, data = rows_and_files(row, draw, file)[0]
    variants = list(expander(ALWAYS, seed=1, class_names=NAMES).fresh().expand(one, data, (128, 100), "val"))
    assert [variant.data for variant in variants] == [data]
    tiles = everything().expand(one, data, (128, 100), "val")
    assert [tile.suffix for tile in tiles] == ["_t0x0", "_t32x0", "_t0x4", "_t32x4"]


def test_a_png_stays_lossless(row, draw, file):
    boxes = [[10, 12, 50, 48]]
    png = file(draw((128, 100), boxes))
    tiles = list(everything().expand(row(boxes), png, (128, 100), "val"))
    whole = np.asarray(draw((128, 100), boxes))
    for tile, (x, y) in zip(tiles, [(0, 0), (32, 0), (0, 4), (32, 4)], strict=True):
        with Image.open(io.BytesIO(tile.data)) as image:
            assert image.format == "PNG"
            np.testing.assert_array_equal(np.asarray(image), whole[y : y + 96, x : x + 96])


def test_an_orientation_is_neither_applied_nor_written_again(row, draw, file):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = file(draw((128, 100), [[10, 12, 50, 48]]), "JPEG", exif=exif)
    for variant in everything().expand(row([[10, 12, 50, 48]]), turned, (128, 100), "val"):
        with Image.open(io.BytesIO(variant.data)) as image:
            assert image.size == (96, 96)
            assert not image.getexif()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1"])
def test_pictures_of_other_modes_come_as_the_trainer_sees_them(row, draw, file, mode):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    data = file(draw((128, 100), [[10, 12, 50, 48]]).convert(mode), kind)
    variants = list(everything().expand(row([[10, 12, 50, 48]]), data, (128, 100), "train"))
    assert {Image.open(io.BytesIO(variant.data)).mode for variant in variants} == {"RGB"}


def test_the_same_rows_give_the_same_variants(row, draw, file):
    chunk = rows_and_files(row, draw, file)
    once = expand_all(everything(), chunk)
    assert once == expand_all(everything(), chunk)
    # An expander that has seen other rows before is as good as new after `fresh`.
    used = everything()
    expand_all(used, chunk[::-1])
    assert once == expand_all(used.fresh(), chunk)
    assert once != expand_all(everything(seed=6), chunk)


def test_without_mosaics_a_row_depends_on_no_other(row, draw, file):
    chunk = rows_and_files(row, draw, file)
    options = AugmentOptions(copies=2, mosaic=0)
    one = expander(options, TileOptions(tile_px=96), seed=5, class_names=NAMES)
    alone = [look(v) for r, d in chunk for v in one.fresh().expand(r, d, (128, 100), "train")]
    assert alone == expand_all(one.fresh(), chunk)


def test_chunks_may_be_expanded_at_the_same_time(row, draw, file):
    chunks = [rows_and_files(row, draw, file, number) for number in (4, 5, 6, 7)]
    one = everything()
    in_turn = [expand_all(one.fresh(), chunk) for chunk in chunks]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda chunk: expand_all(one.fresh(), chunk), chunks)) == in_turn


def test_mosaics_name_all_their_sources(row, draw, file):
    chunk = rows_and_files(row, draw, file)
    one = expander(AugmentOptions(mosaic=1), seed=1, class_names=NAMES).fresh()
    copies = [v for r, d in chunk for v in one.expand(r, d, (128, 100), "train") if v.suffix]
    keys = {content_key(data) for _, data in chunk}
    assert [len(copy.sources) for copy in copies] == [1, 1, 1, 4, 4, 4]
    assert all(set(copy.sources) <= keys for copy in copies)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:200] + b"\0" * 900]
)
def test_a_broken_image_is_told_before_anything_comes_out(row, draw, file, damage):
    one, data = rows_and_files(row, draw, file)[0]
    for split, tile in (("train", None), ("val", TileOptions(tile_px=96))):
        broken = expander(ALWAYS, tile, seed=0, class_names=NAMES).expand(
            one, damage(data), (128, 100), split
        )
        with pytest.raises(DataError, match=r"shard:0: the image can't be decoded .*--bad-images skip"):
            next(broken)


def test_phrases_stay_with_their_boxes(row, draw, file):
    boxes = [[10, 12, 50, 48], [60, 20, 110, 70]]
    one = row(boxes, [("left cup", (0,)), ("the plate", (1,))])
    options = AugmentOptions(copies=30, crop=0, scale=0, mosaic=1, flip=0.5)
    found = expander(options, seed=0, class_names=NAMES).fresh()
    said = set()
    for variant in found.expand(one, file(draw((128, 100), boxes)), (128, 100), "train"):
        (first, second) = variant.row.referrals
        flipped = variant.row.boxes_xyxy_px[0, 0] == 78
        assert (first.phrase, first.boxes) == ("right cup" if flipped else "left cup", (0,))
        assert (second.phrase, second.boxes) == ("the plate", (1,))
        said.add(first.phrase)
    assert said == {"left cup", "right cup"}


@settings(max_examples=30)
@given(st.integers(0, 99_999))
def test_no_copy_asks_for_what_it_does_not_show(row, draw, file, bright_box, seed):
    boxes = [[10, 12, 50, 48]]
    one = expander(AugmentOptions(copies=3), seed=seed, class_names=NAMES).fresh()
    for variant in one.expand(
        row(boxes), file(draw((128, 100), boxes), "JPEG", quality=95), (128, 100), "train"
    ):
        with Image.open(io.BytesIO(variant.data)) as image:
            found = bright_box(image)
        np.testing.assert_allclose(variant.row.boxes_xyxy_px, [found], atol=2.5)


def test_every_option_is_told():
    settings_told = expander_settings(AugmentOptions(), TileOptions(), CurriculumOptions(3))
    assert len(settings_told) == sum(
        len(fields(one)) for one in (AugmentOptions, TileOptions, CurriculumOptions)
    )
    assert settings_told["tile.tile_px"] == "640"
    assert settings_told["curriculum.parts"] == "3"
    assert expander_settings(None, None, None) == {}
    assert expander_settings(replace(AugmentOptions(), flip=0.25), None, None)["augment.flip"] == "0.25"


@pytest.mark.parametrize(
    "wrong",
    [
        {"copies": 0},
        {"flip": -0.1},
        {"mosaic": float("nan")},
        {"hue": 0.6},
        {"crop_area": (0.5, 0.4)},
        {"crop_area": (0.0, 0.4)},
        {"scale_range": (0.5, 9.0)},
    ],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"must be|ask for"):
        AugmentOptions(**wrong)
