"""The `convert` command: prepared data in, another format out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paddle_ground.data import flags
from paddle_ground.errors import ConfigError

if TYPE_CHECKING:
    from paddle_ground.data.writers import ConvertReport
    from paddle_ground.data.writers.respoken import Speaking


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
    model_family: flags.WhichFamily = None,
    for_model: flags.ForModel = None,
    image_min_pixels: flags.ImageMinPixels = None,
    image_max_pixels: flags.ImageMaxPixels = None,
) -> None:
    """Write prepared data in another format: any format in, any out.

    What the format can't hold (crowds, areas, phrases ...) is left out, counted and said. With a model
    family (or a model's folder) samples --to paddle get their boxes in that model's numbers.

    \b
    Examples:
      paddle-ground convert data/coco data/coco_yolo --to yolo
      paddle-ground convert data/coco data/coco_swift --to swift
      paddle-ground convert data/coco LLaMA-Factory/data --to llamafactory --name coco
      paddle-ground convert data/coco data/coco_2_5 --to paddle --model-family qwen2_5_vl
    """
    from paddle_ground.data.bar import Bar
    from paddle_ground.data.writers import convert

    limits = (image_min_pixels, image_max_pixels)
    speaking = _speaking(model_family, for_model, limits)
    with Bar("convert") as bar:
        report = convert(prepared, output, to, link=not copy, name=name, progress=bar.show, speaking=speaking)
    for line in describe_converted(report):
        typer.echo(line)


def _speaking(
    family: str | None, model: Path | None, limits: tuple[int | None, int | None]
) -> Speaking | None:
    if family is None and model is None:
        if limits != (None, None):
            raise ConfigError("limits of images matter to a model's numbers only; name a --model-family too")
        return None
    from paddle_ground.data.speaking import chosen_family, chosen_space
    from paddle_ground.data.writers.respoken import Speaking

    return Speaking(chosen_family(family, model).model_type, chosen_space(family, model, limits))


def describe_converted(report: ConvertReport) -> list[str]:
    """Word what was written and what was left out, a line each."""
    counts = [f"{kind}: {number}" for kind, number in report.counts.items()]
    return [*counts, f"written: {report.output_dir}"]
