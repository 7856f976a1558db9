"""The fixed models and the fixed questions of tests/assets/hf_golden*.npz, one a family.

Shared by the script that asks torch (tools/make_hf_golden.py) and the test that asks Paddle, so that
the two can't drift apart. Knows neither framework.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from paddle_ground.backend.tiny import PRESETS, build_tiny_model

_QUESTIONS = ["Task: Object Detection, please: red circle", "hi"]
NEW_TOKENS = 24


@dataclass(frozen=True)
class Golden:
    """One family's model and images.

    Attributes:
        model_type: The family.
        preset: Shapes of its small model.
        spread: Of the weights. Wider than usual: the answers of a random model then wander instead of
            repeating one token.
        bends: Whether norms and biases, which a new model leaves at one and zero, are random too.
        grids_thw: Frames, rows, columns of patches of two images.
        patch: Side of a patch.
        asset: The file in tests/assets.
    """

    model_type: str
    preset: str
    spread: float
    bends: bool
    grids_thw: list[list[int]]
    patch: int
    asset: str

    def build_model(self, folder: Path) -> Path:
        build_tiny_model(folder, replace(PRESETS[self.preset], initializer_range=self.spread), seed=1)
        if self.bends:
            path, rng = folder / "model.safetensors", np.random.default_rng(5)
            weights = load_file(path)
            for name in sorted(weights):
                if weights[name].ndim == 1:
                    weights[name] += rng.normal(0, 0.2, weights[name].shape).astype(np.float32)
            save_file(weights, path, metadata={"format": "pt"})
        return folder

    @property
    def counts(self) -> list[int]:
        """Patches of each image."""
        return [frames * rows * columns for frames, rows, columns in self.grids_thw]

    def patches(self) -> NDArray[np.float32]:
        shape = (sum(self.counts), 3 * 2 * self.patch**2)
        return np.random.default_rng(7).standard_normal(shape).astype(np.float32)

    def texts(self) -> list[str]:
        return [
            f"<|im_start|>user\n<|vision_start|>{'<|image_pad|>' * (count // 4)}<|vision_end|>{question}"
            "<|im_end|>\n<|im_start|>assistant\n"
            for count, question in zip(self.counts, _QUESTIONS, strict=True)
        ]


GOLDENS = {
    golden.model_type: golden
    for golden in (
        Golden("qwen3_vl", "test", 0.5, False, [[1, 6, 8], [1, 4, 4]], 16, "hf_golden.npz"),
        # Windows are 8 x 8 patches here: the first image has whole ones, narrow ones, low ones and a corner.
        Golden(
            "qwen2_5_vl", "test_qwen2_5_vl", 0.3, True, [[1, 12, 20], [1, 4, 4]], 14,
            "hf_golden_qwen2_5_vl.npz",
        ),
    )
}  # fmt: skip
