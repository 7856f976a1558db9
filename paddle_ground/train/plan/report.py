"""A plan as text for a terminal, and as JSON.

Takes a `Plan`; gives text or plain values. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

from paddle_ground.train.plan.memory import GIB, Setup
from paddle_ground.train.plan.verdict import Change, Plan

_NOTES = {
    "weights": "trained and frozen",
    "gradients": "at the peak of the step",
    "optimizer": "AdamW: float32 weights, two moments",
    "activations": "kept for the backward pass",
    "logits": "with their float32 copies and gradient",
    "vision": "patches, features, the tower where it learns",
    "buffer": "assumed: CUDA, communication, fragmentation",
}


def render(plan: Plan) -> str:
    """Write a plan for a reader."""
    return "\n".join(_lines(plan))


def to_json(plan: Plan) -> dict[str, Any]:
    """Give a plan as plain values; memory in bytes, `peak_gib` besides."""
    setup = {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in asdict(plan.setup).items()
    }
    return {
        "config": str(plan.config.path),
        "model": plan.model.name,
        "machine": asdict(plan.machine),
        "parameters": {"total": plan.model.count(), "trainable": plan.trainable},
        "setup": setup,
        "memory": {field.name: round(getattr(plan.memory, field.name)) for field in fields(plan.memory)},
        "peak_gib": plan.memory.total / GIB,
        "fits": plan.fits,
        "data": {"samples": plan.data.samples, "how": plan.data.how, "p99_tokens": plan.data.percentile(99)},
        "schedule": asdict(plan.schedule),
        "time": asdict(plan.time),
        "findings": [asdict(finding) for finding in plan.findings],
        "changes": [
            {"what": one.what, "overrides": dict(one.overrides), "peak_gib": one.peak / GIB}
            for one in plan.changes
        ],
    }


def _lines(plan: Plan) -> Iterator[str]:
    machine, total = plan.machine, plan.model.count()
    gpus = "1 GPU" if machine.gpus == 1 else f"{machine.gpus} GPUs"
    yield f"{plan.config.path}: {plan.model.name} on {gpus} of {machine.gpu_memory:g} GiB"
    added = f"LoRA of rank {plan.setup.lora_rank}" if plan.setup.lora_rank else "trainable"
    frozen = total if plan.setup.lora_rank else total - plan.trainable
    yield f"Parameters: {total:,}; {plan.trainable:,} {added}, {frozen:,} frozen"
    yield f"Each GPU:   {_how(plan.setup)}"
    yield f"Data:       {plan.data.how}{_spread(plan)}"
    yield ""
    yield "Memory of one GPU at the peak of a step, GiB"
    for field in fields(plan.memory):
        size = getattr(plan.memory, field.name) / GIB
        yield f"  {field.name:<12}{size:8.2f}  {_NOTES[field.name]}"
    yield f"  {'total':<12}{plan.memory.total / GIB:8.2f}"
    yield ""
    yield from _time(plan)
    yield ""
    yield from _verdict(plan)
    for finding in plan.findings:
        yield f"{'ERROR' if finding.is_error else 'warning'}: {finding}"


def _how(setup: Setup) -> str:
    parts = [f"{setup.tokens // setup.row} x {setup.row} tokens", setup.attention]
    parts.append("recompute" if setup.recompute else "no recompute")
    parts.append(f"tensor parallel {setup.tensor_parallel}")
    if setup.sharding_stage:
        parts.append(f"sharding stage {setup.sharding_stage} over {setup.sharding_degree}")
    return ", ".join(parts)


def _spread(plan: Plan) -> str:
    if not len(plan.data.lengths):
        return ""
    values = [plan.data.percentile(percent) for percent in (50, 99, 100)]
    return "; {} tokens in the middle, 99 % up to {}, longest {}".format(*values)


def _time(plan: Plan) -> Iterator[str]:
    time, machine = plan.time, plan.machine
    yield (
        f"A step: {time.tokens_a_step:,.0f} tokens, {time.flops_a_step / 1e15:,.2f} PFLOP, "
        f"{time.seconds_a_step:.1f} s ({time.tokens_a_second:,.0f} tokens/s a GPU)"
    )
    stated = f"at {machine.utilisation:.0%} of {machine.peak_tflops:g} TFLOP/s a GPU (stated, not measured)"
    if time.hours is None or time.steps is None:
        yield f"The run: steps unknown; set max_steps or prepare the data; {stated}"
        return
    epochs = "" if plan.schedule.epochs is None else f" = {plan.schedule.epochs:.2f} epochs"
    tokens = time.steps * time.tokens_a_step
    yield f"The run: {time.steps} steps{epochs}, {tokens:,.0f} tokens, {time.hours:.2f} hours {stated}"


def _verdict(plan: Plan) -> Iterator[str]:
    left = plan.machine.gpu_memory - plan.memory.total / GIB
    if plan.fits:
        yield f"It fits: {left:.1f} GiB of {plan.machine.gpu_memory:g} are left."
    else:
        yield f"It does not fit: {-left:.1f} GiB too much."
        if plan.changes:
            yield "What makes it fit, the cheapest first:"
        else:
            yield "No change that plan knows makes it fit: use more or larger GPUs, or a smaller model."
    for number, change in enumerate(plan.changes, 1):
        yield f"  {number}. {change.what}: {change.peak / GIB:.1f} GiB"
        yield f"     {overrides_text(change)}"


def overrides_text(change: Change) -> str:
    """Write a change as the `key=value` words that `train` and `plan` take."""
    return " ".join(f"{key}={_value(value)}" for key, value in _sorted(change.overrides).items())


def _sorted(overrides: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(overrides.items()))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "-1" if value is None else str(value)
