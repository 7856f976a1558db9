"""Do the files beside the samples, and the model, fit them?

Takes paths, gives the meta, the truth by image, and problems. Knows no image file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paddle_ground.boxes import FloatArray
from paddle_ground.data.check.problems import Problem
from paddle_ground.data.check.space import space_of
from paddle_ground.data.check.view import SampleCheck, SampleView
from paddle_ground.errors import RecordError
from paddle_ground.families import spoken_family
from paddle_ground.files import sha256_file
from paddle_ground.records import (
    GroundingConfig,
    SamplesMeta,
    meta_path,
    read_grounding,
    read_meta,
    read_truth,
    truth_path,
)
from paddle_ground.records.meta import GROUNDING_FILE
from paddle_ground.resize import read_resize
from paddle_ground.spaces import ABSOLUTE_RESIZED

_MAX_TRUTH_BYTES = 64 << 20  # It is read whole; a larger one would not leave memory flat.


class Truths:
    """The exact boxes of each image, or of each question about it.

    Args:
        path: A truth file; None for no boxes at all.

    Raises:
        RecordError: It can't be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.is_known = False
        self._boxes: dict[tuple[str, str], list[tuple[float, float, float, float]]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        if path is None or path.stat().st_size > _MAX_TRUTH_BYTES:
            return
        truth = read_truth(path)
        self.is_known = True
        keys = {image.id: (image.file_name, image.prompt) for image in truth.images}
        self._sizes = {image.file_name: image.size_wh for image in truth.images}
        self._boxes = {key: [] for key in keys.values()}
        for box in truth.annotations:
            self._boxes[keys[box.image_id]].append(box.box_xyxy_px)

    def boxes_of(self, image: str, prompt: str) -> FloatArray | None:
        """Give the pixel boxes, shape (M, 4), or None where the truth says nothing."""
        found = self._boxes.get((image, prompt), self._boxes.get((image, "")))
        return None if not found else np.array(found, dtype=np.float64)

    def size_of(self, image: str) -> tuple[int, int] | None:
        """Give an image's size, or None where the truth does not know the image."""
        return self._sizes.get(image)


@dataclass(frozen=True, slots=True)
class Beside:
    """What was found beside a samples file.

    Attributes:
        meta: How it was made, or None.
        truths: Exact boxes; none where there is no truth file, or one too large to hold.
        problems: What is wrong with these files.
    """

    meta: SamplesMeta | None
    truths: Truths
    problems: tuple[Problem, ...]


def read_beside(path: Path) -> Beside:
    """Read the files beside a samples file, whatever state they are in."""
    problems = []
    meta, truths = None, Truths()
    meta_file, truth_file = meta_path(path), truth_path(path)
    if not meta_file.exists():
        problems.append(Problem("meta_missing", path, 0, f"no {meta_file.name}"))
    else:
        try:
            meta = read_meta(meta_file)
        except RecordError as error:
            problems.append(Problem("meta_unreadable", meta_file, 0, _clause(error, meta_file)))
    if meta is not None and meta.coordinate_space == ABSOLUTE_RESIZED and space_of(meta) is None:
        problems.append(Problem("meta_unreadable", meta_file, 0, "does not say how the images are resized"))
    if meta is not None and meta.samples_sha256 != sha256_file(path):
        problems.append(Problem("meta_stale", path, 0, f"its hash is not the one in {meta_file.name}"))
    if not truth_file.exists():
        problems.append(Problem("truth_missing", path, 0, f"no {truth_file.name}"))
    else:
        try:
            truths = Truths(truth_file)
        except RecordError as error:
            problems.append(Problem("truth_unreadable", truth_file, 0, _clause(error, truth_file)))
    return Beside(meta, truths, tuple(problems))


class TruthCheck(SampleCheck):
    """Each image is in the truth, with its size.

    Args:
        truths: The truth.
        unscored: How many samples the meta says are not scored by boxes: so many may be missing in the truth.
    """

    def __init__(self, truths: Truths, unscored: int = 0) -> None:
        self._truths, self._unscored = truths, unscored
        self._wrong: set[str] = set()
        self._lacking: list[Problem] = []

    def look(self, view: SampleView) -> Iterable[Problem]:
        """Check one sample."""
        if not self._truths.is_known or not view.sample.images:
            return
        image = view.sample.images[0]
        expected = self._truths.size_of(image)
        if expected is None:
            self._lacking.append(view.problem("truth_lacks_image", image))
        elif min(view.size_wh) > 0 and view.size_wh != expected and image not in self._wrong:
            self._wrong.add(image)
            found, said = "{} x {}".format(*view.size_wh), "{} x {}".format(*expected)
            yield view.problem("truth_size", f"{image}: {found} pixels, the truth says {said}")

    def finish(self) -> Iterable[Problem]:
        """Say what is missing, where that is more than the answers in words."""
        return self._lacking if len(self._lacking) > self._unscored else ()


def check_model(path: Path, meta: SamplesMeta, model_dir: Path) -> Iterator[Problem]:
    """Compare how the samples were made with what the model speaks.

    Raises:
        ModelError: The folder holds no model.
    """
    grounding = _grounding(model_dir)
    family = None if grounding else spoken_family(model_dir)
    space = grounding.coordinate_space if grounding else (family.coordinate_space if family else "")
    if space and space != meta.coordinate_space:
        message = f"boxes are {meta.coordinate_space}, {model_dir.name} speaks {space}"
        yield Problem("space_differs", path, 0, message)
    elif space == ABSOLUTE_RESIZED:
        yield from _resizing(path, meta, model_dir, grounding)
    if grounding and grounding.answer_format != meta.answer_format:
        message = f"answers are {meta.answer_format}, {model_dir.name} was tuned on {grounding.answer_format}"
        yield Problem("format_differs", path, 0, message)


def _grounding(model_dir: Path) -> GroundingConfig | None:
    if not (model_dir / GROUNDING_FILE).exists():
        return None
    return read_grounding(model_dir)


def _resizing(
    path: Path, meta: SamplesMeta, model_dir: Path, grounding: GroundingConfig | None
) -> Iterator[Problem]:
    """Compare of which pixels the boxes are; training may still change an untuned model's image limits."""
    space = space_of(meta)
    if space is None or space.resize is None:
        return  # The meta was complained of already.
    ours = space.resize
    least, most = (
        (grounding.min_pixels, grounding.max_pixels)
        if grounding
        else (ours.image_min_pixels, ours.image_max_pixels)
    )
    theirs = read_resize(model_dir, least, most)
    if ours != theirs:
        message = f"boxes are of images resized with {ours}; {model_dir.name} resizes with {theirs}"
        yield Problem("space_differs", path, 0, message)


def _clause(error: RecordError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")
