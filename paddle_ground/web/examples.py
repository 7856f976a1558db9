"""Pictures to begin with: scenes of shapes, drawn when the page starts.

Takes a folder; gives files in it. Knows no page.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from paddle_ground.data.scenes import SceneStyle, draw_scene


def write_examples(folder: Path, count: int = 4) -> list[Path]:
    """Draw scenes, the same ones each time.

    Args:
        folder: Made if need be.
        count: How many.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in range(count):
        image, _ = draw_scene(SceneStyle(side_px=256, min_shapes=2), np.random.default_rng(seed))
        paths.append(folder / f"scene_{seed + 1}.png")
        image.save(paths[-1])
    return paths
