"""What each of two data-parallel processes steps with Muon, for test_muon_shared.py, which starts it.

Usage: python muon_ranks.py OUT_DIR AT_ONCE, with the variables that Paddle's launcher sets, or without them.
Writes the weights after two steps, and how many matrices this process made orthogonal: OUT_DIR/<rank>.npz.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from paddle_ground.backend import cpu_runtime, gloo_groups, muon

SHAPES = [(8, 12), (12, 8), (6, 6), (4, 16), (10, 10)]


def main(out: Path) -> None:
    """Take two steps on weights of several shapes, one of them AdamW's."""
    if paddle.distributed.get_world_size() > 1:
        gloo_groups.apply()
        cpu_runtime.tune()
        paddle.set_device("cpu")
        paddle.distributed.init_parallel_env()
    rng = np.random.default_rng(0)
    weights = [
        paddle.create_parameter(
            list(shape),
            "float32",
            default_initializer=paddle.nn.initializer.Assign(rng.standard_normal(shape).astype(np.float32)),
        )
        for shape in SHAPES
    ]
    optimizer = muon.Muon(
        learning_rate=0.1,
        parameters=weights,
        muon_param_info_map={weight.name: 1 for weight in weights[:-1]},
        weight_decay=0.1,
    )
    made, stock = 0, muon.orthogonal

    def counted(*args: Any) -> Any:
        nonlocal made
        made += 1
        return stock(*args)

    muon.orthogonal = counted
    for _ in range(2):
        gradients = [paddle.to_tensor(rng.standard_normal(shape).astype(np.float32)) for shape in SHAPES]
        sum((weight * gradient).sum() for weight, gradient in zip(weights, gradients, strict=True)).backward()
        optimizer.step()
        optimizer.clear_grad()
    values = {str(place): weight.numpy() for place, weight in enumerate(weights)}
    np.savez(out / f"{paddle.distributed.get_rank()}.npz", made=made, **values)


if __name__ == "__main__":
    muon._AT_ONCE = int(sys.argv[2])
    main(Path(sys.argv[1]))
