"""`paddle-ground export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export_command(
    run: Annotated[Path, typer.Argument(help="A training's output_dir, its `best`, or a model folder.")],
    out: Annotated[Path, typer.Argument(help="The new folder.")],
    base: Annotated[Path | None, typer.Option(help="A LoRA run's base model, if it has moved.")] = None,
    max_shard_size: Annotated[str, typer.Option(help="Largest weight file: 5GB, 500MB, 2GiB.")] = "5GB",
    dtype: Annotated[str, typer.Option(help="keep, float32, bfloat16 or float16.")] = "keep",
    metrics: Annotated[Path | None, typer.Option(help="eval's metrics.json, for the model card.")] = None,
) -> None:
    """Make a run's model one that others load: LoRA merged, sharded safetensors, model card.

    The folder is in Hugging Face's layout: transformers, vLLM and SGLang read it, and so does paddle-ground.

    \b
    Examples:
      paddle-ground export runs/first exported/my-model --dtype bfloat16
      paddle-ground export runs/lora exported/my-model --metrics runs/lora/eval/metrics.json
    """
    from paddle_ground.export.write import ExportOptions, export

    report = export(ExportOptions(run, out, base, max_shard_size, dtype, metrics))
    what = "adapter merged into its base" if report.merged else "whole model"
    files = f"{len(report.weight_files)} weight file{'s' * (len(report.weight_files) > 1)}"
    typer.echo(f"{what}: {files}, {report.total_bytes / 1e6:.1f} MB; wrote {report.out}")
