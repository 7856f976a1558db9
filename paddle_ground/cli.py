"""The command table: one short function a command, each calling one stage.

Takes the command line; gives an exit code: 0 done, 2 a usage error or an error of ours (one line on stderr;
`--debug` shows where it came from). Stages are imported by the command that needs them, so that `--help`
answers at once. Knows no stage from the inside.
"""

from __future__ import annotations

import json
import logging
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from paddle_ground.data.check_command import check_command
from paddle_ground.data.command import prepare_command
from paddle_ground.data.convert_command import convert_command
from paddle_ground.data.distill.command import distill_command
from paddle_ground.data.flags import GroupedHelp
from paddle_ground.doctor.command import doctor_command
from paddle_ground.errors import PaddleGroundError
from paddle_ground.evaluate.command import evaluate_command
from paddle_ground.export.command import export_command
from paddle_ground.serve.command import serve_command
from paddle_ground.train.curves_command import curves_command
from paddle_ground.train.plan.command import plan_command
from paddle_ground.view.command import draw_command
from paddle_ground.view.report.command import report_command
from paddle_ground.web.command import web_command

# Flags that `predict` and `ground` share.
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Where an answer is cut off.")]
MaxRepeats = Annotated[int, typer.Option(min=1, help="A box said more often than this ends the answer.")]
Temperature = Annotated[float, typer.Option(min=0.0, help="0: the likeliest token; above: draw.")]
TopP = Annotated[float, typer.Option(help="Draw from the likeliest tokens that hold this share.")]
SampleSeed = Annotated[int, typer.Option(help="Of the drawing.")]
Free = Annotated[bool, typer.Option("--free", help="Let the model write whatever it wants.")]

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
def demo(
    source: Annotated[
        Path | None, typer.Option(help="Folder of COCO parquet; synthetic scenes when not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for everything that the demo writes.")] = Path(
        "runs/demo"
    ),
) -> None:
    """Run the whole path on this CPU, from data to a picture.

    Data, untuned model, training through PaddleFormers, metrics before and after, truth beside prediction.

    \b
    Examples:
      paddle-ground demo
      paddle-ground demo --source coco_parquet --out runs/demo_coco
    """
    from paddle_ground.demo import DemoOptions, run_demo

    options = DemoOptions(out)
    run_demo(options if source is None else options.for_source(source), typer.echo)


app.command("prepare", cls=GroupedHelp, short_help="Turn annotated images into samples.")(prepare_command)
app.command("convert", short_help="Write prepared data in another format.")(convert_command)
app.command("distill", cls=GroupedHelp, short_help="Let a larger model label images.")(distill_command)
app.command("check", short_help="Check samples before training.")(check_command)
app.command("plan", short_help="Tell what a training will take.")(plan_command)
app.command("curves", short_help="Draw what a training logged.")(curves_command)
app.command("export", short_help="Write a model that others load.")(export_command)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A training YAML, as `paddleformers-cli train` takes it.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, in the YAML's own keys.")] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Rehearse it on CPU processes, small model.")] = False,
) -> None:
    """Check a training YAML and train with PaddleFormers.

    Same training as `paddleformers-cli train`, after a check of every key, with a run folder that says
    what it was made from.

    \b
    Examples:
      paddle-ground train configs/tiny/demo.yaml
      paddle-ground train configs/qwen3_vl/2b_sft.yaml max_steps=100 output_dir=runs/first
      paddle-ground train configs/qwen3_vl/8b_sft_tp4.yaml --cpu
    """
    if cpu:
        from paddle_ground.export.write import merge
        from paddle_ground.infer.engine import Engine
        from paddle_ground.train.command import rehearse_command

        return rehearse_command(config, overrides or (), Engine.load, merge)
    from paddle_ground.train.command import train_command

    train_command(config, overrides or ())


