"""From unlabelled images to a prepared data set: ask a teacher, find agreement, prepare.

Takes `DistillOptions`, gives what `prepare` gives, and in `distill/` of the same folder

    answers.jsonl    what the teacher said, a line an image; never asked for twice
    job.json         what shaped these answers
    labels.jsonl     what samplings agree on, a line an image; see `labels`
    left_out.jsonl   images on which they don't
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from paddle_ground.data.distill.agreement import AgreementOptions
from paddle_ground.data.distill.answers_file import AnswersFile, open_answers
from paddle_ground.data.distill.asking import AskReport, BadImageError, Progress, ask_about, hash_image
from paddle_ground.data.distill.labels import LABELS, LabelTally, write_labels
from paddle_ground.data.distill.options import AskOptions, Endpoint, check
from paddle_ground.data.distill.pictures import ImageFolder, find_images
from paddle_ground.data.distill.source import open_labels
from paddle_ground.data.distill.wording import suspect_space
from paddle_ground.data.options import PrepareOptions, check_options
from paddle_ground.data.prepare import OpenedSource, PrepareReport, prepare
from paddle_ground.data.staging import lock_output, refuse_foreign, withdraw
from paddle_ground.errors import ConfigError, DataError

FOLDER = "distill"


@dataclass(frozen=True, slots=True)
class DistillOptions:
    """What to label, by whom, and what to make of it.

    Attributes:
        images: The folder of images, all the way down.
        endpoint: The teacher.
        asking: What it is asked.
        agreement: When its answers are believed.
        prepare: How samples are made; its `output_dir` is where everything goes, its `source` is not used.
        concurrency: How many images are asked about at a time.
        allow_missing: Whether to go on without images that got no answer.
    """

    images: Path
    endpoint: Endpoint
    asking: AskOptions
    agreement: AgreementOptions
    prepare: PrepareOptions
    concurrency: int = 8
    allow_missing: bool = False


@dataclass(frozen=True, slots=True)
class DistillReport:
    """What was made.

    Attributes:
        prepared: The data set.
        asked: How many images were asked about now.
        tally: What became of all answers, those of earlier runs too.
        left_out: Why image files were not labelled, a message each.
    """

    prepared: PrepareReport
    asked: int
    tally: LabelTally
    left_out: tuple[str, ...]


def distill(
    options: DistillOptions, asking: Progress | None = None, preparing: Progress | None = None
) -> DistillReport:
    """Label images, go on where a stopped run ended, or only make labels anew with other thresholds.

    Args:
        options: What and how.
        asking: Told of each image that was asked about.
        preparing: Told of each image that was prepared.

    Raises:
        ConfigError: An option can't work, or the answers there are of another job.
        DataError: There are no images, the endpoint does not answer, or the output can't be written;
            answers that came are kept.
    """
    check(options.asking, options.agreement, options.endpoint, options.concurrency)
    check_options(options.prepare)
    output_dir = Path(options.prepare.output_dir)
    if options.images.resolve().is_relative_to(output_dir.resolve()):
        raise ConfigError(f"{output_dir}: the images are in there; choose an output folder apart from them")
    pictures = find_images(options.images, output_dir)
    folder = output_dir / FOLDER
    with lock_output(output_dir):
        # Before an hour of answers, not after it.
        refuse_foreign(output_dir)
        with open_answers(folder, options.asking, options.endpoint) as answers:
            files, report = _ask(options, pictures, answers, asking)
            tally = write_labels(
                folder, files, answers, options.asking, options.agreement, options.endpoint.model
            )
        is_empty = tally.counts["left_out_images"] == tally.counts["images"]
        # Samples of other thresholds beside these labels would look like what came of them.
        was_there = is_empty and withdraw(output_dir)
    if is_empty:
        hints = suspect_space(tally, options.asking.space) or [
            "look into answers.jsonl, or lower --min-agreement, --votes or --iou"
        ]
        raise DataError(
            f"{folder}: of {tally.counts['images']} images with answers no label is agreed on; {hints[0]}"
            + (" (the samples that other thresholds had given are removed)" if was_there else "")
        )
    source, recognised = open_labels(
        options.images, folder / LABELS, tally.class_names(options.asking.class_names)
    )
    opened = OpenedSource(source, recognised, _settings(options, tally))
    prepared = prepare(options.prepare, preparing, opened)
    return DistillReport(
        prepared, report.asked, tally, (*pictures.left_out, *report.bad_images, *report.unanswered)
    )


def _ask(
    options: DistillOptions, pictures: ImageFolder, answers: AnswersFile, progress: Progress | None
) -> tuple[list[str], AskReport]:
    """Ask about all images that have no answers yet; give those that have some now."""
    hashes, unreadable = {}, []
    for file in pictures.files:
        try:
            hashes[file] = hash_image(pictures.root, file)
        except BadImageError as error:
            unreadable.append(str(error))
    pending = [file for file, sha256 in hashes.items() if not answers.has(file, sha256)]
    report = ask_about(
        pictures.root, pending, answers, options.asking, options.endpoint, options.concurrency, progress
    )
    if report.unanswered and not options.allow_missing:
        raise DataError(
            f"{len(report.unanswered)} of {len(pending)} images got no answer ({report.unanswered[0]}); run "
            "the same command again to ask about them only, or go on without with --allow-missing"
        )
    files = [file for file, sha256 in hashes.items() if answers.has(file, sha256)]
    if not files:
        raise DataError(
            f"{pictures.root}: no image could be asked about ({(*unreadable, *report.bad_images)[0]})"
        )
    return files, AskReport(report.asked, (*unreadable, *report.bad_images), report.unanswered)


def _settings(options: DistillOptions, tally: LabelTally) -> dict[str, str]:
    """Say where labels are from, for the meta file."""
    asking, agreement = options.asking, options.agreement
    prompts = [question.prompt for question in asking.questions]
    return {
        "teacher": options.endpoint.model,
        "teacher_endpoint": options.endpoint.host,
        "teacher_prompt": prompts[0] if len(prompts) == 1 else json.dumps(prompts, ensure_ascii=False),
        "teacher_samplings": str(asking.samplings),
        "teacher_temperature": repr(float(asking.temperature)),
        "teacher_top_p": repr(float(asking.top_p)),
        "teacher_seed": str(asking.seed),
        "teacher_space": asking.space,
        "teacher_max_pixels": str(asking.max_pixels or "all"),
        "teacher_date": tally.newest[:10],
        "agreement_iou": repr(float(agreement.iou)),
        "agreement_votes": str(agreement.votes_of(asking.samplings)),
        "agreement_min": repr(float(agreement.min_agreement)),
        "distilled": json.dumps({name: count for name, count in sorted(tally.counts.items()) if count}),
    }
