"""Text metrics of answers that are no boxes: BLEU-4 over characters, ROUGE-1/2/L over jieba's words.

Takes answers and references, gives scores and `TextMetrics`. Knows no model and no file. The numbers are
those of LLaMA-Factory's `ComputeSimilarity` (src/llamafactory/train/sft/metric.py): words by `jieba.cut`;
BLEU-4 over single characters, blanks included, one answer at a time, with NLTK's smoothing method 3;
ROUGE-1 and -2 over the distinct words and pairs of words, as `rouge_chinese` counts them unless told
otherwise; ROUGE-L over all words; means over answers, in percent, each rounded to 4 digits before; an answer
without a word has 0. What differs: special tokens are removed by their `<|...|>` form and not by a tokenizer.
Lin's ROUGE (2004) counts repeated words as often as they are repeated: for texts without any it is the same.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from paddle_ground.boxes import FloatArray
from paddle_ground.errors import EvaluationError, MissingExtraError

NAMES = ("bleu_4", "rouge_1", "rouge_2", "rouge_l")
"""The metrics, in the order of `score_texts`' columns."""

_SPECIAL = re.compile(r"<\|[a-z_]+\|>")
_BLANK = "\u2581"  # stands for a blank where sacreBLEU splits at blanks


@dataclass(frozen=True, slots=True)
class TextMetrics:
    """Means over answers, 0..100.

    Attributes:
        bleu_4: BLEU over 1 to 4 characters.
        rouge_1: F-measure over words.
        rouge_2: F-measure over pairs of words.
        rouge_l: F-measure of the longest common subsequence of words.
        answers: How many were scored.
    """

    bleu_4: float
    rouge_1: float
    rouge_2: float
    rouge_l: float
    answers: int

    def to_json(self) -> dict[str, float]:
        """Give what `metrics.json` holds."""
        return asdict(self)


class _Words:
    """Words that were cut already and joined with blanks, for rouge-score."""

    def tokenize(self, text: str) -> list[str]:
        return text.split()


def evaluate_text(answers: Sequence[str], references: Sequence[str]) -> TextMetrics:
    """Compare each answer with its one reference.

    Args:
        answers: N texts; special tokens are removed.
        references: N texts.

    Raises:
        EvaluationError: There are none, or not as many references as answers.
        MissingExtraError: jieba, sacrebleu or rouge-score is not installed.
    """
    return mean_scores(score_texts(answers, references))


def mean_scores(scores: FloatArray) -> TextMetrics:
    """Average the scores (N, 4) of `score_texts`."""
    means = [float(value) for value in scores.mean(axis=0)]
    return TextMetrics(means[0], means[1], means[2], means[3], len(scores))


def score_texts(answers: Sequence[str], references: Sequence[str]) -> FloatArray:
    """Score each answer; as `evaluate_text`, without the mean.

    Returns:
        Shape (N, 4), 0..100, columns as in `NAMES`.
    """
    if not answers or len(answers) != len(references):
        raise EvaluationError(
            f"found {len(answers)} answers and {len(references)} references; "
            "expected one reference for each answer and at least one"
        )
    try:
        import jieba
        from rouge_score.rouge_scorer import RougeScorer
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise MissingExtraError("text metrics", error.name or "sacrebleu", "eval") from error
    jieba.setLogLevel(logging.WARNING)
    rouge_l = RougeScorer(["rougeL"], tokenizer=_Words())
    bleu = BLEU(tokenize="none", smooth_method="exp", effective_order=True)
    rows = []
    for answer, reference in zip(map(_clean, answers), map(_clean, references), strict=True):
        said, meant = (" ".join(jieba.cut(text)).split() for text in (answer, reference))
        longest = rouge_l.score(" ".join(meant), " ".join(said))["rougeL"].fmeasure
        rows.append([
            _bleu(bleu.sentence_score(_characters(answer), [_characters(reference)])),
            100 * _distinct_f(said, meant, 1), 100 * _distinct_f(said, meant, 2), 100 * longest,
        ])  # fmt: skip
    scores: FloatArray = np.asarray(rows, dtype=np.float64)
    return scores.round(4)


def _distinct_f(said: Sequence[str], meant: Sequence[str], n: int) -> float:
    """F-measure over the distinct n-grams of two texts."""
    a, b = (set(zip(*(words[i:] for i in range(n)), strict=False)) for words in (said, meant))
    return 2 * len(a & b) / (len(a) + len(b)) if a and b else 0.0


def _clean(text: str) -> str:
    return _SPECIAL.sub("", text)


def _characters(text: str) -> str:
    return " ".join(_BLANK if character.isspace() else character for character in text)


def _bleu(scored: object) -> float:
    """Turn sacreBLEU's counts into NLTK's method3 for answers of fewer than 4 characters too.

    NLTK smooths the orders that such an answer has no n-gram of (as 0 of 1); sacreBLEU drops them.
    """
    counts, totals = getattr(scored, "counts"), getattr(scored, "totals")  # noqa: B009
    if not counts[0]:
        return 0.0
    zeros, logs = 0, 0.0
    for hits, total in zip(counts, totals, strict=True):
        zeros += not hits
        logs += math.log(hits / total if hits else 1 / (2**zeros * max(total, 1)))
    return float(100 * getattr(scored, "bp") * math.exp(logs / 4))  # noqa: B009
