"""What the report's gallery knows about each image: boxes with what became of them, answers, its picture.

Takes predictions and a truth, gives plain values. Knows no HTML. Where there is more than a page can hold,
images are left out evenly and long answers are cut; the numbers of the page always count everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from paddle_ground.evaluate.mistakes import HIT, IGNORED, MISTAKES, CaseMistakes, find_mistakes
from paddle_ground.evaluate.pairing import ImageCase, TruthEntries
from paddle_ground.records import Prediction, Truth, TruthImage

KINDS = (HIT, IGNORED, *MISTAKES)
"""A box's kind is its number in this."""
ANSWER_CHARACTERS = 4000
LABEL_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """One model on one entry of the truth."""

    case: ImageCase
    mistakes: CaseMistakes
    answers: tuple[Prediction, ...]

    @property
    def is_read(self) -> bool:
        """Whether there is an answer, and each could be read."""
        return bool(self.answers) and all(one.status in ("ok", "repaired") for one in self.answers)


def entries_of(
    predictions: Sequence[Prediction], truth: Truth, cases: Sequence[ImageCase], iou_threshold: float
) -> list[Entry]:
    """Bring predictions, truth and mistakes together.

    Args:
        predictions: Of one model.
        truth: Of the same images.
        cases: What `pair_up` gives for the two.
        iou_threshold: From which overlap on a box counts as found.

    Returns:
        One entry a `TruthImage`, by its id.
    """
    find = TruthEntries(truth.images).find
    answers: dict[int, list[Prediction]] = {}
    for prediction in sorted(predictions, key=lambda one: one.index):
        image = find(prediction.image, prediction.prompt)
        if image is not None:
            answers.setdefault(image.id, []).append(prediction)
    return [
        Entry(case, find_mistakes(case, iou_threshold), tuple(answers.get(case.image_id, ())))
        for case in cases
    ]


def gallery(
    truth: Truth,
    after: Sequence[Entry],
    before: Sequence[Entry] | None,
    most: int,
    size_of: Callable[[dict[str, Any]], int],
    budget_bytes: int,
) -> tuple[dict[str, Any], list[str]]:
    """Describe the images that the page can hold.

    Args:
        truth: Of both models.
        after: By image id.
        before: Another model's, in the same order; None without one.
        most: No more entries than this, evenly drawn.
        size_of: Tells how many bytes a description takes on the page.
        budget_bytes: What it may take; fewer entries if need be.

    Returns:
        The description, and the image files that it names, in the order of its picture numbers.
    """
    images = sorted(truth.images, key=lambda image: image.id)
    rows = _evenly(range(len(images)), most)
    while True:
        told = _Describer(truth)
        cases = [told.case(images[row], after[row], before[row] if before else None) for row in rows]
        document = {"kinds": KINDS, "labels": told.labels, "cases": cases}
        size = size_of(document)
        if size <= budget_bytes or len(rows) <= 1:
            return document, told.files
        rows = _evenly(rows, max(1, min(len(rows) - 1, int(0.95 * len(rows) * budget_bytes / size))))


class _Describer:
    """Writes entries down; labels and image files once each."""

    def __init__(self, truth: Truth) -> None:
        self._names = {category.id: category.name for category in truth.categories}
        self._label_rows: dict[str, int] = {}
        self._file_rows: dict[str, int] = {}

    @property
    def labels(self) -> list[str]:
        return list(self._label_rows)

    @property
    def files(self) -> list[str]:
        return list(self._file_rows)

    def case(self, image: TruthImage, after: Entry, before: Entry | None) -> dict[str, Any]:
        told: dict[str, Any] = {
            "id": image.id,
            "name": image.file_name,
            "picture": self._file_rows.setdefault(image.file_name, len(self._file_rows)),
            "size": list(image.size_wh),
            "truth": [
                [*_short(box.box_xyxy_px), self._label(self._names[box.category_id]), int(box.is_crowd)]
                for box in after.case.truth
            ],
            "after": self._model(after),
        }
        if image.phrase:
            told["phrase"] = _cut(image.phrase, ANSWER_CHARACTERS)
        if before is not None:
            told["before"] = self._model(before)
        return told

    def _model(self, entry: Entry) -> dict[str, Any]:
        regions = zip(entry.case.regions, entry.mistakes.outcomes, strict=True)
        return {
            "boxes": [
                [
                    *_short(region.box_xyxy_px), self._label(region.label),
                    None if region.score is None else round(region.score, 4), KINDS.index(outcome.kind),
                    round(outcome.iou, 3), -1 if outcome.truth is None else outcome.truth,
                ]
                for (_, region), outcome in regions
            ],
            "answers": [_answer(one) for one in entry.answers],
            "read": int(entry.is_read),
        }  # fmt: skip

    def _label(self, label: str) -> int:
        return self._label_rows.setdefault(_cut(label, LABEL_CHARACTERS), len(self._label_rows))


def _answer(prediction: Prediction) -> dict[str, Any]:
    told: dict[str, Any] = {
        "line": prediction.index,
        "prompt": _cut(prediction.prompt, ANSWER_CHARACTERS),
        "text": _cut(prediction.text, ANSWER_CHARACTERS),
        "status": prediction.status,
    }
    if prediction.repairs:
        told["repairs"] = list(prediction.repairs)
    if prediction.error:
        told["error"] = _cut(prediction.error, ANSWER_CHARACTERS)
    return told


def _cut(text: str, most: int) -> str:
    rest = len(text) - most
    return text if rest <= 0 else f"{text[:most]} … ({rest} more characters)"


def _short(box_xyxy_px: Sequence[float]) -> list[float]:
    return [round(value, 1) for value in box_xyxy_px]


def _evenly(rows: Sequence[int], most: int) -> Sequence[int]:
    n = len(rows)
    return rows if n <= most else [rows[i * n // most] for i in range(most)]
