"""Are labels usable, spelled in one way, known, and not contradicting each other?

Takes `SampleView`s, gives problems and the number of boxes of each label. Knows no image.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from paddle_ground.answers import AnswerRegion
from paddle_ground.boxes import iou_matrix
from paddle_ground.data.check.problems import Problem
from paddle_ground.data.check.targets import name_flaw
from paddle_ground.data.check.view import SampleCheck, SampleView, shown

_MAX_CLASSES = 2000  # With more labels than this they are phrases, not classes.
_MAX_COUNTED = 50_000
_MAX_BOXES = 1000  # Pairs of boxes are compared in answers up to this size.
_CONFLICT_IOU = 0.9
_MIN_TYPO_LENGTH = 5
_TYPO_SHARE = 0.1  # A typo is rare beside the right spelling.
_IMBALANCE = 100
_ENOUGH_BOXES = 1000


class LabelCheck(SampleCheck):
    """All about names.

    Args:
        class_names: Of the meta file; empty where there are no fixed classes.
    """

    def __init__(self, class_names: tuple[str, ...] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._class_names = frozenset(class_names)
        # Line numbers, not samples: phrases can be as many as samples.
        self._first: dict[str, int] = {}
        self._path = Path()
        self._named: set[str] = set()

    def look(self, view: SampleView) -> Iterator[Problem]:
        """Check one sample's labels."""
        regions, self._path = view.regions, view.path
        # A name in `objects` may break the answer around it, so that no region can be read.
        for name in dict.fromkeys([*view.sample.refs, *(r.label for r in regions if r.label)]):
            if name not in self._named and len(self._named) < _MAX_COUNTED:
                self._named.add(name)
                if flaw := name_flaw(name):
                    yield view.problem("label_unusable", flaw)
        for region in regions:
            if region.label not in self.counts and len(self.counts) < _MAX_COUNTED:
                self._first[region.label] = view.line
            if region.label in self._first:
                self.counts[region.label] += 1
        yield from _conflicts(regions, view)

    def finish(self) -> Iterator[Problem]:
        """Compare all labels with each other and with the classes."""
        if len(self.counts) > _MAX_CLASSES:
            return
        variants = dict(_variants(self.counts, self._class_names))
        for label, other in variants.items():
            message = (
                f"{shown(label)} ({self.counts[label]} boxes) beside {shown(other)} ({self.counts[other]})"
            )
            yield Problem("label_variant", self._path, self._first[label], message)
        yield from self._unknown(set(variants))
        yield from self._imbalance()

    def _unknown(self, variants: set[str]) -> Iterator[Problem]:
        unknown = set(self.counts) - self._class_names - {""}
        # Mostly others: the labels are phrases, and the classes are those that the phrases are about.
        if not self._class_names or len(unknown) > 0.5 * len(self.counts):
            return
        for label in sorted(unknown - variants):
            message = f"{shown(label)} ({self.counts[label]} boxes)"
            yield Problem("label_unknown", self._path, self._first[label], message)

    def _imbalance(self) -> Iterator[Problem]:
        if len(self.counts) < 2 or sum(self.counts.values()) < _ENOUGH_BOXES:
            return
        (common, most), (rare, least) = self.counts.most_common()[0], self.counts.most_common()[-1]
        if most >= _IMBALANCE * least:
            rarest = sum(count * _IMBALANCE <= most for count in self.counts.values())
            message = (
                f"{shown(common)} has {most} boxes, {shown(rare)} {least}; {rarest} classes have less than "
                f"1 in {_IMBALANCE} of the most frequent"
            )
            yield Problem("class_imbalance", self._path, 0, message)


def _conflicts(regions: list[AnswerRegion], view: SampleView) -> Iterator[Problem]:
    if len({region.label for region in regions}) < 2 or len(regions) > _MAX_BOXES:
        return
    for one, other in _near_pairs(regions):
        if one.label != other.label and one.label and other.label:
            if iou_matrix([one.box], [other.box])[0, 0] > _CONFLICT_IOU:
                first, second = shown(one.label), shown(other.label)
                yield view.problem("label_conflict", f"{first} and {second} share a box")


def _near_pairs(regions: list[AnswerRegion]) -> Iterator[tuple[AnswerRegion, AnswerRegion]]:
    """Give pairs of boxes that may overlap by more than 0.9: no side of theirs is a ninth apart.

    Sorted by their left side, so that most pairs are never looked at; in plain Python, since numpy on five
    boxes at a time would wait for the threads that read images.
    """
    order = sorted(regions, key=lambda region: region.box[0])
    for place, one in enumerate(order):
        x1, y1, x2, y2 = one.box
        gap_x, gap_y = (x2 - x1) / 9, (y2 - y1) / 9
        for other in islice(order, place + 1, None):
            if other.box[0] > x1 + gap_x:
                break
            if abs(other.box[1] - y1) <= gap_y and abs(other.box[2] - x2) <= gap_x:
                yield one, other


def _variants(counts: Counter[str], class_names: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Find (odd spelling, usual spelling)."""
    usual: dict[str, str] = {}
    for label, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if not label:
            continue
        same = usual.setdefault(_plain(label), label)
        if same != label:
            if not {same, label} <= class_names:
                yield label, same
            continue
        typo = next((usual[key] for key in _one_letter_off(label) if usual.get(key, label) != label), None)
        if typo is not None and _is_typo(label, typo, counts) and not {typo, label} <= class_names:
            yield label, typo
            continue
        for key in _one_letter_off(label):
            usual.setdefault(key, label)


def _plain(label: str) -> str:
    """Fold case, blanks, dashes and a plural's end."""
    words = re.sub(r"[\s_\-./]+", "", label.casefold())
    for end, stem in (("ies", "y"), ("es", "e"), ("s", "")):
        if len(words) > 3 and words.endswith(end) and not words.endswith("ss"):
            return words.removesuffix(end) + stem
    return words


def _one_letter_off(label: str) -> list[str]:
    """Give the label with one letter left out, each way; labels that share one are an edit or two apart."""
    plain = _plain(label)
    # Marked, so that it can't be taken for another label as it stands.
    return [f"\0{plain[:i]}{plain[i + 1 :]}" for i in range(len(plain))] + [f"\0{plain}"]


def _is_typo(label: str, usual: str, counts: Counter[str]) -> bool:
    if min(len(label), len(usual)) < _MIN_TYPO_LENGTH or counts[label] > _TYPO_SHARE * counts[usual]:
        return False
    # "class 1" and "class 2" are meant.
    return re.sub(r"\D", "", label) == re.sub(r"\D", "", usual)
