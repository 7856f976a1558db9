"""Bring the predictions and the truth of each image together, or refuse what doesn't belong together.

Takes `Prediction`s and a `Truth`, gives one `ImageCase` an entry of the truth: an image, or one question
about it where it has several. Knows no metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from paddle_ground.errors import EvaluationError
from paddle_ground.evaluate.matching import Matches
from paddle_ground.records import Category, Prediction, Region, Truth, TruthBox, TruthImage


@dataclass(frozen=True, slots=True)
class ImageCase:
    """All that is known about one entry of the truth.

    Attributes:
        image_id: The entry's id.
        truth: Its true boxes, by id, crowds included.
        regions: What was predicted, each with the category id of its name, or None for an unknown name.
        is_answered: Whether any prediction is about this image, be it an empty or failed one.
        matched: What is known of it already: (category id, IoU threshold) -> what its boxes found. Filled by
            `match_case_at`, so that measures share one matching.
    """

    image_id: int
    truth: tuple[TruthBox, ...]
    regions: tuple[tuple[int | None, Region], ...]
    is_answered: bool
    matched: dict[tuple[int | None, float], Matches] = field(default_factory=dict, compare=False, repr=False)

    def category_ids(self) -> list[int | None]:
        """Name the categories that occur here, unknown (None) last."""
        ids = {box.category_id for box in self.truth} | {
            known for known, _ in self.regions if known is not None
        }
        unknown: list[int | None] = [None] if any(known is None for known, _ in self.regions) else []
        return [*sorted(ids), *unknown]


class CategoryNames:
    """Finds categories by the names that models say.

    Args:
        categories: With distinct names.

    Raises:
        EvaluationError: Two categories have one name.
    """

    def __init__(self, categories: Iterable[Category]) -> None:
        self._exact: dict[str, int] = {}
        self._folded: dict[str, int | None] = {}
        for category in categories:
            if category.name in self._exact:
                raise EvaluationError(
                    f"two categories of the truth are called {category.name!r}; give each its own name"
                )
            self._exact[category.name] = category.id
            folded = _fold(category.name)
            # "Cat" and "cat" as two classes: then only the exact name counts.
            self._folded[folded] = None if folded in self._folded else category.id

    def find(self, label: str) -> int | None:
        """Give a category's id by its exact name, else by its name in any case; None if nobody has it."""
        return self._exact.get(label, self._folded.get(_fold(label)))


def pair_up(predictions: Sequence[Prediction], truth: Truth) -> tuple[ImageCase, ...]:
    """Sort predictions and true boxes by image.

    Args:
        predictions: In any order.
        truth: In any order.

    Returns:
        One case an entry of the truth, by its id, whatever the order of the records.

    Raises:
        EvaluationError: See `evaluate_detection`.
    """
    entries = TruthEntries(truth.images)
    names = CategoryNames(truth.categories)
    answers: dict[int, list[Prediction]] = {image.id: [] for image in truth.images}
    for prediction, image in _checked(predictions, entries):
        answers[image.id].append(prediction)
    boxes: dict[int, list[TruthBox]] = {image.id: [] for image in truth.images}
    for box in sorted(truth.annotations, key=lambda box: box.id):
        boxes[box.image_id].append(box)
    meant = {image.id: _meant(boxes[image.id], truth.categories) for image in truth.images if image.phrase}
    return tuple(
        ImageCase(
            image_id=image_id,
            truth=tuple(boxes[image_id]),
            regions=tuple(
                (meant[image_id] if image_id in meant else names.find(region.label), region)
                for prediction in sorted(answers[image_id], key=lambda one: one.index)
                for region in prediction.regions
            ),
            is_answered=bool(answers[image_id]),
        )
        for image_id in sorted(answers)
    )


def truth_about(truth: Truth, asked: Iterable[tuple[str, str]]) -> Truth:
    """Keep what was asked for: where only a part of a set was, the rest is not missed.

    Args:
        truth: Of the whole set.
        asked: (file name, prompt) of each question; those that no entry is about are passed over.
    """
    entries = TruthEntries(truth.images)
    kept = {image.id for one in asked if (image := entries.find(*one)) is not None}
    images = tuple(image for image in truth.images if image.id in kept)
    boxes = tuple(box for box in truth.annotations if box.image_id in kept)
    return Truth(images, boxes, truth.categories)


class TruthEntries:
    """Finds the entry of the truth that a prediction is about.

    Args:
        images: The entries; an image may have several, told apart by their prompts.

    Raises:
        EvaluationError: Two entries can't be told apart.
    """

    def __init__(self, images: Iterable[TruthImage]) -> None:
        self._by_key: dict[tuple[str, str], TruthImage] = {}
        self._files: set[str] = set()
        for image in images:
            key = (image.file_name, image.prompt)
            if key in self._by_key:
                prompt = f" for the prompt {image.prompt!r}" if image.prompt else ""
                raise EvaluationError(
                    f"the truth names the image {image.file_name!r} twice{prompt}; keep one entry"
                )
            self._by_key[key] = image
            self._files.add(image.file_name)

    def find(self, file_name: str, prompt: str) -> TruthImage | None:
        """Give the entry for this very prompt, else the one for any prompt; None if there is neither."""
        return self._by_key.get((file_name, prompt)) or self._by_key.get((file_name, ""))

    def knows(self, file_name: str) -> bool:
        """Tell whether any entry is about this image."""
        return file_name in self._files


def _meant(boxes: Sequence[TruthBox], categories: Sequence[Category]) -> int | None:
    """Give the category that all answers to a phrase count as."""
    if boxes:
        return boxes[0].category_id
    # Nothing is there: whatever is predicted is wrong, in AP too, which leaves unknown names out.
    return categories[0].id if categories else None


def _checked(predictions: Sequence[Prediction], entries: TruthEntries) -> list[tuple[Prediction, TruthImage]]:
    strangers = [prediction.image for prediction in predictions if not entries.knows(prediction.image)]
    if strangers:
        raise EvaluationError(
            f"{len(strangers)} of {len(predictions)} predictions are of images that are not in the truth, "
            f"first {strangers[0]!r}; score them against the truth.json of the samples they were made from"
        )
    found: list[tuple[Prediction, TruthImage]] = []
    seen: set[tuple[str, str]] = set()
    for prediction in predictions:
        image = entries.find(prediction.image, prediction.prompt)
        if image is None:
            raise EvaluationError(
                f"{prediction.image}: no entry of the truth has the prompt {prediction.prompt!r}; "
                "score predictions against the truth.json of the samples they were made from"
            )
        # An image that could not be opened has no size: (0, 0).
        if prediction.status != "error" and tuple(prediction.size_wh) != tuple(image.size_wh):
            raise EvaluationError(
                f"{prediction.image}: predicted at {_size(prediction.size_wh)} pixels, "
                f"but the truth says {_size(image.size_wh)}; predict on the images of this truth"
            )
        if (prediction.image, prediction.prompt) in seen:
            raise EvaluationError(
                f"{prediction.image}: predicted twice for one prompt (again at index {prediction.index}); "
                "score one run's file at a time"
            )
        seen.add((prediction.image, prediction.prompt))
        found.append((prediction, image))
    return found


def _size(size_wh: tuple[int, int]) -> str:
    return f"{size_wh[0]} x {size_wh[1]}"


def _fold(name: str) -> str:
    return " ".join(name.casefold().split())
