"""The `convert` command: prepared data in, another format out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert_command(
    prepared: Annotated[Path, typer.Argument(help="The folder that `prepare` wrote.")],
    output: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    to: Annotated[str, typer.Option("--to", help="coco, yolo, swift or llamafactory.", metavar="NAME")],
    copy: Annotated[bool, typer.Option("--copy", help="Copy images even where links would do.")] = False,
) -> None:
    """Write prepared data in another format: any format in, any out.

    \b
    Examples:
      paddle-ground convert data/coco data/coco_yolo --to yolo
      paddle-ground convert data/coco data/coco_swift --to swift
    """
    from paddle_ground.data.writers import convert

    report = convert(prepared, output, to, link=not copy)
    for kind, number in report.counts.items():
        typer.echo(f"{kind}: {number}")
    typer.echo(f"written: {report.output_dir}")
