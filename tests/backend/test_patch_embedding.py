"""The switch of the patch embedding: the convolution's numbers and gradients, on where it is meant to be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from paddle_ground.backend import patch_embedding  # noqa: E402
from paddle_ground.backend.register import prepare_process  # noqa: E402
from paddle_ground.backend.settings import GroundingSettings  # noqa: E402
from paddle_ground.errors import ConfigError  # noqa: E402

LAYERS = (patch_embedding.QWEN3_VL[0], patch_embedding.QWEN2_5_VL[0])


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = [layer.forward for layer in LAYERS]
    patch_embedding.use(False)
    yield
    for layer, forward in zip(LAYERS, before, strict=True):
        layer.forward = forward


def numbers(layer: Any, patches: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Output, and the gradients of patches, weight and bias for some derivative of the output."""
    x = paddle.to_tensor(patches, stop_gradient=False)
    out = layer(x)
    (out * paddle.to_tensor(weights)).sum().backward()
    found = {"out": out.numpy(), "patches": x.grad.numpy()}
    found |= {name: p.grad.numpy().copy() for name, p in layer.named_parameters()}
    layer.clear_gradients()
    return found


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("flat", [True, False])
def test_the_product_gives_the_convolutions_numbers_and_gradients(kind: Any, flat: bool) -> None:
    paddle.seed(5)
    layer, rng = (
        kind(patch_size=14, temporal_patch_size=2, in_channels=3, embed_dim=48),
        np.random.default_rng(1),
    )
    patches = rng.standard_normal((12, 3 * 2 * 14**2) if flat else (12, 3, 2, 14, 14)).astype(np.float32)
    weights = rng.standard_normal((12, 48)).astype(np.float32)
    stock = numbers(layer, patches, weights)
    patch_embedding.use(True)
    patch_embedding.use(True)
    product = numbers(layer, patches, weights)
    assert stock.keys() == product.keys()
    for name, value in stock.items():
        worst = np.abs(product[name] - value).max() / np.abs(value).max()
        assert worst < 1e-5, name
        assert product[name].shape == value.shape
    patch_embedding.use(False)
    np.testing.assert_array_equal(numbers(layer, patches, weights)["out"], stock["out"])


# A process of its own: what makes one ready for training stays in it.
STARTED = """
from paddle_ground.backend import cpu_kernels, patch_embedding
from paddle_ground.backend.register import prepare_process
found = []
for device in ("gpu", "cpu"):
    for section in ({}, {"fast_patch_embedding": True}, {"fast_patch_embedding": False}):
        cpu_kernels.restore()
        patch_embedding.use(False)
        prepare_process({"device": device, "grounding": dict(section), "output_dir": OUT})
        layers = (patch_embedding.QWEN3_VL[0], patch_embedding.QWEN2_5_VL[0])
        found.append([layer.forward is patch_embedding.forward for layer in layers])
print("RESULT", found)
"""


def test_it_is_off_on_a_gpu_unless_it_is_asked_for(tmp_path: Path) -> None:
    code = STARTED.replace("OUT", repr(str(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    result = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert result, done.stderr[-1500:]
    expected = [False, True, False, True, True, False]
    assert result[-1] == f"RESULT {[[on, on] for on in expected]}"


def test_other_values_and_paddlefleets_model_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="fast_patch_embedding` is 'yes'; expected true or false"):
        GroundingSettings.from_mapping({"fast_patch_embedding": "yes"})
    monkeypatch.setattr("paddle_ground.backend.register.paddlefleet_installed", lambda: True)
    with pytest.raises(ConfigError, match="fast_patch_embedding is for the native model only"):
        prepare_process({"device": "gpu", "grounding": {"fast_patch_embedding": True}})
