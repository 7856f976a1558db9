"""The fixed model and the fixed questions of tests/assets/hf_golden.npz.

Shared by the script that asks torch (tools/make_hf_golden.py) and the test that asks Paddle, so that
the two can't drift apart. Knows neither framework.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paddle_ground.backend.tiny import PRESETS, build_tiny_model

# Frames, rows, columns of patches: a wide image and a square one.
GRIDS_THW = [[1, 6, 8], [1, 4, 4]]
_QUESTIONS = ["Task: Object Detection, please: red circle", "hi"]
NEW_TOKENS = 24


def build_golden_model(folder: Path) -> Path:
    # Wider weights than usual: the answers of a random model then wander instead of repeating one token.
    return build_tiny_model(folder, replace(PRESETS["test"], initializer_range=0.5), seed=1)


def golden_patches() -> NDArray[np.float32]:
    count = sum(frames * rows * columns for frames, rows, columns in GRIDS_THW)
    return np.random.default_rng(7).standard_normal((count, 3 * 2 * 16 * 16)).astype(np.float32)


def golden_texts() -> list[str]:
    texts = []
    for (frames, rows, columns), question in zip(GRIDS_THW, _QUESTIONS, strict=True):
        image = "<|image_pad|>" * (frames * rows * columns // 4)
        texts.append(
            f"<|im_start|>user\n<|vision_start|>{image}<|vision_end|>{question}<|im_end|>\n<|im_start|>assistant\n"
        )
    return texts
