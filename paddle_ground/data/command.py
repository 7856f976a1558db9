"""The `prepare` command: flags in, a prepared data set and a few lines about it out.

Takes the tutorial's flags and ours, with dashes or underscores; gives `prepare` its options and words
its report. `paddle-ground prepare` and `tools/prepare_coco.py` are both this.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from paddle_ground.data import flags
from paddle_ground.data.bar import Bar
from paddle_ground.data.convert_command import describe_converted
from paddle_ground.errors import ConfigError

if TYPE_CHECKING:
    from paddle_ground.data.merge import SplitResult

DEFAULT_OUTPUT = Path("data/coco")


def prepare_command(
    src: flags.Src = None,
    out: flags.Out = None,
    source_format: flags.SourceFormat = "auto",
    dataset_repo: flags.DatasetRepo = "detection-datasets/coco",
    source: flags.Source = None,
    split_map: flags.SplitMap = None,
    bbox_format: flags.BboxFormat = "auto",
    classes: flags.Classes = None,
    box_units: flags.BoxUnits = None,
    frames: flags.Frames = 8,
    frame_max_side: flags.FrameMaxSide = None,
    bad_images: flags.BadImages = "stop",
    output_dir: flags.OutputDir = None,
    to: flags.To = None,
    answer_format: flags.AnswerFormat = "tokens",
    model_family: flags.WhichFamily = None,
    for_model: flags.ForModel = None,
    image_min_pixels: flags.ImageMinPixels = None,
    image_max_pixels: flags.ImageMaxPixels = None,
    coordinate_space: flags.Space = None,
    prompt: flags.Prompt = None,
    total_samples: flags.TotalSamples = None,
    val_ratio: flags.ValRatio = 0.1,
    seed: flags.Seed = 42,
    keep_empty: flags.KeepEmpty = True,
    workers: flags.Workers = 0,
    ray: flags.Ray = None,
    task: flags.WhichTask = "auto",
    ask: flags.WhichAsk = "together",
    absent_classes: flags.AbsentClasses = 2,
    language: flags.Language = "en",
    negatives: flags.Negatives = None,
    box_order: flags.Order = "position",
    min_box_side: flags.MinBoxSide = 0.0,
    max_boxes: flags.MaxBoxes = None,
    max_boxes_by: flags.KeepBoxes = "largest",
    keep_classes: flags.KeepClasses = None,
    drop_classes: flags.DropClasses = None,
    rename: flags.Rename = None,
    group_by: flags.GroupBy = None,
    repeat_factor_threshold: flags.RepeatFactor = None,
    augment: flags.Augment = None,
    augment_set: flags.AugmentSet = None,
    tile: flags.Tile = None,
    tile_overlap: flags.TileOverlap = 0.2,
    tile_keep_empty: flags.TileKeepEmpty = 0.2,
    curriculum: flags.Curriculum = None,
) -> None:
    """Turn annotated images into samples for training, with exact truth and untouched images beside them.

    A run that was stopped goes on where it ended; one that is done is not done again.

    \b
    Examples:
      paddle-ground prepare my_data data/mine
      paddle-ground prepare my_data data/mine --answer-format json --task classes --negatives 0.1
      paddle-ground prepare --output-dir data/coco --total-samples 2000
      paddle-ground prepare my_data data/mine_yolo --to yolo
    """
    from paddle_ground.data.curriculum import CurriculumOptions
    from paddle_ground.data.given import read_augment, read_class_choice
    from paddle_ground.data.prepare import PrepareOptions, prepare
    from paddle_ground.data.shards import parse_split_map
    from paddle_ground.data.tiling import TileOptions

    options = PrepareOptions(
        output_dir=_one_of(out, output_dir, "OUT", "--output-dir") or DEFAULT_OUTPUT,
        source=_one_of(src, source, "SRC", "--source"),
        source_format=source_format,
        dataset_repo=dataset_repo,
        total_samples=total_samples,
        val_ratio=val_ratio,
        seed=seed,
        split_map=None if split_map is None else parse_split_map(split_map),
        bbox_format=bbox_format,
        answer_format=answer_format,
        model_family=model_family,
        for_model=for_model,
        image_min_pixels=image_min_pixels,
        image_max_pixels=image_max_pixels,
        coordinate_space=coordinate_space,
        prompt=prompt,
        classes=classes,
        keep_empty=keep_empty,
        box_order=box_order,
        bad_images=bad_images,
        workers=workers,
        ray=ray,
        box_units=box_units,
        frames=frames,
        frame_max_side=frame_max_side,
        task=task,
        ask=ask,
        absent_classes=absent_classes,
        language=language,
        negatives=negatives,
        min_box_side=min_box_side,
        max_boxes=max_boxes,
        max_boxes_by=max_boxes_by,
        class_choice=read_class_choice(keep_classes, drop_classes, rename or ()),
        group_by=group_by,
        repeat_factor_threshold=repeat_factor_threshold,
        augment=read_augment(augment, augment_set or ()),
        tile=None if tile is None else TileOptions(tile, tile_overlap, keep_empty=tile_keep_empty),
        curriculum=None if curriculum is None else CurriculumOptions(curriculum),
    )
    converted = None
    with Bar("prepare") as bar, Bar("convert") as second:
        if to in (None, "paddle"):
            report = prepare(options, bar.show)
        else:
            from paddle_ground.data.prepare_to import prepare_to

            report, converted = prepare_to(options, to, bar.show, second.show)
    for note in report.notes:
        typer.echo(note)
    for result in report.splits:
        for line in describe_split(result):
            typer.echo(line)
    if converted is not None:
        for line in describe_converted(converted):
            typer.echo(line)
        return
    state = "already there" if report.reused else "written"
    typer.echo(f"{state}: {', '.join(str(report.samples_path(result.split)) for result in report.splits)}")


def _one_of(place: Path | None, flag: Path | None, argument: str, option: str) -> Path | None:
    if place is not None and flag is not None:
        raise ConfigError(f"{argument} is {place} and {option} is {flag}; give one of the two")
    return flag if place is None else place


def describe_split(result: SplitResult) -> list[str]:
    """Word what went into a split and what was left out of it, a line each."""
    counts = result.counts
    what, kept = "images", f"{counts['kept']} images"
    if "images" in counts:
        what, kept = "samples", f"{counts['kept']} samples of {counts['images']} images"
    lines = [f"{result.split}: {kept}, {counts['boxes']} boxes, {counts['empty']} {what} without"]
    words = {"crowd_boxes": "crowd boxes, in the truth only", "clipped_boxes": "boxes cut at the border"}
    words["merged_boxes"] = "boxes that equal another in the model's integers, in the truth only"
    words["small_boxes"] = "boxes too small to be asked for, in the truth as crowd"
    words["unsaid_boxes"] = "boxes beyond the most that an answer names, in the truth only"
    words["repeated"] = "samples repeated for their rare classes"
    words["unscored"] = "conversations that are not scored by boxes"
    lines += [f"  {counts[name]} {text}" for name, text in words.items() if counts.get(name)]
    for name in sorted(name for name in counts if name.startswith("skipped_")):
        reason = name.removeprefix("skipped_")
        places = result.examples.get(reason, ())
        more = "; ..." if len(places) < counts[name] else ""
        where = f": {'; '.join(places)}{more}" if places else ""
        lines.append(f"  skipped {counts[name]} ({reason.replace('_', ' ')}){where}")
    return lines
