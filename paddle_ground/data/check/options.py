"""What to check, and how.

Takes values, gives them checked. Knows no check.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paddle_ground.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """Options of `check`.

    Attributes:
        model_dir: Folder of the model that will be trained: counts tokens with its tokenizer.
        max_seq_len: As in the training YAML.
        max_pixels: `grounding.image_max_pixels` of the YAML; None for the model's `grounding.json`, or
            PaddleFormers' own where there is none.
        batch_size: As in the training YAML, to measure padding.
        decode: Decode every image: finds damaged ones, and those that only look the same.
        against: Further samples files that must not share an image with this one. Its sibling splits
            (`val.jsonl` beside `train.jsonl`) are always among them.
        max_boxes: More boxes in one answer are a problem.
        workers: Threads; 0 for one a core.
    """

    model_dir: Path | None = None
    max_seq_len: int = 8192
    max_pixels: int | None = None
    batch_size: int = 8
    decode: bool = False
    against: tuple[Path, ...] = ()
    max_boxes: int = 50
    workers: int = 0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: One is broken.
        """
        for name in ("max_seq_len", "batch_size", "max_boxes"):
            value = getattr(self, name)
            if value < 1:
                raise ConfigError(f"{name} is {value}; expected 1 or more")
        if self.max_pixels is not None and self.max_pixels < 1:
            raise ConfigError(f"max_pixels is {self.max_pixels}; expected an area in pixels")
