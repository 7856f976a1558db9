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
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paddle_ground.answers import AnswerRegion, CoordMax, parse
from paddle_ground.infer.vocabulary import Vocabulary

_NAMED_BOX = re.compile(
    rb"<\|object_ref_start\|>(?P<label>[^<]*)<\|object_ref_end\|>"
    rb"<\|box_start\|>(?P<box>[^<]*)<\|box_end\|>"
    rb'|\{\s*"bbox_2d"\s*:\s*\[(?P<box_>[^\]]*)\]\s*,\s*"label"\s*:\s*"(?P<label_>(?:[^"\\]|\\.)*)"\s*\}'
)
_DIGITS = re.compile(rb"\d+")

Span = tuple[int, int]


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
    for match in _NAMED_BOX.finditer(text):
        found = parse(match.group().decode(errors="replace"), None, coord_max).regions
        if not found:
            continue
        names = ("label", "box") if match.group("label") is not None else ("label_", "box_")
        label, box = match.span(names[0]), match.span(names[1])
        digits = [(box[0] + m.start(), box[0] + m.end()) for m in _DIGITS.finditer(text[slice(*box)])]
        score = _mean_probability([label], starts, logprobs) * _mean_probability(digits, starts, logprobs)
        yield ScoredRegion(found[0], score)


def _mean_probability(spans: Sequence[Span], starts: Sequence[int], logprobs: Sequence[float]) -> float:
    """Geometric mean over the tokens that touch a span; 1 where none does."""
    chosen = [
        logprob
        for logprob, start, end in zip(logprobs, starts[:-1], starts[1:], strict=True)
        if any(start < high and low < end for low, high in spans)
    ]
    return min(1.0, math.exp(sum(chosen) / len(chosen))) if chosen else 1.0
