"""The stage as a whole: predictions.jsonl and truth.json in, pictures out.

Takes paths, writes PNG files. Knows no model and no metric.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from paddle_ground.errors import DataError
from paddle_ground.files import atomic_writer
from paddle_ground.records import Prediction, Region, Truth, read_predictions, read_truth, resolve_image
from paddle_ground.view.colors import CROWD_SUFFIX
from paddle_ground.view.draw import draw_regions
from paddle_ground.view.sheet import Scene, contact_sheet, side_by_side

_log = logging.getLogger(__name__)

SHEET_NAME = "contact_sheet.png"
SHEET_SCENES = 8
"""More scenes than this on one sheet are a wall, not a picture."""
_READABLE_PX = 480
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@dataclass(frozen=True, slots=True)
class DrawReport:
    """What was drawn.

    Attributes:
        pictures: One side-by-side picture a prediction, in the order of the predictions.
        contact_sheet: The first of them, at most `SHEET_SCENES`, on one sheet.
    """

    pictures: tuple[Path, ...]
    contact_sheet: Path


def draw_predictions(
    predictions_path: str | os.PathLike[str],
    truth_path: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    limit: int | None = 16,
) -> DrawReport:
    """Draw truth beside prediction for the first predictions of a file.

    Args:
        predictions_path: predictions.jsonl.
        truth_path: The truth.json of the samples that were predicted; image paths start at its folder.
        output_dir: Made if need be. Holds `<index>_<image name>.png` each and `contact_sheet.png`.
        limit: How many predictions to draw; None for all.

    Raises:
        RecordError: One of the files can't be read, or an image path leads out of the folder.
        DataError: No prediction is about an image of the truth, an image can't be read, or the
            folder can't be written.
    """
    truth = read_truth(truth_path)
    known = _truth_regions(truth)
    chosen = _chosen(predictions_path, truth_path, known, limit)
    output = Path(output_dir)
    pictures: list[Path] = []
    scenes: list[Scene] = []
    for prediction, truth_regions in chosen:
        path = resolve_image(truth_path, prediction.image)
        scene = Scene(
            image=_read_image(path),
            truth=truth_regions,
            predicted=prediction.regions,
            name=_caption(prediction),
        )
        picture = output / f"{prediction.index:06d}_{path.stem}.png"
        _save(side_by_side(scene.image, scene.truth, scene.predicted), picture)
        pictures.append(picture)
        if len(scenes) < SHEET_SCENES:
            scenes.append(scene)
    sheet = output / SHEET_NAME
    _save(contact_sheet(scenes), sheet)
    return DrawReport(tuple(pictures), sheet)


def draw_grounding(
    image_path: str | os.PathLike[str], regions: Sequence[Region], output_path: str | os.PathLike[str]
) -> None:
    """Draw regions onto one image file and write the picture, enlarged where names would be unreadable.

    Args:
        image_path: The image that was asked about; it stays as it is.
        regions: In its pixels.
        output_path: Its suffix chooses the format: .png, .jpg, .jpeg or .webp.

    Raises:
        DataError: Another suffix, an image that can't be read, or a folder that can't be written.
    """
    output = Path(output_path)
    if output.suffix.lower() not in _FORMATS:
        raise DataError(f"{output}: not a picture's name; let it end in {', '.join(_FORMATS)}")
    _save(draw_regions(_read_image(Path(image_path)), regions, enlarge_to_px=_READABLE_PX), output)


def _chosen(
    predictions_path: str | os.PathLike[str],
    truth_path: str | os.PathLike[str],
    known: dict[tuple[str, str], tuple[Region, ...]],
    limit: int | None,
) -> Sequence[tuple[Prediction, tuple[Region, ...]]]:
    chosen: list[tuple[Prediction, tuple[Region, ...]]] = []
    strangers = 0
    for prediction in read_predictions(predictions_path):
        if limit is not None and len(chosen) >= limit:
            break
        regions = known.get((prediction.image, prediction.prompt), known.get((prediction.image, "")))
        if regions is None:
            strangers += 1
        else:
            chosen.append((prediction, regions))
    where = f"{os.fspath(predictions_path)} and {os.fspath(truth_path)}"
    if not chosen:
        raise DataError(f"{where}: no image in common; use the truth.json of the samples that were predicted")
    if strangers:
        _log.warning("%s: left out %d predictions of images that are not in the truth", where, strangers)
    return chosen


def _truth_regions(truth: Truth) -> dict[tuple[str, str], tuple[Region, ...]]:
    """Give the regions of each entry by image and prompt, "" for an entry that any prompt is about."""
    names = {category.id: category.name for category in truth.categories}
    by_image: dict[int, list[Region]] = {image.id: [] for image in truth.images}
    for box in truth.annotations:
        label = names[box.category_id] + (CROWD_SUFFIX if box.is_crowd else "")
        by_image[box.image_id].append(Region(label, box.box_xyxy_px))
    return {(image.file_name, image.prompt): tuple(by_image[image.id]) for image in truth.images}


def _caption(prediction: Prediction) -> str:
    note = "" if prediction.status == "ok" else f" ({prediction.status})"
    return f"{prediction.image}{note}"


def _read_image(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            picture: Image.Image = image.convert("RGB")
            return picture
    except Exception as error:  # PIL's decoders raise nearly everything at one input or another
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: cannot read this image ({reason}); restore it or prepare the data anew"
        ) from error


def _save(picture: Image.Image, path: Path) -> None:
    with atomic_writer(path, binary=True) as stream:
        # JPEG's halved colours would smear thin edges and letters; the other formats pass these by.
        picture.save(stream, format=_FORMATS[path.suffix.lower()], quality=92, subsampling=0)
