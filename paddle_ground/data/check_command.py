"""The `check` command: a samples file in; a few lines, an exit code and the files that were asked for out.

Exit code 0: clean. 1: problems. 2: the check can't run (raised; the program words it). Knows no check.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

_SAMPLES = "samples.jsonl, as `prepare` writes it or any other tool in the messages format."


def check_command(
    samples: Annotated[Path, typer.Argument(help=_SAMPLES)],
    model: Annotated[
        Path | None, typer.Option(help="Model folder: counts tokens as training with it would.")
    ] = None,
    max_seq_len: Annotated[int, typer.Option(min=1, help="As in the training YAML.")] = 8192,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=1, help="`grounding.image_max_pixels` of the YAML; else the model's, else 768 x 768."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="To measure padding without packing.")] = 8,
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode every image: finds damage and look-alikes.")
    ] = False,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Samples that must not share an image; train/val beside are always compared."),
    ] = None,
    max_boxes: Annotated[int, typer.Option(min=1, help="More boxes in one answer are a problem.")] = 50,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures and histograms.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write all problems as JSON.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Threads; 0 for one a core.")] = 0,
) -> None:
    """Check samples before they cost a GPU hour: every problem with its place and what to do about it.

    Exit code 0: no errors. 1: errors (with --strict, warnings too). 2: the check could not run.

    \b
    Examples:
      paddle-ground check data/coco/train.jsonl
      paddle-ground check train.jsonl --model Qwen3-VL-2B-Instruct --max-seq-len 4096 --html check.html
      paddle-ground check train.jsonl --decode --against other/val.jsonl --json check.json --strict
    """
    from paddle_ground.data.check import CheckOptions, check
    from paddle_ground.data.check.report import terminal_lines
    from paddle_ground.files import write_text

    options = CheckOptions(
        model_dir=model,
        max_seq_len=max_seq_len,
        max_pixels=max_pixels,
        batch_size=batch_size,
        decode=decode,
        against=tuple(against or ()),
        max_boxes=max_boxes,
        workers=workers,
    )
    with _Bar() as bar:
        report = check(samples, options, bar.show)
    for line in terminal_lines(report):
        typer.echo(line)
    if as_json is not None:
        write_text(as_json, json.dumps(report.to_json(), ensure_ascii=False, indent=1) + "\n")
        typer.echo(f"wrote {as_json}")
    if html is not None:
        from paddle_ground.data.check.page import write_page

        write_page(html, report)
        typer.echo(f"wrote {html}")
    if not report.is_clean(strict):
        raise typer.Exit(1)


class _Bar:
    """A progress bar that appears where a check takes longer than a moment."""

    def __enter__(self) -> _Bar:
        from tqdm import tqdm

        self._bar = tqdm(unit="B", unit_scale=True, desc="check", delay=0.5, leave=False)
        return self

    def show(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self._bar.close()
