"""The report as a whole: predictions and truth in, one HTML file out.

Takes paths, writes `index.html`. Knows no model. The page stays below a number of bytes, whatever the set.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.errors import EvaluationError
from paddle_ground.evaluate.compare import RESAMPLES, compare_tables, match_table
from paddle_ground.evaluate.detection import evaluate_detection
from paddle_ground.evaluate.gains import mending_gains
from paddle_ground.evaluate.intervals import table_intervals
from paddle_ground.evaluate.mistakes import BACKGROUND_IOU, count_mistakes
from paddle_ground.evaluate.pairing import pair_up, truth_about
from paddle_ground.files import atomic_writer
from paddle_ground.records import Prediction, Truth, read_predictions, read_truth, resolve_image
from paddle_ground.view.colors import label_color
from paddle_ground.view.report.gallery import Entry, entries_of, gallery
from paddle_ground.view.report.numbers import Measured, numbers
from paddle_ground.view.report.page import build_page, pack
from paddle_ground.view.report.thumbnails import make_thumbnails

_log = logging.getLogger(__name__)

PAGE_NAME = "index.html"
MAX_BYTES = 19_500_000
"""A page of this size opens from disk in a second or two, and goes through most mail servers."""
MAX_IMAGES = 5000
_GALLERY_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """What was written.

    Attributes:
        path: Of the page.
        size_bytes: Of the page.
        images: Entries of the truth: images, or questions about them.
        shown: How many of them are in the gallery.
        pictures: How many different images have a thumbnail there.
    """

    path: Path
    size_bytes: int
    images: int
    shown: int
    pictures: int


def write_report(
    predictions_path: str | os.PathLike[str],
    truth_path: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    before_path: str | os.PathLike[str] | None = None,
    *,
    iou_threshold: float = 0.5,
    resamples: int = RESAMPLES,
    seed: int = 0,
    max_images: int = MAX_IMAGES,
    max_bytes: int = MAX_BYTES,
    only_predicted: bool = False,
) -> ReportSummary:
    """Write `index.html`: metrics, curves, classes, confusion and a gallery, in one file that needs no other.

    Args:
        predictions_path: predictions.jsonl.
        truth_path: The truth.json of the samples that were predicted; image paths start at its folder.
        output_dir: Made if need be.
        before_path: Another model's predictions of the same samples, to show what changed.
        iou_threshold: From which overlap on a box counts as found, 0.1..1.
        resamples: Drawings of the bootstrap behind the intervals.
        seed: Of the drawing.
        max_images: Of the gallery; from a larger set they are drawn evenly.
        max_bytes: Of the page; pictures get smaller, then fewer, until it fits.
        only_predicted: Leave out entries of the truth without a prediction; for one predictions file.

    Raises:
        RecordError: A file can't be read, or an image path leads out of the folder.
        EvaluationError: The files don't belong together, one is empty, or the threshold is out of range.
        MissingExtraError: faster-coco-eval is not installed.
        DataError: The folder can't be written.
    """
    if not BACKGROUND_IOU < iou_threshold <= 1:
        raise EvaluationError(f"--iou {iou_threshold}; expected above {BACKGROUND_IOU} and at most 1")
    if only_predicted and before_path:
        raise EvaluationError("--only-predicted is for one model; let both predict the same samples")
    truth = read_truth(truth_path)
    if only_predicted:
        truth = truth_about(truth, ((one.image, one.prompt) for one in read_predictions(predictions_path)))
    after = _Model(predictions_path, truth_path, truth, iou_threshold)
    before = _Model(before_path, truth_path, truth, iou_threshold) if before_path else None
    drawing = (resamples, seed)
    document = numbers(
        after.measured,
        before.measured if before else None,
        table_intervals(after.table, *drawing),
        compare_tables(before.table, after.table, truth, *drawing) if before else None,
    )
    document["truth"] = Path(truth_path).name
    document["bootstrap"] = [resamples, seed]
    shown, files = gallery(
        truth,
        after.entries,
        before.entries if before else None,
        max_images,
        lambda described: len(pack(described)),
        int(_GALLERY_SHARE * max_bytes),
    )
    document.update(shown)
    document["colors"] = ["#{:02x}{:02x}{:02x}".format(*label_color(label)) for label in shown["labels"]]
    return _write(document, [resolve_image(truth_path, file) for file in files], output_dir, max_bytes)


class _Model:
    """One predictions file with all that is known about it."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        truth_path: str | os.PathLike[str],
        truth: Truth,
        iou_threshold: float,
    ) -> None:
        self.predictions: Sequence[Prediction] = list(read_predictions(path))
        if not self.predictions:
            raise EvaluationError(f"{os.fspath(path)}: no predictions in it; run `paddle-ground predict`")
        try:
            cases = pair_up(self.predictions, truth)
        except EvaluationError as error:
            raise EvaluationError(f"{os.fspath(path)} against {os.fspath(truth_path)}: {error}") from error
        self.table = match_table(self.predictions, truth, iou_threshold, cases)
        metrics = evaluate_detection(self.predictions, truth, iou_threshold, cases)
        self.entries: list[Entry] = entries_of(self.predictions, truth, cases, iou_threshold)
        for case in cases:
            case.matched.clear()  # done with; of thousands of images it is a hundred megabytes
        mistakes = [entry.mistakes for entry in self.entries]
        # The folder tells models apart, and the file most often does not.
        self.measured = Measured(
            "/".join(Path(path).parts[-2:]),
            metrics,
            count_mistakes(mistakes),
            mending_gains(cases, mistakes),
            sum(not entry.is_read for entry in self.entries),
        )


def _write(
    document: dict[str, Any], paths: Sequence[Path], output_dir: str | os.PathLike[str], max_bytes: int
) -> ReportSummary:
    title = f"{document['names']['after']} · report"
    packed = pack(document)
    bare = len(build_page(title, packed, [None] * len(paths)))
    # Each picture brings its quotes.
    pictures = make_thumbnails(paths, max(0, max_bytes - bare - 2 * len(paths)))
    page = build_page(title, packed, pictures)
    path = Path(output_dir) / PAGE_NAME
    with atomic_writer(path, binary=True) as stream:
        stream.write(page)
    return ReportSummary(
        path,
        len(page),
        document["images"],
        len(document["cases"]),
        sum(picture is not None for picture in pictures),
    )
