"""Tables of positions that are kept for the next image: the stock numbers, and no more memory each image."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from paddleformers.transformers.qwen3_vl.modeling import Qwen3VLVisionModel  # noqa: E402

from paddle_ground.backend import cpu_attention, cpu_kernels, positions  # noqa: E402

PUBLISHED_SIDE = 48  # of Qwen3-VL's table of learned positions
SHAPES = [(1, 2 * height, 2 * width) for height in (9, 11, 13) for width in (8, 10, 12, 14)]


@pytest.mark.parametrize("grid", [(1, 8, 6), (2, 4, 4), (1, 30, 44), (1, 2, 2)])
def test_a_published_table_is_read_as_the_stock_model_reads_it(grid: tuple[int, int, int]) -> None:
    cpu_kernels.restore()
    table = paddle.nn.Embedding(PUBLISHED_SIDE**2, 8)
    tower = SimpleNamespace(
        pos_embed=table,
        num_grid_per_side=PUBLISHED_SIDE,
        spatial_merge_size=2,
        config=SimpleNamespace(spatial_merge_size=2),
    )
    theirs = Qwen3VLVisionModel.fast_pos_embed_interpolate(tower, paddle.to_tensor([grid]))
    weights = positions.table_weights(grid, 2, PUBLISHED_SIDE)
    np.testing.assert_allclose(weights @ table.weight.numpy(), theirs.numpy(), atol=1e-6)


def test_images_of_many_shapes_leave_nothing_large_behind() -> None:
    positions.table_weights(SHAPES[0], 2, PUBLISHED_SIDE)
    tracemalloc.start()
    try:
        for grid in SHAPES:
            one = positions.table_weights(grid, 2, PUBLISHED_SIDE).nbytes
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert one > 2_000_000
    assert kept < one


def test_rows_of_many_lengths_leave_few_masks_behind() -> None:
    def held() -> int:
        return int(paddle.base.core.host_memory_stat_current_value("Allocated", 0))

    cpu_attention._causal_bias.cache_clear()
    before = held()
    for length in range(512, 544):
        one = cpu_attention._causal_bias(length, length).size * 4
    assert one <= held() - before < 10 * one
