"""Texts on files: predictions and references in, tables and metrics.json out; one model or two.

Takes paths, gives text to print. The metrics are `text`'s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from paddle_ground.boxes import FloatArray
from paddle_ground.errors import EvaluationError, RecordError
from paddle_ground.evaluate.compare import COMPARE_NAME, Difference
from paddle_ground.evaluate.run import METRICS_NAME
from paddle_ground.evaluate.table import lay_out
from paddle_ground.evaluate.text import NAMES, TextMetrics, mean_scores, score_texts
from paddle_ground.files import write_text
from paddle_ground.records import read_predictions, read_samples
from paddle_ground.records.fields import Fields

_TITLES = dict(zip(NAMES, ("BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L"), strict=True))


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
    return mean_scores(np.stack(list(_scores(Path(predictions_path), Path(references_path)).values())))


def report_texts(
    predictions: Sequence[Path], references: Path, output: Path, resamples: int, seed: int, *, as_json: bool
) -> str:
    """Score one predictions file, or compare two, and write metrics.json or compare.json.

    Raises:
        RecordError: A file can't be read.
        EvaluationError: See `evaluate_text_files`; or the two files answer different samples.
        DataError: The folder can't be written.
        MissingExtraError: See `evaluate_text`.
    """
    scores = [_scores(path, references) for path in predictions]
    metrics = [mean_scores(np.stack(list(one.values()))) for one in scores]
    document: dict[str, object] = dict(metrics[0].to_json())
    path = output / METRICS_NAME
    if len(scores) == 2:
        if scores[0].keys() != scores[1].keys():
            raise EvaluationError(
                f"{predictions[0]} answers {len(scores[0])} samples and {predictions[1]} {len(scores[1])}, "
                "not the same ones; predict the same samples with both models"
            )
        order = sorted(scores[0])
        a, b = (np.stack([one[index] for index in order]) for one in scores)
        differences = bootstrap_means(a, b, resamples, seed)
        document = {
            "a": metrics[0].to_json(),
            "b": metrics[1].to_json(),
            "differences": [{name: getattr(one, name) for name in one.__slots__} for one in differences],
            "resamples": resamples,
            "seed": seed,
        }
        path = output / COMPARE_NAME
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")
    if as_json:
        return text
    names = ("A", "B") if len(metrics) == 2 else (predictions[0].stem,)
    table = lay_out(
        ["Texts (0..100)", *_TITLES.values(), "answers"],
        [
            [name, *(f"{getattr(one, field):.2f}" for field in NAMES), str(one.answers)]
            for name, one in zip(names, metrics, strict=True)
        ],
    )
    parts = [table]
    if len(metrics) == 2:
        parts.append("\n".join(map(_difference_line, differences)))
    return "\n\n".join([*parts, f"wrote {path}"])


def _difference_line(one: Difference) -> str:
    interval = f"95 % interval {one.low:+.2f} ... {one.high:+.2f}"
    return f"{_TITLES[one.name]:8} B-A {one.difference:+.2f}   {interval}"


def bootstrap_means(a: FloatArray, b: FloatArray, resamples: int, seed: int) -> tuple[Difference, ...]:
    """Give the differences of two models' means with 95 % intervals, paired over answers.

    Args:
        a: The first model's scores, (N, 4), in the order of `NAMES`.
        b: The second model's, of the same answers.
        resamples: Drawings.
        seed: Of the drawing.
    """
    draws = np.random.default_rng(seed)
    gains = b - a
    drawn = np.stack([gains[draws.integers(0, len(a), len(a))].mean(axis=0) for _ in range(resamples)])
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    columns = (a.mean(axis=0), b.mean(axis=0), gains.mean(axis=0), low, high)
    return tuple(Difference(name, *(float(column[k]) for column in columns)) for k, name in enumerate(NAMES))


def _scores(predictions_path: Path, references_path: Path) -> dict[int, FloatArray]:
    """Score each answer, by the index of its sample."""
    references = _references(references_path)
    answers: dict[int, str] = {}
    for prediction in read_predictions(predictions_path):
        if prediction.index in answers or prediction.index >= len(references):
            raise EvaluationError(
                f"{predictions_path}: index {prediction.index} is there twice or beyond the "
                f"{len(references)} references; score it against the samples it was made from"
            )
        answers[prediction.index] = prediction.text
    if not answers:
        raise EvaluationError(f"{predictions_path}: no predictions in it; run `paddle-ground predict`")
    scores = score_texts(list(answers.values()), [references[index] for index in answers])
    return dict(zip(answers, scores, strict=True))


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
