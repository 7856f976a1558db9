"""Find what a run left: a whole model, or an adapter and the base that it belongs to.

Takes a folder; gives weights one after the other, in Hugging Face's names and layout, in the wanted type.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddle_ground.backend.checkpoint import Checkpoint, inspect_checkpoint
from paddle_ground.backend.shapes import config_layout
from paddle_ground.errors import ModelError
from paddle_ground.export.adapter import CONFIG, Adapter, Heads

DTYPES = ("keep", "float32", "bfloat16", "float16")
_DTYPE_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True, slots=True)
class Source:
    """A model to export.

    Attributes:
        folder: Where the run left it: weights or adapter, tokenizer, processor.
        run: The run's folder: `folder`, or the one above it for `best`.
        checkpoint: The whole model: the run's own, or the base of its adapter.
        adapter: What is added to the base; none after full fine-tuning.
    """

    folder: Path
    run: Path
    checkpoint: Checkpoint
    adapter: Adapter | None

    def weights(self, dtype: str) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield every weight, merged.

        Args:
            dtype: One of `DTYPES`.

        Raises:
            ModelError: The adapter belongs to another model.
        """
        from safetensors import safe_open

        tied = bool(self.checkpoint.config.get("tie_word_embeddings"))
        for file in self.checkpoint.weight_files:
            with safe_open(file, framework="numpy") as stream:
                for name in stream.keys():
                    if tied and name == "lm_head.weight":
                        continue  # The embedding table again; a loader ties it.
                    yield name, _cast(self._merged(name, stream.get_tensor(name)), dtype)
        left = self.adapter.unused() if self.adapter else []
        if left:
            raise ModelError(
                f"{self.folder}: the adapter has layers that {self.checkpoint.folder} lacks, "
                f"first {left[0]}; "
                "name its own base with --base"
            )

    def dtype(self) -> str | None:
        """Tell what most numbers are kept in, "float32" for example; none where it is something else."""
        from safetensors import safe_open

        numbers: Counter[str] = Counter()
        for file in self.checkpoint.weight_files:
            with safe_open(file, framework="numpy") as stream:
                for name in stream.keys():
                    part = stream.get_slice(name)
                    numbers[part.get_dtype()] += math.prod(part.get_shape())
        return _DTYPE_NAMES.get(max(numbers, key=lambda kind: numbers[kind], default=""))

    def _merged(self, name: str, weight: NDArray[Any]) -> NDArray[Any]:
        delta = self.adapter.delta(name) if self.adapter else None
        if delta is None:
            return weight
        if delta.shape != weight.shape:
            raise ModelError(
                f"{self.folder}: {name} is {list(delta.shape)} here and {list(weight.shape)} in the base; "
                "name the adapter's own base with --base"
            )
        # The sum is in 32 bits whatever the base is kept in.
        return (weight.astype(np.float32) + delta).astype(weight.dtype)


def find_source(folder: Path, base: Path | None) -> Source:
    """Look through a run.

    Args:
        folder: The run's folder, its `best`, or any model folder.
        base: The adapter's base model; none takes the one that the adapter names.

    Raises:
        ModelError: There is no finished model, or the base isn't on this machine.
    """
    import ml_dtypes  # noqa: F401  (lets numpy, and so safetensors, know bfloat16)

    run = folder.parent if not (folder / "resolved.yaml").is_file() else folder
    run = run if (run / "resolved.yaml").is_file() else folder
    if not (folder / CONFIG).is_file():
        return Source(folder, run, inspect_checkpoint(folder), None)
    named = base or _named_base(folder)
    if not named.is_dir():
        raise ModelError(
            f"{folder / CONFIG}: its base model {str(named)!r} is no folder here; "
            "download it and name it with --base"
        )
    checkpoint = inspect_checkpoint(named)
    text = config_layout(checkpoint.config).text(checkpoint.config)
    queries = int(text["num_attention_heads"])
    width = int(text.get("head_dim") or text["hidden_size"] // queries)
    adapter = Adapter(folder, Heads(queries, int(text["num_key_value_heads"]), width))
    return Source(folder, run, checkpoint, adapter)


def _named_base(folder: Path) -> Path:
    import json

    try:
        return Path(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / CONFIG}: it doesn't name its base model; name it with --base") from error


def _cast(weight: NDArray[Any], dtype: str) -> NDArray[Any]:
    if dtype == "keep":
        return weight
    import ml_dtypes

    wanted: Any = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    return weight.astype(wanted, copy=False)
