"""The `curves` command: a run folder in, one picture of its log out.

Takes flags; prints. What reads and draws is in `curves`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def curves_command(
    run: Annotated[Path, typer.Argument(help="A run folder: the training's output_dir.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The picture; curves.png of the run folder.")
    ] = None,
    half_life: Annotated[
        float, typer.Option(min=0.1, help="Smoothing: so many logged steps back, a loss counts half.")
    ] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers instead.")] = False,
) -> None:
    """Draw what a training logged.

    Training and validation loss, smoothed; grounding metrics; gradient norm; learning rate; tokens a second.
    The same numbers are in VisualDL: `visualdl --logdir RUN/visualdl`. Works while the training goes on.

    \b
    Examples:
      paddle-ground curves runs/demo/train
      paddle-ground curves runs/first --half-life 50 -o loss.png
      paddle-ground curves runs/first --json
    """
    from paddle_ground.train.curves import PICTURE, draw_curves, read_curves, to_json

    found = read_curves(run)
    if as_json:
        typer.echo(to_json(found))
        return
    picture = draw_curves(found, output or run / PICTURE, half_life)
    steps = found.get("loss").steps
    typer.echo(f"{len(steps)} logged steps, up to step {max(steps, default=0)}; wrote {picture}")
