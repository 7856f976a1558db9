"""From an annotated data set to samples.jsonl, truth and images: streaming, parallel, resumable.

Takes `PrepareOptions`, gives in the output folder

    train.jsonl, val.jsonl      messages records, boxes in the model's integers
    train.meta.json, ...        how they were made, and what was left out
    train.truth.json, ...       COCO JSON with the exact pixel boxes and crowd flags
    images/                     the source's image files, byte for byte

Survey (no images) -> draw the splits -> convert chunk by chunk, several at a time -> put the pieces
together in order -> publish. What comes out depends on the source and the options alone, not on the
number of workers, nor on how often a run was stopped. Knows no file format of sources (see `source`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from paddle_ground import __version__
from paddle_ground.answers import AnswerFormat, answer_format
from paddle_ground.data.checked import RowOptions
from paddle_ground.data.classes import read_classes
from paddle_ground.data.download import download_dataset
from paddle_ground.data.draw import draw_pieces
from paddle_ground.data.duplicates import Look
from paddle_ground.data.layout import BoxLayout
from paddle_ground.data.merge import SplitResult, merge_pieces
from paddle_ground.data.options import PrepareOptions, check_options
from paddle_ground.data.phrases import PhrasePool
from paddle_ground.data.pieces import Progress, run_pieces
from paddle_ground.data.questions import TaskOptions
from paddle_ground.data.readers import ReaderOptions
from paddle_ground.data.recognise import Recognised, recognise
from paddle_ground.data.relabel import relabel
from paddle_ground.data.source import Source
from paddle_ground.data.staging import FILE_NAMES, IMAGES, Staging, lock_output
from paddle_ground.data.take import BadImages, PieceOptions
from paddle_ground.errors import (
    ConfigError,
    DataError,
    LostWorkerError,
    PaddleGroundError,
    RecordError,
    UnwritableError,
)
from paddle_ground.files import sha256_file
from paddle_ground.prompts import DETECT_ALL, detect_classes
from paddle_ground.records import SamplesMeta, meta_path, read_meta, truth_path
from paddle_ground.records.samples import BOX_MARK, IMAGE_MARK, REF_MARK

__all__ = ["OpenedSource", "PrepareOptions", "PrepareReport", "prepare"]

# Raised whenever the same source and options give other bytes than before.
_OUTPUT_VERSION = 2
_FINGERPRINT = "fingerprint"
# Raised whenever what stands in a piece file changes: no half-done run of another version is continued.
_PIECE_VERSION = "pieces 3"


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What was prepared.

    Attributes:
        output_dir: Where it is.
        splits: One result a split that has samples, train first.
        notes: What the user should hear about the source, its format first, a line each.
        reused: True where the folder already held exactly this.
    """

    output_dir: Path
    splits: tuple[SplitResult, ...]
    notes: tuple[str, ...]
    reused: bool

    def samples_path(self, split: str) -> Path | None:
        """Give the path of a split's samples, or None where the split has none."""
        found = any(result.split == split for result in self.splits)
        return self.output_dir / f"{split}.jsonl" if found else None


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source that another step opened, such as one of labels that a teacher gave.

    Attributes:
        source: To be read.
        recognised: What it is.
        settings: How it was made, for the meta file; text by name.
    """

    source: Source
    recognised: Recognised
    settings: Mapping[str, str]


def prepare(
    options: PrepareOptions, progress: Progress | None = None, opened: OpenedSource | None = None
) -> PrepareReport:
    """Prepare a data set, go on where a stopped run ended, or find that all is there already.

    Args:
        options: What and how.
        progress: Called with the number of images done and of all.
        opened: The source, where it is not to be found by the options.

    Raises:
        ConfigError: An option is out of its range.
        DataError: The source can't be read or the output can't be written; nothing is left that
            looks finished.
    """
    check_options(options)
    if options.ray is not None:
        # Workers stand in folders of their own.
        root = None if options.source is None else Path(options.source).resolve()
        options = replace(options, output_dir=Path(options.output_dir).resolve(), source=root)
    output_dir = Path(options.output_dir)
    with lock_output(output_dir) as lock:
        source, recognised = _open_source(options, opened)
        notes = (str(recognised), *source.notes)
        row_options = _row_options(options, source.class_names)
        origin = {} if opened is None else opened.settings
        meta = _meta_template(options, source, recognised.format.name, row_options, origin)
        finished = _find_finished(output_dir, meta)
        if finished:
            return PrepareReport(output_dir, finished, notes, reused=True)
        workers = options.workers or os.cpu_count() or 1
        draw = draw_pieces(source, options, workers)
        staging = Staging(output_dir, f"{meta.settings[_FINGERPRINT]} {_PIECE_VERSION}", lock)
        try:
            piece_options = _piece_options(options, row_options, draw.phrases)
            look = Look([staging.piece(piece.chunk.index) for piece in draw.pieces], staging.folder)

            def finished_piece(done: int, total: int) -> None:
                look.add_next()
                if progress is not None:
                    progress(done, total)

            if options.ray is None:
                run_pieces(source, draw.pieces, piece_options, staging, workers, finished_piece)
            else:
                from paddle_ground.data.ray_pieces import run_pieces_on_ray

                run_pieces_on_ray(
                    source, draw.pieces, piece_options, staging, options.ray, workers, finished_piece
                )
            results = merge_pieces(staging, look, source.class_names, partial(_complete, meta))
            filled = _filled(results, source.name)
        except PaddleGroundError as error:
            # After a full disk the pieces that are done can be used again; after bad input nothing is
            # left, since mending the source makes it another one.
            if not isinstance(error, UnwritableError | LostWorkerError):
                staging.discard()
            raise
        splits = [result.split for result in filled]
        staging.publish([name for name in FILE_NAMES if name.split(".")[0] in splits])
    return PrepareReport(output_dir, filled, (*notes, *draw.notes), reused=False)


def _open_source(options: PrepareOptions, opened: OpenedSource | None) -> tuple[Source, Recognised]:
    if opened is not None:
        return relabel(opened.source, options.class_choice), opened.recognised
    classes = read_classes(options.classes) if options.classes is not None else None
    layout: BoxLayout | None = None
    if options.bbox_format != "auto":
        layout = "xyxy" if options.bbox_format == "xyxy" else "xywh"
    root, name = options.source, None
    if root is None:
        root = download_dataset(options.dataset_repo)
        name = options.dataset_repo if not Path(options.dataset_repo).is_dir() else None
    found = recognise(root, options.source_format)
    frames = (options.frames, options.frame_max_side)
    told = ReaderOptions(
        classes, layout, options.split_map, name, options.box_units, *frames, space=options.space
    )
    source = found.format.open(root, told)
    return relabel(source, options.class_choice), found


def _row_options(options: PrepareOptions, class_names: tuple[str, ...]) -> RowOptions:
    fmt = answer_format(options.answer_format)
    prompt = options.prompt
    if prompt is None:
        prompt = DETECT_ALL if fmt is AnswerFormat.TOKENS else detect_classes(class_names, fmt)
    for mark in (IMAGE_MARK, REF_MARK, BOX_MARK):
        if mark in prompt:
            raise ConfigError(f"the prompt holds {mark}; leave it out, the image is put before the prompt")
    return RowOptions(
        space=options.space,
        answer_format=fmt,
        prompt=prompt,
        class_names=class_names,
        box_order=options.box_order,
        min_side_px=options.min_box_side,
        max_boxes=options.max_boxes,
        max_boxes_by=options.max_boxes_by,
        seed=options.seed,
    )


def _piece_options(options: PrepareOptions, row: RowOptions, phrases: PhrasePool | None) -> PieceOptions:
    has_own_prompt = options.prompt is not None or row.answer_format is AnswerFormat.TOKENS
    task = TaskOptions(
        task=options.task,
        answer_format=row.answer_format,
        class_names=row.class_names,
        # The tutorial's prompt has one language; the one that names the classes has two.
        detect_prompt=row.prompt if has_own_prompt or options.language == "en" else None,
        ask=options.ask,
        absent_classes=options.absent_classes,
        language=options.language,
        seed=options.seed,
        phrases=phrases,
    )
    expand = None
    if options.has_views:
        # Here, since it takes longer to import than hundreds of images to prepare.
        from paddle_ground.data.augment.expander import expander

        expand = expander(
            options.augment, options.tile, options.curriculum, seed=options.seed, class_names=row.class_names
        )
    bad_images: BadImages = "skip" if options.bad_images == "skip" else "stop"
    return PieceOptions(row, task, options.keep_empty, bad_images, expand, options.of_questions)


def _meta_template(
    options: PrepareOptions,
    source: Source,
    source_format: str,
    row: RowOptions,
    origin: Mapping[str, str],
) -> SamplesMeta:
    """Fill in all of the meta that is known before any row is read."""
    settings = {**options.settings(), **origin}
    if source_format != "coco_parquet":
        settings["format"] = source_format
    meta = SamplesMeta(
        source=source.name,
        converter_version=__version__,
        coordinate_space=row.space.name,
        answer_format=row.answer_format.value,
        prompt=row.prompt,
        class_names=row.class_names,
        counts={},
        samples_sha256="",
        settings=settings,
    )
    identity = [
        _OUTPUT_VERSION,
        source.fingerprint,
        meta.source,
        meta.converter_version,
        meta.coordinate_space,
    ]
    identity += [meta.answer_format, meta.prompt, meta.class_names, settings]
    fingerprint = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return replace(meta, settings={**settings, _FINGERPRINT: fingerprint})


def _complete(meta: SamplesMeta, counts: dict[str, int], samples_sha256: str) -> SamplesMeta:
    return replace(meta, counts=counts, samples_sha256=samples_sha256)


def _filled(results: tuple[SplitResult, ...], name: str) -> tuple[SplitResult, ...]:
    filled = tuple(result for result in results if result.counts["kept"])
    if not filled:
        reasons = {reason: places[0] for result in results for reason, places in result.examples.items()}
        found = "; ".join(f"{reason}: {place}" for reason, place in reasons.items())
        raise DataError(f"{name}: no sample is left ({found}); mend the source or keep more of it")
    return filled


def _find_finished(output_dir: Path, meta: SamplesMeta) -> tuple[SplitResult, ...]:
    """Find the results of a finished run of the same job, or nothing."""
    found = []
    images = 0
    for split in ("train", "val"):
        samples = output_dir / f"{split}.jsonl"
        if not samples.exists():
            continue
        try:
            other = read_meta(meta_path(samples))
        except RecordError:
            return ()
        if replace(other, counts={}, samples_sha256="") != meta or not truth_path(samples).exists():
            return ()
        if sha256_file(samples) != other.samples_sha256:
            return ()
        images += other.counts.get("images", other.counts.get("kept", 0))
        found.append(SplitResult(split, dict(other.counts), {}))
    there = len(os.listdir(output_dir / IMAGES)) if (output_dir / IMAGES).is_dir() else 0
    return tuple(found) if found and there == images else ()
