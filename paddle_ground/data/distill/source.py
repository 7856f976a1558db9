"""Reads `labels.jsonl`: what a teacher's samplings agreed on, with the images in a folder of their own.

Takes the folder of images and the file, gives a `Source`. Its format is described in `labels`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paddle_ground.data.distill.labels import LABELS
from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.readers.annotation_files import AnnotationFile
from paddle_ground.data.readers.boxes_of import read_boxes
from paddle_ground.data.readers.region_source import RegionSource
from paddle_ground.data.readers.regions import RegionRow
from paddle_ground.data.recognise import Recognised
from paddle_ground.data.source import Source
from paddle_ground.errors import DataError
from paddle_ground.records.fields import Fields


def open_labels(images: Path, labels: Path, class_names: tuple[str, ...]) -> tuple[Source, Recognised]:
    """Open labels.

    Args:
        images: The folder that the labels' files are in.
        labels: The file.
        class_names: By category id; all labels are among them.

    Raises:
        DataError: The file can't be read or a row of it is wrong.
    """
    files = (AnnotationFile(labels, labels.name, "train"),)
    # Near the labels are the output's own images, under names that others may have.
    source = RegionSource(images, files, _read_row, class_names, ReaderOptions(), "xyxy", beside=False)
    return source, Recognised(_FORMAT, "as the teacher's samplings agreed")


def _read_row(value: dict[str, Any], where: str) -> RegionRow:
    fields = Fields(value, where)
    boxes = tuple(read_boxes(fields.items("boxes_xyxy_px"), where))
    labels = fields.texts("labels")
    phrases = []
    for item in fields.objects("phrases", ()):
        places = item.items("boxes")
        if not all(isinstance(place, int) and 0 <= place < len(boxes) for place in places):
            raise DataError(f"{item.where}: `boxes` should be places of boxes, found {str(places)[:80]}")
        phrases.append((item.text("phrase"), tuple(places)))
    if len(labels) != len(boxes):
        raise DataError(f"{where}: {len(labels)} labels for {len(boxes)} boxes; expected one a box")
    return RegionRow(fields.text("file"), fields.size_wh("size_wh"), boxes, labels, tuple(phrases))


def _open(path: Path, options: ReaderOptions) -> Source:
    return open_labels(path, path / LABELS, options.classes or ())[0]


_FORMAT = Format("distilled", "labels of a teacher model", lambda path: None, _open)
