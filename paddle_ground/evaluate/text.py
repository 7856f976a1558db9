"""Text metrics of answers that are no boxes: BLEU-4 over characters, ROUGE-1/2/L over jieba's words.

Takes answers and references (or predictions.jsonl and samples or Alpaca records), gives `TextMetrics`.
Knows no model. They follow LLaMA-Factory's `ComputeSimilarity` (src/llamafactory/train/sft/metric.py).

Equal: words by `jieba.cut`; BLEU-4 over single characters, blanks included, one sentence at a time with
NIST smoothing (NLTK's method3); all four are means over answers, in percent, rounded to 4 digits before
averaging; an empty answer has 0. Different: ROUGE is rouge-score's, after Lin (2004), where
LLaMA-Factory uses `rouge_chinese`, which takes the blanks between English words as (empty) words, and
can count a repeated word once only; special tokens are removed by their `<|...|>` form, not by a
tokenizer; blanks at the ends are removed.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from paddle_ground.errors import EvaluationError, MissingExtraError, RecordError
from paddle_ground.records import read_predictions, read_samples
from paddle_ground.records.fields import Fields

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
    """jieba's words, for rouge-score."""

    def tokenize(self, text: str) -> list[str]:
        import jieba

        jieba.setLogLevel(logging.WARNING)
        return " ".join(jieba.cut(text)).split()


def evaluate_text(answers: Sequence[str], references: Sequence[str]) -> TextMetrics:
    """Compare each answer with its one reference.

    Args:
        answers: N texts; special tokens are removed.
        references: N texts.

    Raises:
        EvaluationError: There are none, or not as many references as answers.
        MissingExtraError: jieba, sacrebleu or rouge-score is not installed.
    """
    if not answers or len(answers) != len(references):
        raise EvaluationError(
            f"found {len(answers)} answers and {len(references)} references; "
            "expected one reference for each answer and at least one"
        )
    try:
        import jieba  # noqa: F401
        from rouge_score.rouge_scorer import RougeScorer
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise MissingExtraError("text metrics", error.name or "sacrebleu", "eval") from error
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_Words())
    bleu = BLEU(tokenize="none", smooth_method="exp", effective_order=True)
    sums = [0.0, 0.0, 0.0, 0.0]
    for answer, reference in zip(map(_clean, answers), map(_clean, references), strict=True):
        rouge = scorer.score(reference, answer)
        scored = [_bleu(bleu.sentence_score(_characters(answer), [_characters(reference)]))]
        scored += [100 * rouge[name].fmeasure for name in ("rouge1", "rouge2", "rougeL")]
        sums = [total + round(value, 4) for total, value in zip(sums, scored, strict=True)]
    means = [total / len(answers) for total in sums]
    return TextMetrics(means[0], means[1], means[2], means[3], len(answers))


def evaluate_text_files(
    predictions_path: str | os.PathLike[str], references_path: str | os.PathLike[str]
) -> TextMetrics:
    """Score the texts of predictions.jsonl; a prediction's `index` names its reference.

    Args:
        predictions_path: predictions.jsonl.
        references_path: samples.jsonl, or a .json list of Alpaca records (`output` is the reference).

    Raises:
        RecordError: A file can't be read.
        EvaluationError: No predictions, one index twice, or an index without a reference.
        MissingExtraError: See `evaluate_text`.
    """
    references = _references(Path(references_path))
    answers: dict[int, str] = {}
    for prediction in read_predictions(predictions_path):
        if prediction.index in answers or prediction.index >= len(references):
            raise EvaluationError(
                f"{os.fspath(predictions_path)}: index {prediction.index} is there twice or beyond the "
                f"{len(references)} references; score it against the samples it was made from"
            )
        answers[prediction.index] = prediction.text
    return evaluate_text(list(answers.values()), [references[index] for index in answers])


def _references(path: Path) -> list[str]:
    if path.suffix != ".json":
        return [sample.target for sample in read_samples(path)]
    try:
        records = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: cannot read this as JSON ({error}); check the path") from error
    if not isinstance(records, list):
        raise RecordError(f"{path}: expected a list of Alpaca records; give a .jsonl of samples otherwise")
    return [Fields(record, f"{path}: [{i}]").text("output") for i, record in enumerate(records)]


def _clean(text: str) -> str:
    return _SPECIAL.sub("", text).strip()


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
