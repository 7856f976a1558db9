"""The `report` command: predictions and truth in, one HTML page out.

Takes flags, finds the truth, prints where the page is. Everything else is done by `run`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paddle_ground.errors import EvaluationError


def report_command(
    predictions: Annotated[Path, typer.Argument(help="predictions.jsonl, as `predict` writes it.")],
    truth: Annotated[
        Path,
        typer.Option(
            metavar="DATA", help="The samples that were predicted, their .truth.json, or its folder."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for index.html.")] = Path("report"),
    before: Annotated[
        Path | None, typer.Option(metavar="PREDICTIONS", help="Another model's, to show what changed.")
    ] = None,
    only_predicted: Annotated[
        bool,
        typer.Option(
            "--only-predicted", help="After `predict --limit`: leave out images without a prediction."
        ),
    ] = False,
    iou: Annotated[float, typer.Option(help="IoU from which on a box counts as found.")] = 0.5,
    resamples: Annotated[int, typer.Option(min=1, help="Drawings of the bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    max_images: Annotated[
        int, typer.Option(min=1, help="In the gallery; of a larger set they are drawn evenly.")
    ] = 5000,
) -> None:
    """Write one HTML page that shows how good predictions are, and where they go wrong.

    It opens from disk and loads nothing: metrics with intervals, curves, classes, confusion, and a gallery
    with true and predicted boxes, to be filtered by class and by kind of mistake. Always below 20 MB.

    \b
    Examples:
      paddle-ground report runs/demo/after/predictions.jsonl --truth runs/demo/data/val.jsonl
      paddle-ground report after.jsonl --before before.jsonl --truth val.truth.json --output report
    """
    from paddle_ground.view.report.run import write_report

    summary = write_report(
        predictions, _truth_of(truth), output, before,
        iou_threshold=iou, resamples=resamples, seed=seed, max_images=max_images,
        only_predicted=only_predicted,
    )  # fmt: skip
    megabytes = summary.size_bytes / 1e6
    left_out = f" of {summary.images}" if summary.shown < summary.images else ""
    typer.echo(f"{summary.path}: {megabytes:.1f} MB, {summary.shown}{left_out} images in its gallery")


def _truth_of(data: Path) -> Path:
    from paddle_ground.records import truth_path

    if not data.is_dir():
        return truth_path(data) if data.suffix == ".jsonl" else data
    found = sorted(data.glob("*.truth.json"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:5]) or "none"
        raise EvaluationError(f"{data}: {len(found)} .truth.json files in it ({names}); name the one meant")
    return found[0]
