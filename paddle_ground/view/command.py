"""The `draw` command: predictions and truth in, PNG pictures out.

Takes flags, prints where the pictures are. Everything else is done by `run`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def draw_command(
    predictions: Annotated[Path, typer.Argument(help="predictions.jsonl, as `predict` writes it.")],
    samples: Annotated[Path, typer.Argument(help="The samples that were predicted, or their .truth.json.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the pictures.")] = Path(
        "pictures"
    ),
    limit: Annotated[int, typer.Option(min=0, help="How many to draw; 0 for all.")] = 16,
) -> None:
    """Draw truth beside prediction.

    A picture for each prediction, and one sheet of the first ones.

    \b
    Examples:
      paddle-ground draw runs/demo/predictions.jsonl data/coco/val.jsonl -o runs/demo/pictures
    """
    from paddle_ground.records import truth_path
    from paddle_ground.view.run import draw_predictions

    truth = truth_path(samples) if samples.suffix == ".jsonl" else samples
    report = draw_predictions(predictions, truth, output, limit or None)
    typer.echo(f"{len(report.pictures)} pictures in {output}; the first on one sheet: {report.contact_sheet}")
