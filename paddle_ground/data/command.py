"""The `prepare` command: flags in, a prepared data set and a few lines about it out.

Takes the tutorial's flags and ours, with dashes or underscores; gives `prepare` its options and words
its report. `paddle-ground prepare` and `tools/prepare_coco.py` are both this.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from paddle_ground.data.merge import SplitResult


def prepare_command(
    dataset_repo: Annotated[
        str,
        typer.Option(
            "--dataset-repo", "--dataset_repo", help="Data set on the hub, or a folder.", metavar="NAME"
        ),
    ] = "detection-datasets/coco",
    output_dir: Annotated[
        Path,
        typer.Option("--output-dir", "--output_dir", help="Where train.jsonl, val.jsonl and images/ go."),
    ] = Path("data/coco"),
    source: Annotated[
        Path | None, typer.Option("--source", help="Folder of parquet shards; instead of a download.")
    ] = None,
    total_samples: Annotated[
        int | None,
        typer.Option(
            "--total-samples", "--total_samples", help="Images to draw, over both splits.  [default: all]"
        ),
    ] = None,
    val_ratio: Annotated[
        float, typer.Option("--val-ratio", "--val_ratio", help="The part of them that is held out.")
    ] = 0.1,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same files, byte for byte.")] = 42,
    split_map: Annotated[
        str | None,
        typer.Option(
            "--split-map",
            "--split_map",
            help="Where source splits go: train=train,validation=val,test=none.",
            metavar="MAP",
        ),
    ] = None,
    bbox_format: Annotated[
        str, typer.Option("--bbox-format", "--bbox_format", help="xyxy, xywh, or auto: by evidence.")
    ] = "auto",
    answer_format: Annotated[
        str,
        typer.Option(
            "--answer-format",
            "--answer_format",
            help="tokens (the tutorial's), or json (what Qwen3-VL answers untuned).",
        ),
    ] = "tokens",
    prompt: Annotated[
        str | None,
        typer.Option(
            help="What the user asks.  [default: 'Task: Object Detection'; json: the classes by name]"
        ),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="File with one class name a line.  [default: as the shards declare, else COCO's 80]"
        ),
    ] = None,
    keep_empty: Annotated[
        bool,
        typer.Option(
            "--keep-empty/--drop-empty",
            "--keep_empty/--drop_empty",
            help="Keep images without boxes? A model that saw none sees things everywhere.",
        ),
    ] = True,
    box_order: Annotated[
        str,
        typer.Option("--box-order", "--box_order", help="position (top to bottom, left to right) or source."),
    ] = "position",
    bad_images: Annotated[
        str,
        typer.Option(
            "--bad-images", "--bad_images", help="stop at a broken or wrongly sized image, or skip it."
        ),
    ] = "stop",
    workers: Annotated[
        int, typer.Option("--workers", help="How many to work at a time; 0: one a processor.")
    ] = 0,
) -> None:
    """Turn COCO parquet into samples for training, with exact truth and untouched images beside them.

    A run that was stopped goes on where it ended; one that is done is not done again.

    \b
    Examples:
      paddle-ground prepare --output-dir data/coco --total-samples 2000
      paddle-ground prepare --source my_parquet --output-dir data/mine --classes classes.txt
      paddle-ground prepare --source my_parquet --output-dir data/mine --answer-format json --drop-empty
    """
    from paddle_ground.data.prepare import PrepareOptions, prepare
    from paddle_ground.data.shards import parse_split_map

    options = PrepareOptions(
        output_dir=output_dir,
        source=source,
        dataset_repo=dataset_repo,
        total_samples=total_samples,
        val_ratio=val_ratio,
        seed=seed,
        split_map=None if split_map is None else parse_split_map(split_map),
        bbox_format=bbox_format,
        answer_format=answer_format,
        prompt=prompt,
        classes=classes,
        keep_empty=keep_empty,
        box_order=box_order,
        bad_images=bad_images,
        workers=workers,
    )
    with _Bar() as bar:
        report = prepare(options, bar.show)
    for note in report.notes:
        typer.echo(note)
    for result in report.splits:
        for line in describe_split(result):
            typer.echo(line)
    state = "already there" if report.reused else "written"
    typer.echo(f"{state}: {', '.join(str(report.samples_path(result.split)) for result in report.splits)}")


def describe_split(result: SplitResult) -> list[str]:
    """Word what went into a split and what was left out of it, a line each."""
    counts = result.counts
    lines = [
        f"{result.split}: {counts['kept']} images, {counts['boxes']} boxes, {counts['empty']} images without"
    ]
    words = {"crowd_boxes": "crowd boxes, in the truth only", "clipped_boxes": "boxes cut at the border"}
    words["merged_boxes"] = "boxes that equal another in the model's integers, in the truth only"
    lines += [f"  {counts[name]} {text}" for name, text in words.items() if counts.get(name)]
    for name in sorted(name for name in counts if name.startswith("skipped_")):
        reason = name.removeprefix("skipped_")
        places = result.examples.get(reason, ())
        more = "; ..." if len(places) < counts[name] else ""
        where = f": {'; '.join(places)}{more}" if places else ""
        lines.append(f"  skipped {counts[name]} ({reason.replace('_', ' ')}){where}")
    return lines


class _Bar:
    """A progress bar that appears with the first image."""

    def __enter__(self) -> _Bar:
        from tqdm import tqdm

        self._bar = tqdm(unit=" images", desc="prepare", delay=0.5)
        return self

    def show(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self._bar.close()
