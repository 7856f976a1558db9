"""Pictures that look the same are found among many, and no others."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from paddle_ground.data.check.images import inspect_image
from paddle_ground.data.check.looks import LOOK_BYTES, similar_pairs


def look(image: Image.Image, tmp_path, **options) -> bytes:
    path = tmp_path / "picture"
    stream = io.BytesIO()
    image.save(stream, **({"format": "BMP"} | options))
    path.write_bytes(stream.getvalue())
    return inspect_image(path, decode=True).look


@pytest.fixture(scope="module")
def photos(shared_data) -> list[Image.Image]:
    """Twenty photographs."""
    paths = sorted((shared_data / "coco40").rglob("*.jpg"))
    assert len(paths) == 40
    return [Image.open(path).convert("RGB") for path in paths[::2]]


CHANGES = {
    "compressed": (lambda image: image, {"format": "JPEG", "quality": 40}),
    "half the size": (lambda image: image.resize((image.width // 2, image.height // 2)), {}),
    "a little brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.03), {}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_of_a_photograph_is_found(photos, tmp_path, change) -> None:
    alter, options = CHANGES[change]
    originals = [look(photo, tmp_path) for photo in photos]
    copies = [look(alter(photo), tmp_path, **options) for photo in photos]
    table = np.frombuffer(b"".join(originals + copies), np.uint8).reshape(-1, LOOK_BYTES)
    pairs = set(similar_pairs(table))
    assert len(pairs & {(place, place + 20) for place in range(20)}) >= 19
    assert all(later - earlier == 20 for earlier, later in pairs)


def test_a_mirrored_photograph_is_another(photos, tmp_path) -> None:
    looks = [look(photo, tmp_path) for photo in photos] + [
        look(ImageOps.mirror(photo), tmp_path) for photo in photos
    ]
    table = np.frombuffer(b"".join(looks), np.uint8).reshape(-1, LOOK_BYTES)
    assert list(similar_pairs(table)) == []


def test_the_same_pairs_as_comparing_all_with_all() -> None:
    rng = np.random.default_rng(5)
    table = rng.integers(0, 256, (300, LOOK_BYTES), dtype=np.uint8)
    table[:, 8:] //= 32  # All pictures alike enough: the hashes alone decide.
    for later in range(150, 300):
        table[later, :8] = table[later - 150, :8]
        flips = rng.choice(64, rng.integers(0, 10), replace=False)
        for bit in flips:
            table[later, bit // 8] ^= 1 << (bit % 8)
    bits = np.unpackbits(table[:, :8], axis=1)
    distance = (bits[:, None, :] != bits[None, :, :]).sum(axis=2)
    small = table[:, 8:].astype(int)
    gaps = small[:, None] - small[None]
    brighter = gaps.mean(axis=2)
    gaps = np.abs(gaps - brighter[:, :, None])
    alike = (distance <= 6) & (np.abs(brighter) <= 16) & (gaps.mean(axis=2) <= 3.0) & (gaps.max(axis=2) <= 20)
    expected = {later for later in range(300) if alike[later, :later].any()}
    assert {later for _, later in similar_pairs(table)} == expected
    assert 0 < len(expected) < 150


def test_a_thousand_plain_pictures_are_all_like_the_first() -> None:
    table = np.zeros((1000, LOOK_BYTES), np.uint8)
    assert list(similar_pairs(table)) == [(0, later) for later in range(1, 1000)]
