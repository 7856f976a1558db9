"""What several answers about one image have in common: boxes that enough of them name in the same place.

Takes the boxes of each sampling, gives those that are kept, with the share of samplings that found them.
Pure numbers: knows neither texts nor files.

That what a model says again and again is more often right is self-consistency (Wang et al. 2022,
arXiv:2203.11171). Putting overlapping boxes together instead of choosing one follows weighted boxes fusion
(Solovyev, Wang and Gabruseva 2021, arXiv:1910.13302); since samplings have no scores, each has one vote, and
a cluster's box is the median of its members, which one stray box does not move. Unlike fusion, which matches
each box with a running mean, every two members of a cluster must overlap (complete linkage), so the result
does not depend on the order of the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paddle_ground.boxes import as_boxes, iou_matrix
from paddle_ground.records.fields import BoxTuple


@dataclass(frozen=True, slots=True)
class SaidBox:
    """A box that one sampling named.

    Attributes:
        label: What it was called.
        box_xyxy_px: In pixels of the image; with an area.
    """

    label: str
    box_xyxy_px: BoxTuple


@dataclass(frozen=True, slots=True)
class AgreedBox:
    """A box that several samplings named.

    Attributes:
        label: What all of them called it.
        box_xyxy_px: The median of their boxes, coordinate by coordinate.
        agreement: The share of all samplings that named it, above 0 and at most 1.
    """

    label: str
    box_xyxy_px: BoxTuple
    agreement: float


@dataclass(frozen=True, slots=True)
class AgreementOptions:
    """When samplings agree.

    Attributes:
        iou: How much boxes of one label must overlap to mean the same thing, above 0 and at most 1.
        votes: How many samplings must name a box; None for more than half of them.
        min_agreement: The agreement that a question needs; see `Verdict`. 0 to 1.
    """

    iou: float = 0.5
    votes: int | None = None
    min_agreement: float = 0.5

    def votes_of(self, samplings: int) -> int:
        """Give how many of so many samplings must name a box."""
        return samplings // 2 + 1 if self.votes is None else self.votes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the answers to one question.

    Attributes:
        boxes: Those that are kept, in the order of the first answer that named them; () for nothing there.
        agreement: With boxes, the mean over all clusters, dropped ones too, of the share of samplings that
            named them: the share of the places for a box at which there is one. Without, the share of
            samplings that said that nothing is there.
        is_kept: Whether the samplings agree enough to be believed.
        dropped: How many clusters had too few votes.
    """

    boxes: tuple[AgreedBox, ...]
    agreement: float
    is_kept: bool
    dropped: int


def weigh(samplings: Sequence[Sequence[SaidBox] | None], options: AgreementOptions) -> Verdict:
    """Find what the answers to one question have in common.

    Args:
        samplings: The boxes of each sampling; () where it said that nothing is there, None where its answer
            could not be used. Such an answer counts among the samplings, and votes for nothing.
        options: When they agree.
    """
    total, votes = len(samplings), options.votes_of(len(samplings))
    clusters = _clusters([boxes or () for boxes in samplings], options.iou)
    kept = tuple(_merge(cluster, total) for cluster in clusters if len(cluster) >= votes)
    if kept:
        agreement = sum(len(cluster) for cluster in clusters) / (total * len(clusters))
        is_kept = agreement >= options.min_agreement
    else:
        empty = sum(boxes is not None and not boxes for boxes in samplings)
        agreement = empty / total if total else 0.0
        is_kept = empty >= votes and agreement >= options.min_agreement
    return Verdict(kept, agreement, is_kept, len(clusters) - len(kept))


def _clusters(samplings: Sequence[Sequence[SaidBox]], iou: float) -> list[list[SaidBox]]:
    """Put boxes of one label together; of each sampling a cluster has one box at most."""
    boxes = [box for said in samplings for box in said]
    owners = [number for number, said in enumerate(samplings) for _ in said]
    found: list[list[int]] = []
    for label in dict.fromkeys(box.label for box in boxes):
        places = [place for place, box in enumerate(boxes) if box.label == label]
        found += _link(places, boxes, owners, iou)
    return [[boxes[place] for place in cluster] for cluster in sorted(found)]


def _link(places: list[int], boxes: list[SaidBox], owners: list[int], iou: float) -> list[list[int]]:
    """Join clusters along the pairs that overlap most, as long as all pairs in them overlap enough."""
    own = as_boxes([boxes[place].box_xyxy_px for place in places])
    overlap = iou_matrix(own, own)
    first, second = np.nonzero(np.triu(overlap >= iou, 1))
    order = np.lexsort((second, first, -overlap[first, second]))
    cluster_of = {number: [number] for number in range(len(places))}
    for a, b in zip(first[order].tolist(), second[order].tolist(), strict=True):
        left, right = cluster_of[a], cluster_of[b]
        if left is right:
            continue
        joined = sorted((*left, *right))
        is_one_each = len({owners[places[number]] for number in joined}) == len(joined)
        if is_one_each and bool((overlap[np.ix_(left, right)] >= iou).all()):
            cluster_of.update(dict.fromkeys(joined, joined))
    clusters = {min(members): members for members in cluster_of.values()}
    return [[places[number] for number in members] for members in clusters.values()]


def _merge(cluster: Sequence[SaidBox], samplings: int) -> AgreedBox:
    x1, y1, x2, y2 = np.median(as_boxes([box.box_xyxy_px for box in cluster]), axis=0).tolist()
    return AgreedBox(cluster[0].label, (x1, y1, x2, y2), len(cluster) / samplings)
