"""Mends of LoRA in PaddleFormers 1.2: the strength that the YAML asks for, and one start for any parting.

Takes PaddleFormers' fine-tuning workflow, by binding names in it; gives adapters with the YAML's
`lora_alpha`, whose first values do not depend on how many processes share a layer. Every function may be
called twice. Knows no data.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paddle_ground.errors import ConfigError


def apply(args: Mapping[str, Any], targets: Sequence[str]) -> None:
    """Put every mend of this file in place.

    Args:
        args: The YAML.
        targets: `grounding.lora_targets`; empty for all that PaddleFormers takes.
    """
    use_the_asked_alpha(args)
    adapt_the_asked_layers(targets)
    start_alike_in_any_parting(args)


def use_the_asked_alpha(args: Mapping[str, Any]) -> None:
    """Scale adapters by `lora_alpha / lora_rank` (`/ sqrt(lora_rank)` with `rslora`).

    Symptom: `lora_alpha` is a key that PaddleFormers takes and ignores: its workflow passes
    `2 * lora_rank`, or 4 with `rslora`. Without the key, that stays so.

    Args:
        args: The YAML.
    """
    from paddleformers.cli.train.sft import workflow
    from paddleformers.peft import LoRAConfig

    alpha = args.get("lora_alpha")
    asked = {} if alpha in (None, -1) else {"lora_alpha": alpha}  # -1 is the key's default.

    def configured(**values: Any) -> Any:
        return LoRAConfig(**{**values, **asked})

    workflow.LoRAConfig = configured


def adapt_the_asked_layers(targets: Sequence[str]) -> None:
    """Give adapters to some kinds of layers only.

    Symptom: PaddleFormers has no key for it; every linear layer of decoder and vision tower gets one.

    Args:
        targets: Last parts of layers' names (`q_proj`); empty for all that PaddleFormers takes.
    """
    from paddleformers.cli.train.sft import workflow

    stock = getattr(workflow.get_lora_target_modules, "stock", workflow.get_lora_target_modules)

    def get_lora_target_modules(model: Any) -> list[str]:
        patterns: list[str] = stock(model)
        if not targets:
            return patterns
        return layers_named(targets, patterns, [name for name, _ in model.named_sublayers()])

    get_lora_target_modules.stock = stock  # type: ignore[attr-defined]
    workflow.get_lora_target_modules = get_lora_target_modules


def layers_named(targets: Sequence[str], patterns: Sequence[str], layers: Sequence[str]) -> list[str]:
    """Pick layers by the last part of their names.

    Args:
        targets: The last parts.
        patterns: Regular expressions of the layers that may have an adapter.
        layers: The model's.

    Raises:
        ConfigError: A target is no layer that may have one.
    """
    able = [name for name in layers if any(re.fullmatch(pattern, name) for pattern in patterns)]
    kinds = {name.rpartition(".")[2] for name in able}
    unknown = [target for target in targets if target not in kinds]
    if unknown:
        raise ConfigError(
            f"`grounding.lora_targets`: {', '.join(unknown)} is no layer of this model that may have an "
            f"adapter; expected some of {', '.join(sorted(kinds))}"
        )
    return [name for name in able if name.rpartition(".")[2] in targets]


def start_alike_in_any_parting(args: Mapping[str, Any]) -> None:
    """Draw an adapter's first values by its name, whole, and give each process its part of them.

    Symptom: with LoRA, losses under `tensor_model_parallel_size: 2` leave those of one process by up to
    6e-3. A layer whose input is parted draws its part of `lora_A` from that process's own random numbers,
    with the bound `1 / sqrt(inputs)` of its part: other numbers, and larger by the square root of the degree.

    Args:
        args: The YAML; its `seed` is used.
    """
    from paddleformers.cli.train.sft import workflow
    from paddleformers.peft import LoRAModel

    seed = int(args.get("seed", 42))

    def model_with_adapters(model: Any, config: Any) -> Any:
        adapted = LoRAModel(model, config)
        for name, layer in adapted.named_sublayers():
            if getattr(layer, "lora_A", None) is not None:
                _draw(layer, name, seed)
        return adapted

    # The other way in, for adapters that are read from a file.
    model_with_adapters.from_pretrained = LoRAModel.from_pretrained  # type: ignore[attr-defined]
    workflow.LoRAModel = model_with_adapters


def _draw(layer: Any, name: str, seed: int) -> None:
    import paddle

    part = layer.lora_A
    if len(part.shape) != 2:
        return  # a convolution's; none is parted
    rows, rank = part.shape
    processes, index = 1, 0
    if getattr(part, "is_distributed", False):
        processes, index = layer.model_parallel_group.nranks, layer.model_parallel_group.rank
    whole = first_values(name, seed, rows * processes, rank)
    part.set_value(paddle.to_tensor(whole[index * rows : (index + 1) * rows]).astype(part.dtype))


def first_values(name: str, seed: int, inputs: int, rank: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Draw `lora_A` uniformly in +- 1 / sqrt(inputs), as LoRA's authors and PaddleFormers do.

    Args:
        name: The layer's, so that each one draws its own numbers.
        seed: The run's.
        inputs: Of the whole layer.
        rank: Of the adapter.

    Returns:
        (inputs, rank).
    """
    bound = 1 / math.sqrt(inputs)
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return generator.uniform(-bound, bound, (inputs, rank)).astype(np.float32)
