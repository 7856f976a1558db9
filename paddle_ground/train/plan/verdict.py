"""Does a run fit, and what would make it fit?

Takes a checked training YAML and a `Machine`; gives a `Plan`: memory by part, time, a verdict, and where it
does not fit the changes that help, the cheapest first. A change is a set of the YAML's own keys, planned
again like any other YAML. Knows no formula.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from paddle_ground.backend.settings import is_lora
from paddle_ground.errors import ConfigError
from paddle_ground.train.config import TrainConfig
from paddle_ground.train.lint import Finding, lint
from paddle_ground.train.plan.data_lengths import DataLengths
from paddle_ground.train.plan.duration import Duration, duration
from paddle_ground.train.plan.memory import GIB, Memory, Setup, step_memory, trainable_numbers
from paddle_ground.train.plan.mixture import measure_epoch
from paddle_ground.train.plan.model_size import ModelSize, model_size
from paddle_ground.train.plan.settings import (
    Schedule,
    max_seq_len,
    number,
    parallel,
    read_schedule,
    read_setup,
    recomputes,
)

_ROW_STEP, _SHORTEST_ROW = 256, 512


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run is to be planned for.

    Attributes:
        gpus: How many.
        gpu_memory: Of one, in GiB.
        utilisation: Share of `peak_tflops` that is reached, 0..1.
        peak_tflops: Of one GPU, dense; 989 is H100's and H200's in bf16 (NVIDIA's data sheets).
        reserve: GiB of each GPU for what is not counted.
    """

    gpus: int = 8
    gpu_memory: float = 80.0
    utilisation: float = 0.4
    peak_tflops: float = 989.0
    reserve: float = 2.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: One is broken.
        """
        for name in ("gpus", "gpu_memory", "peak_tflops"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected a number above 0")
        if not 0 < self.utilisation <= 1:
            raise ConfigError(f"utilisation is {self.utilisation}; expected a share, above 0 and up to 1")
        if not 0 <= self.reserve < math.inf:
            raise ConfigError(f"reserve is {self.reserve}; expected a number of GiB, 0 or more")


@dataclass(frozen=True, slots=True)
class Change:
    """Keys that make a run smaller.

    Attributes:
        what: For a reader.
        overrides: The YAML's keys with their new values.
        peak: Predicted bytes on one GPU with them.
    """

    what: str
    overrides: Mapping[str, Any]
    peak: float


@dataclass(frozen=True)
class Plan:
    """All that is known before the run.

    Attributes:
        config: What was planned.
        machine: What for.
        model: Its size.
        data: Token counts.
        setup: What memory was computed from.
        schedule: What time was computed from.
        memory: Bytes on one GPU.
        time: Steps, operations and hours.
        findings: Of the lint.
        changes: Where it does not fit: what would, the cheapest first.
    """

    config: TrainConfig
    machine: Machine
    model: ModelSize
    data: DataLengths
    setup: Setup
    schedule: Schedule
    memory: Memory
    time: Duration
    findings: tuple[Finding, ...]
    changes: tuple[Change, ...]

    @property
    def fits(self) -> bool:
        """Whether one GPU holds it."""
        return self.memory.total <= self.machine.gpu_memory * GIB

    @property
    def trainable(self) -> int:
        """Numbers that learn, in the whole model."""
        return trainable_numbers(self.model, replace(self.setup, tensor_parallel=1))


def make_plan(config: TrainConfig, machine: Machine, data: DataLengths | None = None) -> Plan:
    """Plan a run.

    Args:
        config: The checked YAML.
        machine: GPUs.
        data: Token counts; None measures them.

    Raises:
        ConfigError: The GPUs cannot be parted as the YAML asks, or no model is named.
        ModelError: The model is neither a folder nor a published name.
        RecordError: A line of the data is wrong.
    """
    name = str(config.values.get("model_name_or_path") or "")
    if not name:
        raise ConfigError(f"{config.path}: model_name_or_path is missing; name a model folder")
    model = model_size(name)
    longest = max_seq_len(config.values)
    if data is None:
        ours = config.grounding
        data = measure_epoch(config.values, name, longest, ours.image_max_pixels, ours.image_min_pixels)
    setup = read_setup(config, model, data, machine.gpus, round(machine.reserve * GIB))
    schedule = read_schedule(config, data, machine.gpus)
    memory = step_memory(model, setup)
    time = duration(model, setup, schedule, machine.gpus, machine.utilisation, machine.peak_tflops)
    findings = (*lint(config, key_value_heads=model.key_value_heads), *too_short(longest, data))
    plan = Plan(config, machine, model, data, setup, schedule, memory, time, findings, ())
    return plan if plan.fits else replace(plan, changes=tuple(_changes(plan)))


def too_short(longest: int, data: DataLengths) -> Iterator[Finding]:
    """Tell where more than one sample of a hundred is longer than a row.

    Args:
        longest: `max_seq_len`.
        data: Token counts.
    """
    most = data.percentile(99)
    if most > longest:
        share = float((data.lengths > longest).mean())
        about = "" if data.measured else "about "
        yield Finding(
            "max_seq_len",
            f"{longest} is below the data's 99th percentile ({about}{most} tokens): {share:.1%} of the "
            f"samples would be skipped; set it to {most} or more",
            is_error=False,
        )


def _changes(plan: Plan) -> Iterator[Change]:
    """Yield each single change that makes it fit; where none does, the first ones together that do."""
    tried = []
    found = False
    for what, overrides in _candidates(plan):
        peak = _peak(plan, overrides)
        if peak is None:
            continue
        tried.append((what, overrides))
        if peak <= plan.machine.gpu_memory * GIB:
            found = True
            yield Change(what, overrides, peak)
    shorter = _shorter_rows(plan)
    if shorter is not None:
        found = True
        yield shorter
    if not found:
        yield from _together(plan, tried)


def _together(plan: Plan, tried: list[tuple[str, Mapping[str, Any]]]) -> Iterator[Change]:
    names: dict[str, str] = {}
    merged: dict[str, Any] = {}
    for what, overrides in tried:
        together = {**merged, **overrides}
        peak = _peak(plan, together)
        if peak is None:
            continue
        merged = together
        names[" ".join(overrides)] = what  # A later one replaces a weaker one of the same keys.
        if peak <= plan.machine.gpu_memory * GIB:
            yield Change(" + ".join(names.values()), merged, peak)
            return
        rows = _shorter_rows(plan, merged)
        if rows is not None:
            yield Change(" + ".join([*names.values(), rows.what]), {**merged, **rows.overrides}, rows.peak)
            return


def _candidates(plan: Plan) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield changes, what costs least first: nothing, some time, some communication, other results."""
    values = plan.config.values
    if plan.setup.attention != "flashmask":
        keys = {"_attn_implementation": "flashmask", "use_attn_mask_startend_row_indices": True}
        yield "flashmask attention (nothing lost)", keys
    batch = number(values, "per_device_train_batch_size", 8)
    if batch > 1:
        more = number(values, "gradient_accumulation_steps", 1) * batch
        small = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": more}
        yield "one row at a time, gradients added up (the same step)", small
    if not recomputes(values):
        keys = {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
        yield "recompute (the layers run forward twice: about a third more time)", keys
    degree, groups = parallel(values, plan.machine.gpus)
    for stage in range(plan.setup.sharding_stage + 1, 4 if degree == 1 else 3):
        if groups > 1:
            yield f"sharding stage {stage} over {groups} GPUs (more communication)", {
                "sharding": f"stage{stage}", "sharding_parallel_size": groups,
            }  # fmt: skip
    for wider in (2, 4, 8):
        fits_heads = plan.model.key_value_heads % wider == 0
        if wider > degree and plan.machine.gpus % wider == 0 and fits_heads:
            yield f"tensor parallel over {wider} GPUs (more communication, fewer rows at once)", {
                "tensor_model_parallel_size": wider, "sharding_parallel_size": None,
            }  # fmt: skip
    if not is_lora(values):
        yield "LoRA (adapters learn instead of weights)", {"fine_tuning": "LoRA", "lora_rank": 8}


def _shorter_rows(plan: Plan, also: Mapping[str, Any] | None = None) -> Change | None:
    """Find the longest row that fits and still holds 99 of 100 samples."""
    least = max(_SHORTEST_ROW, plan.data.percentile(99))
    longest = max_seq_len(plan.config.values)
    rows = range((longest - 1) // _ROW_STEP * _ROW_STEP, least - 1, -_ROW_STEP)

    def peak(row: int) -> float | None:
        return _peak(plan, {**(also or {}), "max_seq_len": row})

    def fits(row: int) -> bool:
        found = peak(row)
        return found is not None and found <= plan.machine.gpu_memory * GIB

    # A shorter row never takes more.
    place = bisect.bisect_left(rows, True, key=fits)
    if place == len(rows):
        return None
    found = peak(rows[place])
    assert found is not None
    return Change(
        f"rows of {rows[place]} tokens (longer samples are skipped)", {"max_seq_len": rows[place]}, found
    )


def _peak(plan: Plan, overrides: Mapping[str, Any]) -> float | None:
    """Predict the peak with other keys; None where they contradict the others."""
    config = replace(plan.config, values={**plan.config.values, **overrides})
    # What is wrong already is told already; a change of memory would not mend it.
    known = lint(config, key_value_heads=plan.model.key_value_heads)
    if any(one.is_error and one not in plan.findings for one in known):
        return None
    try:
        setup = read_setup(config, plan.model, plan.data, plan.machine.gpus, plan.setup.buffer)
    except ConfigError:
        return None
    return step_memory(plan.model, setup).total
