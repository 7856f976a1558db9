"""What another format can't say: counted, so that nothing gets lost unsaid.

Takes samples and their truth, gives counts in the words that the command prints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from paddle_ground.records import Sample, Truth, read_samples, read_truth, truth_path

_SAME_AREA = 1e-3  # Of the area of a box, which others write with fewer digits.


def count_pictures(samples_path: Path, truth: Truth, areas: bool, crowds: bool) -> Counter[str]:
    """Count what is lost where only images, boxes and classes are said.

    Args:
        samples_path: The samples.
        truth: All of their boxes.
        areas: Whether the format holds areas.
        crowds: Whether it holds crowd flags.
    """
    counts: Counter[str] = Counter()
    known = {image.file_name for image in truth.images}
    prompts: dict[str, set[str]] = {}
    for sample in read_samples(samples_path):
        if sample.images[0] in known:
            prompts.setdefault(sample.images[0], set()).add(sample.prompt)
        else:
            counts["conversations left out"] += 1
    counts["questions made one"] = sum(len(own) - 1 for own in prompts.values())
    counts["phrases left out"] = sum(bool(image.phrase) for image in truth.images)
    if not crowds:
        counts["crowd boxes left out"] = sum(box.is_crowd for box in truth.annotations)
    if not areas:
        counts["areas left out"] = _own_areas(truth, crowds)
    return +counts


class ConversationLosses:
    """Counts what is lost where only conversations are said.

    Args:
        samples_path: The samples; their truth may be missing, which then says nothing more than they do.
    """

    def __init__(self, samples_path: Path) -> None:
        path = truth_path(samples_path)
        self._truth = read_truth(path) if path.is_file() else None
        self._said: dict[tuple[tuple[str, ...], str], int] = {}
        self._names: set[str] = set()

    def add(self, sample: Sample) -> None:
        """Take note of a sample; the same one again, for a rare class, says nothing new."""
        self._said[sample.images, sample.prompt] = len(sample.boxes)
        self._names.update(sample.refs)

    def counts(self) -> Counter[str]:
        """Give the counts."""
        if self._truth is None:
            return Counter()
        crowds = sum(box.is_crowd for box in self._truth.annotations)
        unsaid = len(self._truth.annotations) - crowds - sum(self._said.values())
        classes = [category.name for category in self._truth.categories]
        counts = Counter(
            {
                "crowd boxes left out": crowds,
                "boxes that no answer names left out": unsaid,
                "areas left out": _own_areas(self._truth, False),
                "class names without a box left out": _unused(classes, self._names),
            }
        )
        return +counts


def _unused(classes: Iterable[str], names: set[str]) -> int:
    return len(set(classes) - names) if names & set(classes) else 0


def _own_areas(truth: Truth, crowds: bool) -> int:
    """Count areas that the box does not tell: of a mask."""
    count = 0
    for box in truth.annotations:
        left, top, right, bottom = box.box_xyxy_px
        own = (right - left) * (bottom - top)
        count += (crowds or not box.is_crowd) and abs(box.area - own) > _SAME_AREA * own + _SAME_AREA
    return count
