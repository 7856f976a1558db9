"""Patches made in numpy against the ones that PaddleFormers' own processor makes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("paddle")

from paddleformers.datasets.template.mm_plugin import get_mm_plugin
from paddleformers.transformers import AutoProcessor

from paddle_ground.backend import data_path
from paddle_ground.backend.tiny import build_tiny_model


@pytest.fixture(scope="module")
def processor(model_dir: Path) -> Any:
    return AutoProcessor.from_pretrained(str(model_dir))


def picture(path: Path, size_wh: tuple[int, int], seed: int) -> str:
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("name", "preset", "factor"), [("qwen3_vl", "test", 32), ("qwen2_vl", "test_qwen2_5_vl", 28)]
)
def test_patches_equal_the_stock_processors(tmp_path: Path, name: str, preset: str, factor: int) -> None:
    processor = AutoProcessor.from_pretrained(str(build_tiny_model(tmp_path / "model", preset)))
    sizes = [(4 * factor, 2 * factor), (3 * factor, 5 * factor)]
    images = [picture(tmp_path / f"{seed}.png", size, seed) for seed, size in enumerate(sizes, start=1)]
    plugin = get_mm_plugin(name=name, image_token="<|image_pad|>", video_token="<|video_pad|>")
    data_path.apply()
    method = type(plugin)._get_mm_inputs
    assert method._paddle_ground
    stock = getattr(method, "__wrapped__", method)(plugin, images, [], [], processor)
    mine = data_path._image_inputs(plugin, images, processor)
    assert mine is not None
    np.testing.assert_array_equal(mine["image_grid_thw"].numpy(), stock["image_grid_thw"].numpy())
    np.testing.assert_allclose(mine["pixel_values"].numpy(), stock["pixel_values"].numpy(), atol=1e-6)


@pytest.mark.parametrize("size_wh", [(100, 64), (32, 32), (1024, 1024)])
def test_an_image_that_must_be_resized_is_left_to_paddleformers(
    tmp_path: Path, processor: Any, size_wh: tuple[int, int]
) -> None:
    plugin = get_mm_plugin(name="qwen3_vl", image_token="<|image_pad|>", video_token="<|video_pad|>")
    assert data_path._image_inputs(plugin, [picture(tmp_path / "a.png", size_wh, 3)], processor) is None


def test_patch_order_by_hand() -> None:
    """Four patches of one pixel, merged two by two: row by row within a merge square, merges row by row."""
    settings = SimpleNamespace(
        patch_size=1,
        merge_size=2,
        temporal_patch_size=2,
        rescale_factor=1,
        image_mean=[0] * 3,
        image_std=[1] * 3,
    )
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[..., 0] = [[0, 1, 2, 3], [4, 5, 6, 7]]
    patches = data_path.patchify(pixels, settings)
    assert patches.shape == (8, 6)
    assert patches[:, 0].tolist() == [0, 1, 4, 5, 2, 3, 6, 7]
    assert patches[:, 1].tolist() == patches[:, 0].tolist()  # the same frame twice
