"""The `distill` command: flags in, labelled and prepared images and a few lines about them out.

Takes flags about the teacher, and those of `prepare` that shape samples; gives `distill` its options and
words its report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from paddle_ground.data import flags
from paddle_ground.data.bar import Bar

TEACHER, QUESTION, AGREEMENT = "The teacher", "What it is asked", "When its answers are believed"


def _flag(name: str, text: str, panel: str, metavar: str | None = None, **limits: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=panel, metavar=metavar, **limits)


def distill_command(
    images: Annotated[Path, typer.Argument(help="Folder of images, all the way down.", metavar="IMAGES")],
    out: Annotated[Path, typer.Argument(help="Where train.jsonl, val.jsonl and images/ go.", metavar="OUT")],
    endpoint: Annotated[str, _flag("--endpoint", "OpenAI-compatible: http://host:8000/v1.", TEACHER, "URL")],
    model: Annotated[str, _flag("--model", "The teacher's name there.", TEACHER, "NAME")],
    classes: Annotated[str | None, _flag("--classes", "Names to look for.", QUESTION, "A,B")] = None,
    classes_file: Annotated[
        Path | None, _flag("--classes-file", "The same, in a file with one a line.", QUESTION, "FILE")
    ] = None,
    phrases: Annotated[
        Path | None,
        _flag("--phrases", "File with one phrase a line; each is asked of every image.", QUESTION, "FILE"),
    ] = None,
    prompt: Annotated[
        str | None, _flag("--prompt", "The whole question; all names that are answered count.", QUESTION)
    ] = None,
    max_pixels: Annotated[
        int | None, _flag("--max-pixels", "Shrink larger images, for sending only.", QUESTION, "N")
    ] = None,
    side_multiple: Annotated[
        int, _flag("--side-multiple", "Of the sides of what is sent; 28 for Qwen2.5-VL.", QUESTION, "PX")
    ] = 1,
    teacher_space: Annotated[
        Literal["relative_1000", "absolute"],
        _flag(
            "--teacher-space",
            "relative_1000: thousandths (Qwen3-VL); absolute: pixels of the sent image (Qwen2.5-VL).",
            QUESTION,
            "NAME",
        ),
    ] = "relative_1000",
    samplings: Annotated[int, _flag("--samplings", "Answers to each question.", QUESTION)] = 3,
    temperature: Annotated[float, _flag("--temperature", "Of the drawing.", QUESTION)] = 0.7,
    top_p: Annotated[
        float, _flag("--top-p", "Draw from the likeliest tokens of this share.", QUESTION)
    ] = 1.0,
    teacher_seed: Annotated[int, _flag("--teacher-seed", "Of the first sampling.", QUESTION)] = 0,
    max_tokens: Annotated[
        int, _flag("--max-tokens", "Longer answers are cut off, and not used.", QUESTION)
    ] = 2048,
    iou: Annotated[float, _flag("--iou", "Overlap of boxes that mean the same.", AGREEMENT)] = 0.5,
    votes: Annotated[
        int | None,
        _flag("--votes", "Samplings that must name a box.  [default: more than half]", AGREEMENT),
    ] = None,
    min_agreement: Annotated[
        float, _flag("--min-agreement", "Leave images out on which samplings agree less.", AGREEMENT, "SHARE")
    ] = 0.5,
    api_key_env: Annotated[
        str | None,
        _flag("--api-key-env", "Variable with the API key.  [default: OPENAI_API_KEY]", TEACHER, "NAME"),
    ] = None,
    concurrency: Annotated[int, _flag("--concurrency", "Images asked about at a time.", TEACHER)] = 8,
    timeout: Annotated[float, _flag("--timeout", "For one answer.", TEACHER, "SECONDS")] = 300.0,
    retries: Annotated[int, _flag("--retries", "Of a request that failed.", TEACHER)] = 5,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Go on without unanswered.", rich_help_panel=TEACHER)
    ] = False,
    answer_format: flags.AnswerFormat = "tokens",
    model_family: flags.WhichFamily = None,
    for_model: flags.ForModel = None,
    image_min_pixels: flags.ImageMinPixels = None,
    image_max_pixels: flags.ImageMaxPixels = None,
    coordinate_space: flags.Space = None,
    student_prompt: Annotated[
        str | None, _flag("--student-prompt", "What samples ask; as --prompt of `prepare`.", flags.RESULT)
    ] = None,
    total_samples: flags.TotalSamples = None,
    val_ratio: flags.ValRatio = 0.1,
    seed: flags.Seed = 42,
    keep_empty: flags.KeepEmpty = True,
    workers: flags.Workers = 0,
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
    """Let a larger model label images, and prepare samples of what its answers agree on.

    Each image is asked about several times; boxes that most answers name are kept. A run that was stopped
    goes on where it ended; with other thresholds it only sorts the answers anew.

    \b
    Examples:
      paddle-ground distill photos data/photos --endpoint http://host:8000/v1 --model big --classes cup,plate
      paddle-ground distill photos data/photos --endpoint https://host/v1 --model big --phrases phrases.txt
    """
    from paddle_ground.data.classes import check_classes, read_classes
    from paddle_ground.data.curriculum import CurriculumOptions
    from paddle_ground.data.distill.agreement import AgreementOptions
    from paddle_ground.data.distill.options import (
        DEFAULT_KEY,
        AskOptions,
        Endpoint,
        chat_url,
        questions_of,
        read_key,
        read_phrases,
    )
    from paddle_ground.data.distill.run import DistillOptions, distill
    from paddle_ground.data.distill.wording import describe, describe_left_out
    from paddle_ground.data.given import read_augment, read_class_choice
    from paddle_ground.data.options import PrepareOptions
    from paddle_ground.data.tiling import TileOptions

    names = () if classes is None else tuple(name.strip() for name in classes.split(","))
    if names:
        check_classes(names, "--classes")
    if classes_file is not None:
        names += read_classes(classes_file)
    phrase_list = () if phrases is None else read_phrases(phrases)
    questions = questions_of(names, phrase_list, prompt)
    samples = PrepareOptions(
        output_dir=out,
        total_samples=total_samples,
        val_ratio=val_ratio,
        seed=seed,
        answer_format=answer_format,
        model_family=model_family,
        for_model=for_model,
        image_min_pixels=image_min_pixels,
        image_max_pixels=image_max_pixels,
        coordinate_space=coordinate_space,
        prompt=student_prompt,
        keep_empty=keep_empty,
        box_order=box_order,
        workers=workers,
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
    asking = AskOptions(
        questions,
        names,
        samplings,
        temperature,
        top_p,
        teacher_seed,
        max_tokens,
        max_pixels,
        side_multiple,
        teacher_space,
    )
    key_env = api_key_env or DEFAULT_KEY
    teacher = Endpoint(chat_url(endpoint), model, read_key(api_key_env), key_env, timeout, retries)
    agreement = AgreementOptions(iou, votes, min_agreement)
    options = DistillOptions(images, teacher, asking, agreement, samples, concurrency, allow_missing)
    try:
        with Bar("ask") as asking_bar, Bar("prepare") as bar:
            report = distill(options, asking_bar.show, bar.show)
    except KeyboardInterrupt:
        typer.echo("stopped; answers that came are kept, the same command goes on", err=True)
        raise typer.Exit(130) from None
    for line in describe_left_out(report.left_out):
        typer.echo(line, err=True)
    for line in describe(report, teacher_space):
        typer.echo(line)
