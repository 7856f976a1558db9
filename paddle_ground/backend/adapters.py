"""Mends of LoRA in PaddleFormers 1.2: the strength that the YAML asks for, and one start for any parting.

Takes PaddleFormers' fine-tuning workflow, by binding names in it; gives adapters with the YAML's
`lora_alpha`, whose first values do not depend on how many processes share a layer. Every function may be
called twice. Knows no data.
"""

from __future__ import annotations

import functools
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paddle_ground.errors import ConfigError
from paddle_ground.files import atomic_writer

_FUSED = "up_gate_proj.lora_B"


def apply(args: Mapping[str, Any], targets: Sequence[str]) -> None:
    """Put every mend of this file in place.

    Args:
        args: The YAML.
        targets: `grounding.lora_targets`; empty for all that PaddleFormers takes.
    """
    use_the_asked_alpha(args)
    adapt_the_asked_layers(targets)
    keep_adapters_from_frozen_parts()
    start_alike_in_any_parting(args)
    write_fused_layers_in_one_order()


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
        targets: Last parts of layers' names (`qkv_proj`); empty for all that PaddleFormers takes.
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


def keep_adapters_from_frozen_parts() -> None:
    """Hold layers' names against the parts that `freeze_config` names, not the patterns that find layers.

    Symptom: none that is printed. PaddleFormers looks for a part's name (`model.visual`) inside each pattern;
    Qwen2.5-VL's patterns (`.*attn.qkv.*`) hold none, so that with LoRA `freeze_config` does nothing there.
    """
    from paddleformers.cli.train.sft import workflow

    stock = workflow.get_multimodel_lora_target_modules
    if getattr(stock, "_paddle_ground", False):
        return

    def get_multimodel_lora_target_modules(model: Any, patterns: list[str], freeze_config: str) -> list[str]:
        layers = [name for name, _ in model.named_sublayers()]
        able = [name for name in layers if any(re.fullmatch(pattern, name) for pattern in patterns)]
        names: list[str] = stock(model, able, freeze_config)
        return names

    get_multimodel_lora_target_modules._paddle_ground = True  # type: ignore[attr-defined]
    workflow.get_multimodel_lora_target_modules = get_multimodel_lora_target_modules


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

    def from_pretrained(**values: Any) -> Any:
        adapted = LoRAModel.from_pretrained(**values)
        take_own_columns(adapted)
        return adapted

    # The other way in, for adapters that are read from a file.
    model_with_adapters.from_pretrained = from_pretrained  # type: ignore[attr-defined]
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


def write_fused_layers_in_one_order() -> None:
    """Write the adapter of a parted `up_gate_proj` as that of a whole one.

    Symptom: none that is printed. Each tensor-parallel process holds gate and up of its own columns, and the
    saved `lora_B` is these parts one behind the other (gate, up, gate, up), where a whole layer has all of
    gate before all of up: merged into the model, or loaded by one process, half of its columns go astray.
    """
    from paddleformers.peft import LoRAModel

    stock = LoRAModel.save_pretrained
    if getattr(stock, "_paddle_ground", False):
        return

    @functools.wraps(stock)
    def save_pretrained(self: Any, save_directory: str, *rest: Any, **kwargs: Any) -> None:
        stock(self, save_directory, *rest, **kwargs)
        parts = self.model.config.tensor_model_parallel_size
        if parts > 1 and kwargs.get("save_checkpoint_format", "flex_checkpoint") == "flex_checkpoint":
            import paddle.distributed as dist

            dist.barrier()
            if dist.get_rank() == 0:
                for path in sorted(Path(save_directory).glob("peft_model*.safetensors")):
                    put_in_order(path, parts)
            dist.barrier()

    save_pretrained._paddle_ground = True  # type: ignore[attr-defined]
    LoRAModel.save_pretrained = save_pretrained


def take_own_columns(adapted: Any) -> None:
    """Give each process its columns of gate and of up, after an adapter was read from a file (`lora_path`).

    Symptom: none that is printed. The file's columns are dealt out as they stand, so that with two processes
    one gets all of gate and the other all of up.
    """
    import paddle

    for name, layer in adapted.named_sublayers():
        weight = getattr(layer, "lora_B", None)
        if (
            weight is None
            or not f"{name}.lora_B".endswith(_FUSED)
            or not getattr(weight, "is_distributed", False)
        ):
            continue
        group = layer.model_parallel_group
        dealt: list[Any] = []
        paddle.distributed.all_gather(dealt, weight.detach(), group=group)
        half = weight.shape[1] // 2
        gate, up = paddle.concat(dealt, axis=1).chunk(2, axis=1)
        own = slice(group.rank * half, (group.rank + 1) * half)
        weight.set_value(paddle.concat([gate[:, own], up[:, own]], axis=1))


def put_in_order(path: Path, parts: int) -> None:
    """Reorder the columns of every fused layer's `lora_B` in a safetensors file, whatever its numbers' type.

    Args:
        path: The file; it is replaced as a whole.
        parts: Processes that shared the layer.
    """
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    changed = False
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if not name.endswith(_FUSED):
            continue
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        rank, columns = entry["shape"]
        width = (last - first) // (rank * columns)
        # Bytes in groups of a number's width: numpy has no bfloat16.
        numbers = np.frombuffer(bytes(data[first:last]), np.uint8)
        pairs = numbers.reshape(rank, parts, 2, columns // parts // 2, width)
        data[first:last] = pairs.transpose(0, 2, 1, 3, 4).tobytes()
        changed = True
    if changed:
        with atomic_writer(path, binary=True) as stream:
            stream.write(data)
