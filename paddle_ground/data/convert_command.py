"""The `convert` command: prepared data in, another format out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from paddle_ground.data.writers import ConvertReport


def convert_command(
    prepared: Annotated[Path, typer.Argument(help="The folder that `prepare` wrote.")],
    output: Annotated[
        Path, typer.Argument(help="A new or empty folder; or LLaMA-Factory's folder of data sets.")
    ],
    to: Annotated[
        str, typer.Option("--to", help="coco, yolo, swift, llamafactory or paddle.", metavar="NAME")
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", help="Of the data set among LLaMA-Factory's.  [default: the folder's name]"),
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy images even where links would do.")] = False,
) -> None:
    """Write prepared data in another format: any format in, any out.

    What the format can't hold (crowds, areas, phrases ...) is left out, counted and said.

    \b
    Examples:
      paddle-ground convert data/coco data/coco_yolo --to yolo
      paddle-ground convert data/coco data/coco_swift --to swift
      paddle-ground convert data/coco LLaMA-Factory/data --to llamafactory --name coco
    """
    from paddle_ground.data.bar import Bar
    from paddle_ground.data.writers import convert

    with Bar("convert") as bar:
        report = convert(prepared, output, to, link=not copy, name=name, progress=bar.show)
    for line in describe_converted(report):
        typer.echo(line)


def describe_converted(report: ConvertReport) -> list[str]:
    """Word what was written and what was left out, a line each."""
    counts = [f"{kind}: {number}" for kind, number in report.counts.items()]
    return [*counts, f"written: {report.output_dir}"]