@app.command()
def predict(
    samples: Annotated[Path, typer.Argument(help="samples.jsonl, as `prepare` writes it.")],
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the predictions go.")] = Path(
        "predictions.jsonl"
    ),
    batch_size: Annotated[int, typer.Option(min=1, help="Samples a batch; answers don't depend on it.")] = 8,
    max_new_tokens: MaxNewTokens = 512,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many samples.")] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option(help="Of the weights.")
    ] = "float32",
    free: Free = False,
    max_repeats: MaxRepeats = 3,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    seed: SampleSeed = 0,
) -> None:
    """Answer a samples file, one prediction a line.

    A run that was stopped goes on where it ended.

    \b
    Examples:
      paddle-ground predict data/coco/val.jsonl runs/first -o runs/first/predictions.jsonl
      paddle-ground predict val.jsonl model --limit 20 --max-new-tokens 128
    """
    from paddle_ground.infer import Sampling
    from paddle_ground.infer import predict as run

    report = run(
        samples,
        model,
        output,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        limit=limit,
        dtype=dtype,
        free=free,
        max_repeats=max_repeats,
        sampling=Sampling(temperature, top_p, seed),
    )
    statuses = ", ".join(f"{count} {status}" for status, count in report.statuses.items() if count)
    resumed = f"; {report.resumed} were there already" if report.resumed else ""
    typer.echo(
        f"{report.answered} answers ({statuses or 'nothing to do'}) in {report.seconds:.1f} s, "
        f"{report.tokens_per_second:.0f} tokens/s{resumed}; wrote {report.output_path}"
    )


@app.command()
def ground(
    model: Annotated[str, typer.Argument(help="Model folder; left out, the small one in data/ answers.")],
    image: Annotated[str | None, typer.Argument(help="Image file.")] = None,
    query: Annotated[
        str | None, typer.Argument(help="What to look for; the prompt of the training when not given.")
    ] = None,
    lang: Annotated[
        Literal["en", "zh"], typer.Option(help="Language of the prompt around the query.")
    ] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, raw answer included.")] = False,
    save: Annotated[Path | None, typer.Option(help="Write the image with its boxes here.")] = None,
    max_new_tokens: MaxNewTokens = 512,
    free: Free = False,
    max_repeats: MaxRepeats = 3,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    seed: SampleSeed = 0,
) -> None:
    """Find things in one image.

    Prints a line each: x1 y1 x2 y2 in pixels, then the label.

    \b
    Examples:
      paddle-ground ground picture.png "the red circle"
      paddle-ground ground runs/demo/train street.jpg "the red car"
      paddle-ground ground runs/demo/train street.jpg --json --save boxes.png
    """
    from paddle_ground.infer import Sampling, which_model
    from paddle_ground.infer import ground as run

    folder, picture, words = which_model(model, image, query)
    found = run(
        folder, picture, words, lang=lang, free=free, max_new_tokens=max_new_tokens, max_repeats=max_repeats,
        sampling=Sampling(temperature, top_p, seed),
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
    else:
        for region in found.regions:
            typer.echo(" ".join(f"{value:.1f}" for value in region.box_xyxy_px) + f" {region.label}")
        if not found.regions:
            typer.echo(f"nothing found (the answer, {found.status}: {found.text!r})", err=True)
    if save is not None:
        from paddle_ground.view.run import draw_grounding

        draw_grounding(picture, found.regions, save)


app.command("eval", short_help="Score predictions against the exact boxes.")(evaluate_command)
app.command("draw", short_help="Draw truth beside prediction.")(draw_command)
app.command("report", short_help="Write a page about predictions.")(report_command)
app.command("serve", cls=GroupedHelp, short_help="Serve a model to OpenAI's clients.")(serve_command)
app.command("web", short_help="Open a page in the browser.")(web_command)
app.command("doctor", short_help="Tell what works here, and mend what not.")(doctor_command)


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
    if isinstance(sys.stdout, TextIOWrapper):
        # Names of files need not be text; a result is not to be lost over how one of them is shown.
        sys.stdout.reconfigure(errors="backslashreplace")
    words = ["--debug"] * debug + [word for word in words if word != "--debug"]
    try:
        app(args=words, prog_name="paddle-ground")
    except PaddleGroundError as error:
        if debug:
            raise
        sys.stderr.write(f"paddle-ground: {' '.join(str(error).split())}\n")
        sys.exit(2)
    sys.exit(0)
