"""From the keys of a training YAML to what the formulas need.

Takes a `TrainConfig` and the data's lengths; gives a `Setup` for memory and a `Schedule` for time.
PaddleFormers' defaults stand in where the YAML says nothing. Knows no formula.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from paddle_ground.backend.settings import is_lora, sharding_of
from paddle_ground.data.check.padding import measure_padding
from paddle_ground.errors import ConfigError
from paddle_ground.train.config import TrainConfig
from paddle_ground.train.plan.data_lengths import DataLengths
from paddle_ground.train.plan.memory import Setup
from paddle_ground.train.plan.model_size import ModelSize

_STOCK_SEQ_LEN, _STOCK_BATCH, _STOCK_RANK = 4096, 8, 8
_PARTS = {"freeze_vision": "vision", "freeze_aligner": "aligner", "freeze_llm": "llm"}


@dataclass(frozen=True, slots=True)
class Schedule:
    """How much a run computes.

    Attributes:
        steps: Optimizer steps; None where neither `max_steps` nor the data says so.
        rows_a_step: Rows of all GPUs and micro batches.
        tokens_a_row: Padding included, since it is computed as well.
        context: Tokens that a token attends among, averaged: its own sample's.
        image_share: Share of tokens that are visual.
        epochs: Passes over the data; None where the data is unknown.
    """

    steps: int | None
    rows_a_step: int
    tokens_a_row: float
    context: float
    image_share: float
    epochs: float | None


def number(values: Mapping[str, Any], key: str, default: int) -> int:
    """Read a whole number; absent, empty and negative ones, and 0, give the default.

    Raises:
        ConfigError: It is no number.
    """
    read = whole(values, key, default)
    return read if read > 0 else default


def whole(values: Mapping[str, Any], key: str, default: int) -> int:
    """Read a whole number, 0 and negative ones as well.

    Raises:
        ConfigError: It is no number.
    """
    value = values.get(key)
    try:
        return int(value) if value not in (None, "") else default
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"`{key}` is {value!r}; expected a whole number") from None


def _epochs(values: Mapping[str, Any]) -> float:
    value = values.get("num_train_epochs") or 1
    try:
        read = float(value)
    except (TypeError, ValueError):
        read = math.nan
    if not math.isfinite(read):
        raise ConfigError(f"`num_train_epochs` is {value!r}; expected a number")
    return read


def max_seq_len(values: Mapping[str, Any]) -> int:
    """Read the longest row."""
    return number(values, "max_seq_len", _STOCK_SEQ_LEN)


def recomputes(values: Mapping[str, Any]) -> bool:
    """Tell whether PaddleFormers' native Qwen3-VL recomputes its layers: it looks at all three keys."""
    return (
        values.get("recompute_granularity") == "full"
        and values.get("recompute_method") == "uniform"
        and values.get("recompute_num_layers") == 1
    )


def is_half(values: Mapping[str, Any]) -> bool:
    """Tell whether a run computes in 2 bytes; `compute_type` decides, whatever `bf16` says."""
    return str(values.get("compute_type", "bf16")) != "float32"


def parallel(values: Mapping[str, Any], gpus: int) -> tuple[int, int]:
    """Give how many GPUs share one model, and how many of these groups there are.

    Raises:
        ConfigError: The GPUs cannot be parted so, or pipelines are asked for, which no formula here knows.
    """
    if gpus == 1:
        return 1, 1  # PaddleFormers drops every parallel degree then.
    if number(values, "pipeline_model_parallel_size", 1) > 1:
        raise ConfigError(
            "`pipeline_model_parallel_size` is above 1, which plan cannot compute; use tensor parallelism"
        )
    degree = number(values, "tensor_model_parallel_size", 1)
    groups = degree * number(values, "sep_parallel_size", 1)
    if gpus % groups:
        raise ConfigError(
            f"{gpus} GPUs cannot be parted into groups of {groups} (`tensor_model_parallel_size` {degree}); "
            f"use a multiple of {groups}"
        )
    return degree, gpus // groups


def read_setup(config: TrainConfig, model: ModelSize, data: DataLengths, gpus: int, buffer: int = 0) -> Setup:
    """Read what decides about memory.

    Raises:
        ConfigError: A value is no number, or the GPUs cannot be parted so.
    """
    values = config.values
    degree, groups = parallel(values, gpus)
    rows = number(values, "per_device_train_batch_size", _STOCK_BATCH)
    row = max_seq_len(values)
    kept = data.kept(row)
    if not values.get("packing") and len(kept):
        row = int(kept.max())  # Padded to the longest of a batch.
    stage = _stage(values) if gpus > 1 else 0
    asked = number(values, "sharding_parallel_size", groups)
    freeze = str(values.get("freeze_config") or "")
    half = is_half(values)
    visual = rows * row * data.image_share()
    return Setup(
        tokens=rows * row,
        row=row,
        patches=math.ceil(visual) * model.merge**2,
        tensor_parallel=degree,
        sequence_parallel=bool(values.get("sequence_parallel")) and degree > 1,
        sharding_stage=stage,
        sharding_degree=min(groups, asked) if stage else 1,
        recompute=recomputes(values),
        attention=str(values.get("_attn_implementation") or "flashmask"),
        frozen=frozenset(part for key, part in _PARTS.items() if key in freeze),
        lora_rank=number(values, "lora_rank", _STOCK_RANK) if is_lora(values) else 0,
        lora_targets=_checkpoint_names(config.grounding.lora_targets),
        half=half,
        half_weights=half and str(values.get("fp16_opt_level", "O1")) == "O2",
        main_gradients=half and bool(values.get("amp_master_grad", True)),
        accumulates=number(values, "gradient_accumulation_steps", 1) > 1,
        buffer=buffer,
    )


def _checkpoint_names(targets: tuple[str, ...]) -> tuple[str, ...]:
    """Name layers as a checkpoint does, which keeps apart what PaddleFormers fuses."""
    apart = {"up_gate_proj": ("up_proj", "gate_proj"), "qkv_proj": ("q_proj", "k_proj", "v_proj")}
    return tuple(name for target in targets for name in apart.get(target, (target,)))


def read_schedule(config: TrainConfig, data: DataLengths, gpus: int) -> Schedule:
    """Read how much a run computes.

    Raises:
        ConfigError: As `read_setup`.
    """
    values, longest = config.values, max_seq_len(config.values)
    _, groups = parallel(values, gpus)
    batch = number(values, "per_device_train_batch_size", _STOCK_BATCH)
    rows_a_step = batch * number(values, "gradient_accumulation_steps", 1) * groups
    steps = number(values, "max_steps", 0) or None
    kept = data.kept(longest)
    padding = measure_padding(kept, longest, batch) if len(kept) else None
    if padding is None:
        return Schedule(steps, rows_a_step, longest, longest, data.image_share(), None)
    mean = float(kept.mean())
    samples = data.samples * len(kept) / len(data.lengths)
    packed = bool(values.get("packing"))
    rows = samples / padding.samples_a_pack if packed else samples
    tokens_a_row = float(longest) if packed else mean / (1 - padding.unpacked)
    steps = steps or max(1, math.ceil(_epochs(values) * rows / rows_a_step))
    context = float((kept.astype(np.float64) ** 2).sum() / kept.sum())
    fill = 1 - (padding.packed if packed else padding.unpacked)
    return Schedule(
        steps, rows_a_step, tokens_a_row, context, data.image_share() * fill, steps * rows_a_step / rows
    )


def _stage(values: Mapping[str, Any]) -> int:
    text = sharding_of(values)
    return next((stage for stage in (3, 2, 1) if f"stage{stage}" in text), 0)
