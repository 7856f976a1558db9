"""How sure a model is of each region: from the probabilities of the tokens that name and place it.

Takes an answer's tokens with their log-probabilities; gives a score for each region. Knows no image.

A region's score is the geometric mean of the probabilities of its label's tokens times the geometric
mean of its coordinate digits' probabilities, that is `exp(mean(log p) over label) * exp(mean(log p) over
digits)`: between 0 and 1, and not smaller merely because a name or a number is longer. Marks, brackets and
separators don't count: they say nothing about what is seen. Taking a sequence's own token probabilities as a
detector's confidence goes back to Pix2Seq (arXiv 2109.10852, section 2.2: the class token's likelihood);
normalising by length is the usual correction of language generation (arXiv 1609.08144, section 7).
With a grammar, probabilities are those among the tokens that it allowed, and forced tokens count as certain.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paddle_ground.answers import AnswerRegion, CoordMax, named_boxes, parse
from paddle_ground.infer.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class ScoredRegion:
    """A region as found in the text, with its score, 0..1."""

    region: AnswerRegion
    score: float


def scored_regions(
    token_ids: Sequence[int], logprobs: Sequence[float], vocabulary: Vocabulary, coord_max: CoordMax
) -> Iterator[ScoredRegion]:
    """Find an answer's regions and score them.

    Args:
        token_ids: The answer.
        logprobs: Natural logarithms of the tokens' probabilities, one each.
        vocabulary: Of the model.
        coord_max: Largest number of the model's coordinate space, or x's and y's.

    Yields:
        The well-formed regions, in the order of the text.
    """
    text, starts = vocabulary.offsets(token_ids)
    for one in named_boxes(text):
        found = parse(one.text, None, coord_max).regions
        if found:
            sure = _mean_probability([one.label], starts, logprobs)
            yield ScoredRegion(found[0], sure * _mean_probability(one.digits, starts, logprobs))


def _mean_probability(
    spans: Sequence[tuple[int, int]], starts: Sequence[int], logprobs: Sequence[float]
) -> float:
    """Geometric mean over the tokens that touch a span; 1 where none does."""
    touched = {
        token
        for low, high in spans
        for token in range(bisect_right(starts, low) - 1, bisect_left(starts, high))
    }
    chosen = [logprobs[token] for token in sorted(touched)]
    return min(1.0, math.exp(sum(chosen) / len(chosen))) if chosen else 1.0
