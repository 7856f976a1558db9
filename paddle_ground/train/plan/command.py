"""The `plan` command: a YAML and a machine in, memory, hours and a verdict out.

Takes flags; prints. Everything that computes is in `verdict` and below.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def plan_command(
    config: Annotated[Path, typer.Argument(help="A training YAML.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, in the YAML's own keys.")] = None,
    gpus: Annotated[int, typer.Option(min=1, help="How many GPUs.")] = 8,
    gpu_memory: Annotated[float, typer.Option(help="Memory of one, in GiB.")] = 80.0,
    utilisation: Annotated[float, typer.Option(help="Share of the peak that training reaches.")] = 0.4,
    peak_tflops: Annotated[
        float, typer.Option(help="Peak of one GPU; the default is H100's and H200's, bf16, dense.")
    ] = 989.0,
    reserve: Annotated[float, typer.Option(help="GiB of each GPU for what is not counted.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what a training will take: memory a GPU, steps, hours, and whether it fits.

    Computed, not measured (docs/plan.md has the formulas). Where it does not fit, the changes that make it
    fit, the cheapest first. Exit code 1: it does not fit, or the YAML contradicts itself.

    \b
    Examples:
      paddle-ground plan configs/qwen3_vl/8b_sft_tp4.yaml
      paddle-ground plan configs/qwen3_vl/2b_sft.yaml --gpus 1 --gpu-memory 24
      paddle-ground plan configs/qwen3_vl/4b_sft_tp2.yaml max_seq_len=4096 --json
    """
    from paddle_ground.train.config import load_config
    from paddle_ground.train.plan.report import render, to_json
    from paddle_ground.train.plan.verdict import Machine, make_plan

    machine = Machine(gpus, gpu_memory, utilisation, peak_tflops, reserve)
    plan = make_plan(load_config(config, overrides or ()), machine)
    text = json.dumps(to_json(plan), ensure_ascii=False, indent=2) if as_json else render(plan)
    typer.echo(text)
    if not plan.fits or any(finding.is_error for finding in plan.findings):
        raise typer.Exit(1)
