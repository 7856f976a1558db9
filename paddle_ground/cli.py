"""The command table: one short function a command, each calling one stage.

Takes the command line; gives an exit code: 0 done, 2 a usage error or an error of ours (one line on stderr;
`--debug` shows where it came from). Stages are imported by the command that needs them, so that `--help`
answers at once. Knows no stage from the inside.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from paddle_ground.errors import PaddleGroundError

app = typer.Typer(
    name="paddle-ground",
    help="Visual grounding with Qwen3-VL on PaddleFormers: prepare, train, predict, evaluate, look.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: starts in half the time, and no bracket is taken for markup
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")] = False,
) -> None:
    """Visual grounding with Qwen3-VL on PaddleFormers: prepare, train, predict, evaluate, look."""
    level = logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s")
    # A library's debug lines would bury ours.
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("paddle_ground").setLevel(level)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A training YAML, as `paddleformers-cli train` takes it.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, in the YAML's own keys.")] = None,
) -> None:
    """Check a training YAML, then train with PaddleFormers and write the run folder.

    \b
    Examples:
      paddle-ground train configs/tiny/demo.yaml
      paddle-ground train configs/qwen3_vl/sft_2b.yaml max_steps=100 output_dir=runs/first
    """
    from paddle_ground.train.launch import train as run

    report = run(config, overrides or ())
    loss = f", last loss {report.losses[-1][1]:.4f}" if report.losses else ""
    typer.echo(f"{report.steps} steps in {report.seconds:.0f} s{loss}; model in {report.output_dir}")


@app.command("eval")
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="predictions.jsonl, as `predict` writes it.")],
    samples: Annotated[Path, typer.Argument(help="The samples that were predicted, or their .truth.json.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for metrics.json.")] = Path("report"),
    iou: Annotated[float, typer.Option(help="IoU from which on a box counts as found.")] = 0.5,
) -> None:
    """Score predictions against the exact boxes: AP, precision, recall, F1, parse rate.

    \b
    Examples:
      paddle-ground eval runs/demo/predictions.jsonl data/coco/val.jsonl
      paddle-ground eval predictions.jsonl val.truth.json --iou 0.75 --output report
    """
    from paddle_ground.evaluate.run import evaluate_files
    from paddle_ground.evaluate.table import render_table
    from paddle_ground.records import truth_path

    truth = truth_path(samples) if samples.suffix == ".jsonl" else samples
    metrics = evaluate_files(predictions, truth, output, iou)
    typer.echo(render_table([(predictions.stem, metrics)]))
    typer.echo(f"wrote {output / 'metrics.json'}")


VERSIONS_SHOWN = ("paddle-ground", "paddlepaddle", "paddlepaddle-gpu", "paddleformers", "paddlefleet")


@app.command()
def version() -> None:
    """Print the versions that a result depends on.

    \b
    Examples:
      paddle-ground version
    """
    import platform
    from importlib import metadata

    from paddle_ground import __version__

    typer.echo(f"paddle_ground {__version__}")
    for package in VERSIONS_SHOWN[1:]:
        try:
            typer.echo(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            typer.echo(f"{package} not installed")
    typer.echo(f"python {platform.python_version()}")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code.

    Args:
        arguments: What follows the program's name; the process's own when None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # People add --debug to the end of the line that just failed; it is an option of the program.
    debug = "--debug" in words
    words = ["--debug"] * debug + [word for word in words if word != "--debug"]
    options: dict[str, Any] = {"args": words, "prog_name": "paddle-ground"}
    try:
        app(**options)
    except PaddleGroundError as error:
        if debug:
            raise
        sys.stderr.write(f"paddle-ground: {' '.join(str(error).split())}\n")
        sys.exit(2)
    sys.exit(0)
