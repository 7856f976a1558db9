"""What a form's training would take, as HTML: memory by part, time, verdict, contradictions.

Takes a configuration and GPUs; gives `paddle-ground plan`'s own figures. Samples are measured once, and again
only when a file of them changes. Knows no form.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from paddle_ground.errors import PaddleGroundError
from paddle_ground.train.config import TrainConfig
from paddle_ground.train.lint import Finding, lint
from paddle_ground.train.plan.data_lengths import DataLengths
from paddle_ground.train.plan.memory import GIB
from paddle_ground.train.plan.mixture import measure_epoch
from paddle_ground.train.plan.report import overrides_text
from paddle_ground.train.plan.verdict import Machine, Plan, make_plan

Word = Callable[[str], str]
_MIXING = (
    "train_dataset_path", "train_dataset_prob", "train_dataset_type", "mix_strategy", "seed",
    "num_samples_each_epoch",
)  # fmt: skip
"""Keys that decide which samples an epoch holds."""


def plan_of(config: TrainConfig, gpus: int, gpu_memory: float) -> Plan:
    """Plan a run, on this machine's memory where it is to run on a CPU.

    Args:
        config: The YAML as the form has it.
        gpus: How many.
        gpu_memory: Of one, in GiB.

    Raises:
        PaddleGroundError: As `make_plan`.
    """
    if config.on_cpu():
        processes = _processes(config)
        machine = Machine(processes, machine_memory() / GIB / processes, reserve=0.0)
    else:
        machine = Machine(gpus, gpu_memory)
    return make_plan(config, machine, _lengths(config))


def _processes(config: TrainConfig) -> int:
    try:
        return config.processes()
    except (TypeError, ValueError):  # A degree that is no number: the lint tells.
        return 1


def machine_memory() -> float:
    """Give the bytes of memory of this machine."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _lengths(config: TrainConfig) -> DataLengths:
    named = str(config.values.get("train_dataset_path") or "").split(",")
    marks = []
    for part in named:
        path = Path(part.strip().partition("#")[0])
        try:
            found = path.stat()
            marks.append((str(path), found.st_mtime_ns, found.st_size))
        except OSError:
            continue
    model = str(config.values.get("model_name_or_path") or "")
    mixing = tuple((key, _plain(config.values[key])) for key in _MIXING if key in config.values)
    ours = config.grounding
    return _measured(tuple(marks), mixing, model, ours.image_max_pixels, ours.image_min_pixels)


def _plain(value: Any) -> str | int | float | None:
    """Give what can be kept by; a list or a mapping, which none of these keys takes, as its text."""
    return value if isinstance(value, str | int | float | None) else str(value)


@lru_cache(maxsize=32)
def _measured(
    marks: tuple[tuple[str, int, int], ...],
    mixing: tuple[tuple[str, str | int | float | None], ...],
    model: str,
    max_pixels: int | None,
    min_pixels: int | None,
) -> DataLengths:
    # Lengths are of whole samples, whatever fits a row; the limit is not theirs. Marks tell new files apart.
    return measure_epoch(dict(mixing), model, 1 << 20, max_pixels, min_pixels)


def plan_html(config: TrainConfig, gpus: int, gpu_memory: float, word: Word) -> tuple[str, Plan | None]:
    """Write a plan for the page.

    Args:
        config: The YAML as the form has it.
        gpus: How many.
        gpu_memory: Of one, in GiB.
        word: Key -> words, of the keys `plan_...`.

    Returns:
        HTML, and the plan; what can't be planned is told in the HTML, with the contradictions that are known
        without a plan.
    """
    try:
        plan = plan_of(config, gpus, gpu_memory)
    except PaddleGroundError as error:
        told = [f'<p class="finding bad">{escape(str(error))}</p>', *_findings(lint(config), word)]
        return f'<div class="plan">{"".join(told)}</div>', None
    on_cpu = config.on_cpu()
    parts = [
        *_verdict(plan, on_cpu, word), *_findings(plan.findings, word), *_memory(plan, word),
        *_figures(plan, on_cpu, word), *_changes(plan, word),
        f'<p class="small">{escape(word("plan_note"))}</p>',
    ]  # fmt: skip
    return f'<div class="plan">{"".join(parts)}</div>', plan


def _verdict(plan: Plan, on_cpu: bool, word: Word) -> Iterator[str]:
    total, limit = plan.memory.total, plan.machine.gpu_memory * GIB
    style, said = ("good", "plan_fits") if plan.fits else ("bad", "plan_too_much")
    of = word("plan_a_process" if on_cpu else "plan_a_gpu")
    sizes = f"{_size(total)} / {_size(limit)}"
    yield f'<p class="verdict {style}"><b>{escape(word(said))}</b> {sizes} {escape(of)}</p>'
    whole = max(total, limit)
    bars = "".join(
        f'<i class="m{place}" style="width:{share:.3f}%" title="{escape(word(f"plan_{name}"))}"></i>'
        for place, (name, size) in enumerate(_parts(plan))
        if (share := size / whole * 100) > 0.01
    )
    yield f'<div class="bar {style}">{bars}</div>'


def _parts(plan: Plan) -> list[tuple[str, float]]:
    return [(field.name, float(getattr(plan.memory, field.name))) for field in fields(plan.memory)]


def _size(size: float) -> str:
    return f"{size / GIB:.2f} GiB" if size >= GIB / 10 else f"{size / GIB * 1024:.1f} MiB"


def _count(number: int) -> str:
    return f"{number / 1e9:.2f} B" if number >= 10**9 else f"{number / 1e6:.2f} M"


def _memory(plan: Plan, word: Word) -> Iterator[str]:
    rows = "".join(
        f'<tr><td><i class="m{place}"></i>{escape(word(f"plan_{name}"))}</td><td>{_size(size)}</td></tr>'
        for place, (name, size) in enumerate(_parts(plan))
        if size
    )
    yield f"<table>{rows}</table>"


def _figures(plan: Plan, on_cpu: bool, word: Word) -> Iterator[str]:
    steps = plan.time.steps
    epochs = plan.schedule.epochs
    samples = f"{plan.data.samples:,}; {plan.data.percentile(99):,}"
    figures = [
        (word("plan_trainable"), f"{_count(plan.trainable)} / {_count(plan.model.count())}"),
        (
            word("plan_steps"),
            ("?" if steps is None else f"{steps:,}") + (f" = {epochs:.2f}" if epochs else ""),
        ),
        (word("plan_tokens"), f"{plan.time.tokens_a_step:,.0f}"),
        (word("plan_samples"), samples if plan.data.samples else escape(word("plan_no_data"))),
    ]
    if not on_cpu and plan.time.hours is not None:
        figures.append((word("plan_hours"), f"{plan.time.hours:.2f}"))
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{value}</td></tr>" for name, value in figures)
    yield f"<table>{rows}</table>"


def _findings(findings: tuple[Finding, ...], word: Word) -> Iterator[str]:
    for one in findings:
        style, said = ("bad", "plan_error") if one.is_error else ("warn", "plan_warning")
        yield f'<p class="finding {style}"><b>{escape(word(said))}</b> {escape(str(one))}</p>'


def _changes(plan: Plan, word: Word) -> Iterator[str]:
    if plan.fits:
        return
    yield f"<p>{escape(word('plan_changes' if plan.changes else 'plan_no_change'))}</p>"
    rows = "".join(
        f"<li>{escape(change.what)}: {change.peak / GIB:.1f} GiB<br>"
        f"<code>{escape(overrides_text(change))}</code></li>"
        for change in plan.changes
    )
    yield f"<ol>{rows}</ol>"
