"""How large a model is: its parameters by part, and the widths that memory and time depend on.

Takes the contents of `config.json`, of a folder or of a published model by its name; gives counts. Reads no
weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.backend.checkpoint import read_json
from paddle_ground.backend.shapes import config_layout, parameter_shapes
from paddle_ground.errors import ModelError
from paddle_ground.train.plan.published import NAMED, config_of_name
from paddle_ground.train.plan.towers import TOWERS, Tower

_BY_COLUMN = re.compile(r"\.(q|k|v|gate|up)_proj\.(weight|bias)$")
_BY_ROW = re.compile(r"\.(o|down)_proj\.weight$")
_BY_VOCABULARY = re.compile(r"(embed_tokens|lm_head)\.weight$")
# PaddleFormers' decoders hold query, key and value in one layer, and gate and up in one: one adapter each.
_SHARES_INPUTS = re.compile(r"\.layers\.\d+\..*\.(k|v|up)_proj\.weight$")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One tensor.

    Attributes:
        name: Hugging Face's.
        shape: Linear weights are (out, in).
        part: `llm`, `aligner` or `vision`, as PaddleFormers' `freeze_config` parts a model.
        is_lora_target: LoRA puts an adapter beside it.
    """

    name: str
    shape: tuple[int, ...]
    part: str
    is_lora_target: bool

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
        """Count the numbers that LoRA of a rank adds to this tensor on one GPU; 0 where it is no target.

        Where tensors are fused into one layer, that layer's one A matrix is counted with the first of them.
        """
        if not self.is_lora_target:
            return 0
        wide, narrow = self.shape
        if self.part == "llm" and _SHARES_INPUTS.search(self.name):
            narrow = 0
        outputs = wide // tensor_parallel if _BY_COLUMN.search(self.name) else wide
        inputs = narrow // tensor_parallel if _BY_ROW.search(self.name) else narrow
        return rank * (inputs + outputs)


@dataclass(frozen=True, slots=True)
class ModelSize:
    """A model's widths and tensors.

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
        vision_context: Patches that one attends among, averaged over the blocks.
        mergers: Those that write features for the decoder.
        tower: What its family's vision tower keeps.
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
    vision_context: float
    mergers: int
    tower: Tower
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
            ModelError: It is of no known family, or not whole.
        """
        try:
            layout, tower = config_layout(config), TOWERS[config.get("model_type", "qwen3_vl")]
            text, vision = layout.text(config), layout.vision(config)
            config = {**config, "tie_word_embeddings": layout.tied(config)}
            return cls(
                name=name,
                hidden=text["hidden_size"],
                layers=text["num_hidden_layers"],
                heads=text["num_attention_heads"],
                key_value_heads=text["num_key_value_heads"],
                head_dim=text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"],
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
                vision_context=tower.context(vision),
                mergers=tower.mergers(vision),
                tower=tower,
                parameters=tuple(_parameters(config, tower)),
            )
        except (KeyError, TypeError) as error:
            raise ModelError(
                f"{name}: its config.json is not whole, or of no known family (no {error}); name another"
            ) from error


def model_size(model: str) -> ModelSize:
    """Measure a model by its folder, or by the name of a published one.

    Raises:
        ModelError: It is neither a folder with a known family's config.json nor a published name.
    """
    path = Path(model) / "config.json"
    if path.is_file():
        return ModelSize.from_config(read_json(path), model)
    config = config_of_name(model)
    if config is None:
        raise ModelError(f"{model}: no config.json there; name a model folder, or one of {NAMED}")
    return ModelSize.from_config(config, model)


def _parameters(config: Mapping[str, Any], tower: Tower) -> Iterator[Parameter]:
    for name, shape in parameter_shapes(config):
        yield Parameter(name, shape, _part(name), bool(tower.lora_targets.search(name)))


def _part(name: str) -> str:
    if not name.removeprefix("model.").startswith("visual."):
        return "llm"
    return "aligner" if "merger" in name else "vision"
