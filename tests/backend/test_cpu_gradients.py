"""Derivatives written out, against Paddle's own automatic ones of the plain formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")
import paddle.nn.functional as F  # noqa: E402

from paddle_ground.backend import cpu_gradients  # noqa: E402

Function = Callable[..., Any]


def rms_norm(x: Any, weight: Any) -> Any:
    return x / paddle.sqrt((x**2).mean(-1, keepdim=True) + 1e-6) * weight


def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    # Not Paddle's own: its CPU kernel gives x a wrong gradient where the weight is frozen, see below.
    centered = x - x.mean(-1, keepdim=True)
    return centered / paddle.sqrt((centered**2).mean(-1, keepdim=True) + 1e-6) * weight + bias


def rotation(x: Any, cos: Any, sin: Any) -> Any:
    first, second = paddle.split(x, 2, axis=-1)
    return x * cos + paddle.concat([-second, first], axis=-1) * sin


def repeated(x: Any) -> Any:
    return paddle.repeat_interleave(x, 3, axis=0)


CASES: dict[str, tuple[Function, Function, list[tuple[int, ...]], int]] = {
    # Ours, the plain formula, shapes of the inputs, how many of them learn.
    "RootMeanSquareNorm": (
        lambda x, w: cpu_gradients.RootMeanSquareNorm.apply(x, w, 1e-6), rms_norm, [(3, 5, 8), (8,)], 2,
    ),
    "LayerNorm": (
        lambda x, w, b: cpu_gradients.LayerNorm.apply(x, w, b, 1e-6),
        layer_norm, [(3, 5, 8), (8,), (8,)], 3,
    ),
    "Rotation": (cpu_gradients.Rotation.apply, rotation, [(2, 3, 5, 8), (3, 5, 8), (3, 5, 8)], 1),
    "GatedUnit": (cpu_gradients.GatedUnit.apply, lambda g, u: F.silu(g) * u, [(3, 5, 8), (3, 5, 8)], 2),
    "RepeatedHeads": (lambda x: cpu_gradients.RepeatedHeads.apply(x, 3), repeated, [(2, 3, 5, 8)], 1),
}  # fmt: skip


def gradients(function: Function, arrays: list[np.ndarray], learns: list[bool]) -> list[np.ndarray]:
    """The output of a function and the gradients of those inputs that learn."""
    # Made from others, so that an inner tensor of a graph is tried, not only a leaf.
    leaves = [
        paddle.to_tensor(array, stop_gradient=not wanted)
        for array, wanted in zip(arrays, learns, strict=True)
    ]
    out = function(*(leaf * 1.0 for leaf in leaves))
    weights = np.random.default_rng(1).standard_normal(out.shape).astype(np.float32)
    (out * paddle.to_tensor(weights)).sum().backward()
    return [out.numpy(), *(leaf.grad.numpy() for leaf, wanted in zip(leaves, learns, strict=True) if wanted)]


@pytest.mark.parametrize("name", CASES)
def test_each_gradient_is_the_automatic_one(name: str) -> None:
    mine, plain, shapes, learning = CASES[name]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    choices = [[k < learning for k in range(len(shapes))]]
    # And with all but one frozen, as adapters and freeze lists leave them.
    choices += [[k == only for k in range(len(shapes))] for only in range(learning)]
    for learns in choices:
        for got, expected in zip(
            gradients(mine, arrays, learns), gradients(plain, arrays, learns), strict=True
        ):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)


def test_a_rotation_takes_angles_of_which_both_halves_differ() -> None:
    x = np.arange(8, dtype=np.float32)[None, None]
    cos, sin = np.zeros((1, 8), np.float32), np.arange(1, 9, dtype=np.float32)[None]
    out = cpu_gradients.Rotation.apply(*map(paddle.to_tensor, (x, cos, sin)))
    assert out.numpy().reshape(-1).tolist() == [-4, -10, -18, -28, 0, 6, 14, 24]


def test_paddle_still_needs_a_layer_norm_with_frozen_weights_mended() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in ((3, 5, 8), (8,), (8,))]
    _, right = gradients(layer_norm, arrays, [True, False, False])
    _, stock = gradients(lambda x, w, b: F.layer_norm(x, [8], w, b, 1e-6), arrays, [True, False, False])
    assert np.abs(stock - right).max() > 1, (
        "Paddle's kernel is right now: take the sentence in cpu_gradients out"
    )
