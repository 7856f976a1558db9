"""Grounds to draw on, and the comparison with golden pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
WRITE_VARIABLE = "PADDLE_GROUND_WRITE_GOLDEN"


@pytest.fixture
def ground() -> Callable[[int, int], Image.Image]:
    """Make a grey image with a soft ramp: no class colour occurs in it."""

    def make(width: int, height: int) -> Image.Image:
        ramp = np.linspace(120, 180, width, dtype=np.float64)[None, :].repeat(height, axis=0)
        return Image.fromarray(np.stack([ramp] * 3, axis=-1).astype(np.uint8))

    return make


def differing_share(picture: Image.Image, golden: Image.Image) -> float:
    """Share of pixels that differ by more than a font rasteriser's versions do."""
    if picture.size != golden.size:
        return 1.0
    a, b = (np.asarray(one.convert("RGB"), dtype=np.int16) for one in (picture, golden))
    return float((np.abs(a - b).max(axis=-1) > 64).mean())


@pytest.fixture
def golden_difference() -> Callable[[Image.Image, str], float]:
    """Compare with tests/golden/<name>.png; with PADDLE_GROUND_WRITE_GOLDEN=1 write it instead."""

    def compare(picture: Image.Image, name: str) -> float:
        path = GOLDEN / f"{name}.png"
        if os.environ.get(WRITE_VARIABLE):
            path.parent.mkdir(exist_ok=True)
            picture.save(path, optimize=True)
        assert path.exists(), f"no golden picture {path}; run the test with {WRITE_VARIABLE}=1 and look at it"
        with Image.open(path) as golden:
            return differing_share(picture, golden)

    return compare
