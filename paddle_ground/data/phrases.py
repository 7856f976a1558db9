"""Phrases that mean nothing in an image: drawn from those of other images, with care.

Takes the phrases of a data set with the classes that they mean, gives for a row a phrase that nothing
in it should fit. A phrase is taken only if

* none of its classes is among the row's boxes (where the data set has more than one class), and
* none of its content words stands in a phrase of the row, or in the name of a class that is there.

Content words leave out articles, prepositions and words of place ("left", "second"), which fit any
image; a plural counts as its singular; Chinese is compared by pairs of characters. What nobody
annotated can still be there: a data set that names few of the objects it shows gives wrong negatives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from paddle_ground.data.source import SourceRow
from paddle_ground.errors import ConfigError
from paddle_ground.prompts import refer

MOST_PHRASES = 20_000
_TRIES = 50
_IDLE = frozenset(
    "a an the this that these those of on in at to by with and or from for is are its his her their it "
    "left right top bottom upper lower middle center centre front back behind above below near next "
    "side far closest nearest furthest first second third fourth last one two three other another "
    "most only corner between under over up down out who whose which what where there".split()
)
_HAN = re.compile(r"[\u3400-\u9fff]+")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class KnownPhrase:
    """A phrase, the classes of the boxes that it means somewhere, and its content words."""

    phrase: str
    categories: frozenset[int]
    words: frozenset[str]


class PhrasePool:
    """The phrases of a data set, to draw absent ones from.

    Args:
        phrases: Each with the category ids of its boxes; of one that stands there several times the
            categories are joined.
        classes: How many classes the data set has.
        seed: Of the choice, where there are more than `MOST_PHRASES`.
    """

    def __init__(self, phrases: Iterable[tuple[str, Iterable[int]]], classes: int, seed: int) -> None:
        means: dict[str, set[int]] = {}
        for phrase, categories in phrases:
            means.setdefault(" ".join(phrase.split()), set()).update(categories)
        usable = [(phrase, ids) for phrase, ids in sorted(means.items()) if _can_be_asked(phrase)]
        if len(usable) > MOST_PHRASES:
            chosen = np.random.default_rng(seed).permutation(len(usable))[:MOST_PHRASES]
            usable = [usable[place] for place in sorted(chosen.tolist())]
        known = (KnownPhrase(phrase, frozenset(ids), content_words(phrase)) for phrase, ids in usable)
        # Nothing tells where "the left one" is absent.
        self._known = tuple(one for one in known if one.words)
        self._by_class = classes > 1

    def draw_absent(
        self, row: SourceRow, class_names: Sequence[str], draw: np.random.Generator
    ) -> str | None:
        """Draw a phrase that should mean nothing in a row; None where none was found.

        Args:
            row: With all of its boxes, crowds too.
            class_names: By category id.
            draw: Decides.
        """
        if not self._known:
            return None
        there = set(row.category_ids.tolist())
        texts = [referral.phrase for referral in row.referrals]
        if self._by_class:
            texts += [class_names[category] for category in there]
        words = frozenset[str]().union(*map(content_words, texts))
        places: list[int] = draw.integers(0, len(self._known), _TRIES).tolist()
        for place in places:
            one: KnownPhrase = self._known[place]
            if one.words & words or (self._by_class and one.categories & there):
                continue
            return one.phrase
        return None


def content_words(text: str) -> frozenset[str]:
    """Give the words that tell what a phrase is about, singular and in lower case."""
    folded = text.casefold()
    pairs = {run[start : start + 2] for run in _HAN.findall(folded) for start in range(max(len(run) - 1, 1))}
    words = (_singular(word) for word in _WORD.findall(_HAN.sub(" ", folded)))
    return frozenset(pairs | {word for word in words if word not in _IDLE})


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _can_be_asked(phrase: str) -> bool:
    try:
        refer(phrase)
    except ConfigError:
        return False
    return True
