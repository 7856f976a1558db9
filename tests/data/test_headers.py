"""Image headers: the same size as Pillow's, for real files and for broken ones."""

from __future__ import annotations

import io
import random
from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from paddle_ground.data import headers
from paddle_ground.data.headers import read_header
from paddle_ground.errors import DataError


def encoded(kind: str, size_wh: tuple[int, int] = (37, 23), **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size_wh).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "suffix", "options"),
    [
        ("JPEG", ".jpg", {}),
        ("JPEG", ".jpg", {"progressive": True}),
        ("JPEG", ".jpg", {"exif": b"Exif\x00\x00" + b"\xff" * 500, "comment": b"\xff\xc0 no frame"}),
        ("PNG", ".png", {}),
        ("WEBP", ".webp", {}),
        ("BMP", ".bmp", {}),
        ("GIF", ".gif", {}),
    ],
)
def test_formats_that_the_trainer_reads(kind, suffix, options):
    header = read_header(encoded(kind, **options))
    assert (header.suffix, header.size_wh) == (suffix, (37, 23))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_jpeg_and_png_need_no_pillow_even_in_arrows_memory(kind, monkeypatch):
    # Arrow says its bytes are signed: 0xFF would be -1.
    data = memoryview(pa.array([encoded(kind)], pa.binary())[0].as_buffer()).cast("B")
    monkeypatch.setattr(headers, "_read_other", lambda data: pytest.fail("asked Pillow"))
    assert read_header(data).size_wh == (37, 23)


def test_real_files_have_the_size_that_pillow_finds(shared_data):
    paths = [
        path for path in (shared_data / "odd_images").rglob("*") if path.suffix.lower() in (".jpg", ".png")
    ]
    paths += sorted((shared_data / "coco40" / "images").iterdir())
    compared = 0
    for path in paths:
        try:
            with Image.open(path) as image:
                expected = image.size
        except OSError:
            with pytest.raises(DataError):
                read_header(path.read_bytes())
            continue
        assert read_header(path.read_bytes()).size_wh == expected, path
        compared += 1
    assert compared > 60


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("images/not_an_image.txt", "these 0 bytes are no image that Pillow can open"),
        ("gray_scale/test_1_bands_float32.tif", "is a TIFF file; convert it to JPEG or PNG"),
        ("pillow/broken.png", "these 80 bytes are no image that Pillow can open"),
        ("pillow/la.tga", "is a TGA file; convert it to JPEG or PNG"),
        ("images/sky-rabbit.heic", "no image that Pillow can open"),
    ],
)
def test_real_files_that_the_trainer_can_not_read(shared_data, name, message):
    with pytest.raises(DataError, match=message):
        read_header((shared_data / "odd_images" / name).read_bytes())


def test_a_bomb_is_refused_by_its_header_alone():
    png = bytearray(encoded("PNG"))
    png[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(DataError, match="60000 x 60000 pixels, above the safe limit"):
        read_header(bytes(png))
    png[16:24] = (0).to_bytes(4, "big") * 2
    with pytest.raises(DataError, match="0 x 0 pixels"):
        read_header(bytes(png))


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data):
    # Anything but an answer or a DataError fails the test by itself.
    for start in (b"", b"\xff\xd8", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"):
        with suppress(DataError):
            assert min(read_header(start + data).size_wh) > 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_mutated_header_is_read_or_refused(kind):
    whole = encoded(kind)
    draw = random.Random(5)
    for _ in range(300):
        data = bytearray(whole[: draw.randrange(1, len(whole) + 1)])
        for _ in range(3):
            data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            width, height = read_header(bytes(data)).size_wh
        except DataError:
            continue
        assert 1 <= width * height <= headers.MAX_PIXELS
