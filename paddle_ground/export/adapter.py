"""Read a LoRA adapter as PaddleFormers leaves it, and say what it adds to each weight of its base.

Takes a run folder; gives, for a weight's name in Hugging Face's layout, the matrix to add. An adapter adds
`scaling * A @ B` (Hu et al. 2021, section 4.1). PaddleFormers keeps matrices as (inputs, outputs), joins
query, key and value into one, key head by key head with its query heads, and gate and up one behind the
other; Hugging Face keeps them apart, as (outputs, inputs).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddle_ground.backend.checkpoint import read_json
from paddle_ground.errors import ModelError

CONFIG = "lora_config.json"
_INDEX = "peft_model.safetensors.index.json"
_QUERY_KEY_VALUE = ("q_proj", "k_proj", "v_proj")

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Heads:
    """How many heads a decoder's layer has: of queries, of keys, and their width."""

    queries: int
    keys: int
    width: int


class Adapter:
    """An adapter's matrices by layer.

    Args:
        folder: Holds `lora_config.json` and `peft_model*.safetensors`.
        heads: Of the base model's decoder.

    Raises:
        ModelError: Files are missing or torn, or the adapter is of a kind that can't be merged.
    """

    def __init__(self, folder: Path, heads: Heads) -> None:
        config = read_json(folder / CONFIG)
        for key in ("loraga", "trainable_modules", "trainable_bias", "do_qat"):
            if config.get(key):
                raise ModelError(
                    f"{folder / CONFIG}: `{key}` is {config[key]!r}; only plain LoRA is merged: "
                    "train without it, or merge with PaddleFormers' own `paddleformers-cli export`"
                )
        self.base = str(config.get("base_model_name_or_path") or "")
        self.scaling = _number(config, "scaling", folder)
        self.rank = int(_number(config, "r", folder))
        self._heads = heads
        self._pairs = _pairs(folder)
        self._used: set[str] = set()

    def delta(self, name: str) -> Matrix | None:
        """Give what is added to a weight.

        Args:
            name: In Hugging Face's layout, such as `model.language_model.layers.0.mlp.up_proj.weight`.

        Returns:
            (outputs, inputs), or none where the adapter leaves the weight as it is.
        """
        if not name.endswith(".weight"):
            return None
        stem = layer_name(name.removesuffix(".weight"))
        own = self._product(stem)
        if own is not None:
            return own
        parent, _, last = stem.rpartition(".")
        if last in _QUERY_KEY_VALUE and ".self_attn" in stem:
            joined = self._product(f"{parent}.qkv_proj")
            return None if joined is None else self._head_rows(joined, last)
        if last in ("gate_proj", "up_proj"):
            joined = self._product(f"{parent}.up_gate_proj")
            if joined is None:
                return None
            half = len(joined) // 2
            return joined[:half] if last == "gate_proj" else joined[half:]
        return None

    def unused(self) -> list[str]:
        """Name the layers of the adapter that no weight has asked for."""
        return sorted(set(self._pairs) - self._used)

    def _product(self, stem: str) -> Matrix | None:
        pair = self._pairs.get(stem)
        if pair is None:
            return None
        self._used.add(stem)
        first, second = pair
        return np.ascontiguousarray((self.scaling * (first @ second)).T)

    def _head_rows(self, joined: Matrix, which: str) -> Matrix:
        heads = self._heads
        each = heads.queries // heads.keys
        groups = joined.reshape(heads.keys, each + 2, heads.width, joined.shape[1])
        first, last = {"q_proj": (0, each), "k_proj": (each, each + 1), "v_proj": (each + 1, each + 2)}[which]
        return np.ascontiguousarray(groups[:, first:last].reshape(-1, joined.shape[1]))


def layer_name(name: str) -> str:
    """Name a layer the same way whatever a family or framework puts before it.

    `model.language_model.layers.0.x` and `model.layers.0.x` are `layers.0.x`; `model.visual.x` is `visual.x`.
    """
    return re.sub(r"^(model\.)?(language_model\.)?", "", name)


def _pairs(folder: Path) -> dict[str, tuple[Matrix, Matrix]]:
    from safetensors import SafetensorError, safe_open

    halves: dict[str, dict[str, Matrix]] = {}
    for file in _files(folder):
        try:
            with safe_open(file, framework="numpy") as stream:
                for name in stream.keys():
                    stem, _, half = name.rpartition(".")
                    if half in ("lora_A", "lora_B"):
                        value = stream.get_tensor(name).astype(np.float32)
                        halves.setdefault(layer_name(stem), {})[half] = value
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{file}: not a whole safetensors file ({error}); copy the adapter again"
            ) from error
    torn = [stem for stem, pair in halves.items() if len(pair) < 2]
    if torn or not halves:
        what = f"{torn[0]} has one of lora_A and lora_B" if torn else "it holds no lora_A and lora_B"
        raise ModelError(f"{folder}: {what}; train to the end again, or copy the adapter again")
    return {stem: (pair["lora_A"], pair["lora_B"]) for stem, pair in halves.items()}


def _files(folder: Path) -> list[Path]:
    if (folder / _INDEX).is_file():
        names = sorted(set(map(str, read_json(folder / _INDEX).get("weight_map", {}).values())))
        if any(Path(name).name != name for name in names):
            raise ModelError(f"{folder / _INDEX}: a file lies outside the folder; move it in")
    else:
        names = sorted(path.name for path in folder.glob("peft_model*.safetensors"))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing or not names:
        raise ModelError(
            f"{folder}: {missing[0] if missing else 'peft_model*.safetensors'} is missing; copy it"
        )
    return [folder / name for name in names]


def _number(config: Mapping[str, Any], key: str, folder: Path) -> float:
    value = config.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise ModelError(f"{folder / CONFIG}: `{key}` is {value!r}; expected a number above 0")
    return float(value)
