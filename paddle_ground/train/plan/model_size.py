"""How large a model is: its parameters by part, and the widths that memory and time depend on.

Takes the contents of `config.json`, of a folder or of a published model by its name; gives counts. Reads no
weights.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.backend.shapes import parameter_shapes
from paddle_ground.errors import ModelError

# hidden, layers, heads, intermediate, tied; vision: depth, hidden, intermediate, DeepStack layers.
_PUBLISHED: dict[str, tuple[tuple[int, int, int, int, bool], tuple[int, int, int, tuple[int, ...]]]] = {
    "2b": ((2048, 28, 16, 6144, True), (24, 1024, 4096, (5, 11, 17))),
    "4b": ((2560, 36, 32, 9728, True), (24, 1024, 4096, (5, 11, 17))),
    "8b": ((4096, 36, 32, 12288, False), (27, 1152, 4304, (8, 16, 24))),
}
_NAME = re.compile(r"(?i)qwen3-?vl-([248]b)(?![a-z0-9])")
# What PaddleFormers' `get_lora_target_modules` names for qwen3_vl.
_LORA_TARGETS = re.compile(
    r"language_model\..*(q|k|v|o|gate|up|down)_proj\.weight$"
    r"|visual\.blocks\..*(attn\.(qkv|proj)|mlp\.linear_fc[12])\.weight$"
    r"|visual\.(merger|deepstack_merger_list\.\d+)\.linear_fc[12]\.weight$"
)
_BY_COLUMN = re.compile(r"\.(q|k|v|gate|up)_proj\.weight$")
_BY_ROW = re.compile(r"\.(o|down)_proj\.weight$")
_BY_VOCABULARY = re.compile(r"(embed_tokens|lm_head)\.weight$")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One tensor.

    Attributes:
        name: Hugging Face's.
        shape: Linear weights are (out, in).
        part: `llm`, `aligner` or `vision`, as PaddleFormers' `freeze_config` parts a model.
    """

    name: str
    shape: tuple[int, ...]
    part: str

    @property
    def count(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)

    def split(self, tensor_parallel: int) -> int:
        """Count the numbers that one of so many tensor-parallel GPUs keeps.

        The decoder's linear layers, the embedding and the head are split; norms and the vision tower
        (plain `nn.Linear` in PaddleFormers) are whole everywhere.
        """
        named = (_BY_COLUMN, _BY_ROW, _BY_VOCABULARY)
        is_split = self.part == "llm" and any(pattern.search(self.name) for pattern in named)
        return math.ceil(self.count / tensor_parallel) if is_split else self.count

    def lora(self, rank: int, tensor_parallel: int) -> int:
        """Count the numbers that LoRA of a rank adds to this tensor on one GPU; 0 where it is no target."""
        if not _LORA_TARGETS.search(self.name):
            return 0
        wide, narrow = self.shape
        outputs = wide // tensor_parallel if _BY_COLUMN.search(self.name) else wide
        inputs = narrow // tensor_parallel if _BY_ROW.search(self.name) else narrow
        return rank * (inputs + outputs)


@dataclass(frozen=True, slots=True)
class ModelSize:
    """A Qwen3-VL's widths and tensors.

    Attributes:
        name: The folder or the published name.
        hidden: Width of the decoder.
        layers: Of the decoder.
        heads: Query heads.
        key_value_heads: Of the decoder.
        head_dim: Width of a head.
        intermediate: Width of the decoder's SwiGLU.
        vocabulary: Rows of the embedding.
        tied: The head is the embedding again.
        vision_hidden: Width of the vision tower.
        vision_layers: Its blocks.
        vision_intermediate: Width of its MLP.
        merge: Patches a side of one visual token.
        patch_values: Numbers of one patch as it is fed: channels x frames x side x side.
        mergers: The merger and one a DeepStack layer.
        parameters: Every tensor.
    """

    name: str
    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    vision_hidden: int
    vision_layers: int
    vision_intermediate: int
    merge: int
    patch_values: int
    mergers: int
    parameters: tuple[Parameter, ...]

    @property
    def query(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_dim

    @property
    def key_value(self) -> int:
        """Width of all key heads; the values' is the same."""
        return self.key_value_heads * self.head_dim

    def count(self, parts: frozenset[str] | None = None) -> int:
        """Count parameters, of some parts or of all."""
        return sum(p.count for p in self.parameters if parts is None or p.part in parts)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], name: str = "model") -> ModelSize:
        """Read the contents of `config.json`.

        Raises:
            ModelError: It is not a Qwen3-VL's.
        """
        try:
            text, vision = config["text_config"], config["vision_config"]
            config = {**config, "tie_word_embeddings": bool(config.get("tie_word_embeddings", False))}
            return cls(
                name=name,
                hidden=text["hidden_size"],
                layers=text["num_hidden_layers"],
                heads=text["num_attention_heads"],
                key_value_heads=text["num_key_value_heads"],
                head_dim=text["head_dim"],
                intermediate=text["intermediate_size"],
                vocabulary=text["vocab_size"],
                tied=config["tie_word_embeddings"],
                vision_hidden=vision["hidden_size"],
                vision_layers=vision["depth"],
                vision_intermediate=vision["intermediate_size"],
                merge=vision["spatial_merge_size"],
                patch_values=vision["in_channels"]
                * vision["temporal_patch_size"]
                * vision["patch_size"] ** 2,
                mergers=1 + len(vision["deepstack_visual_indexes"]),
                parameters=tuple(_parameters(dict(config))),
            )
        except (KeyError, TypeError) as error:
            raise ModelError(f"{name}: its config.json is not a Qwen3-VL's (no {error}); name one") from error


def model_size(model: str) -> ModelSize:
    """Measure a model by its folder, or by the name of a published one.

    Raises:
        ModelError: It is neither a folder with a Qwen3-VL's config.json nor a published name.
    """
    path = Path(model) / "config.json"
    if path.is_file():
        try:
            return ModelSize.from_config(json.loads(path.read_text(encoding="utf-8")), model)
        except ValueError as error:
            raise ModelError(f"{path}: is not JSON ({error}); name a whole model folder") from error
    found = _NAME.search(model)
    if not found:
        raise ModelError(
            f"{model}: no config.json there; name a model folder, or one of Qwen3-VL-2B, -4B or -8B"
        )
    return ModelSize.from_config(published_config(found[1].lower()), model)


def published_config(size: str) -> dict[str, Any]:
    """Give what a plan needs of the config of Qwen3-VL 2B, 4B or 8B.

    Args:
        size: `2b`, `4b` or `8b`.
    """
    (hidden, layers, heads, wide, tied), (depth, vision_hidden, vision_wide, levels) = _PUBLISHED[size]
    return {
        "tie_word_embeddings": tied,
        "text_config": {
            "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
            "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": wide, "vocab_size": 151_936,
        },
        "vision_config": {
            "depth": depth, "hidden_size": vision_hidden, "intermediate_size": vision_wide,
            "deepstack_visual_indexes": list(levels), "num_position_embeddings": 2304, "patch_size": 16,
            "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3, "out_hidden_size": hidden,
        },
    }  # fmt: skip


def _parameters(config: dict[str, Any]) -> Iterator[Parameter]:
    for name, shape in parameter_shapes(config):
        yield Parameter(name, shape, _part(name))


def _part(name: str) -> str:
    if not name.startswith("model.visual."):
        return "llm"
    return "aligner" if "merger" in name else "vision"
