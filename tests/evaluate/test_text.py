"""Text metrics, against numbers worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from paddle_ground.errors import EvaluationError, RecordError
from paddle_ground.evaluate import evaluate_text, evaluate_text_files
from paddle_ground.records import Prediction, PredictionSink

pytest.importorskip("jieba")
pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")


def test_the_same_text_has_all() -> None:
    same = evaluate_text(["on the table<|im_end|>"], ["on the table"])
    assert (same.bleu_4, same.rouge_1, same.rouge_2, same.rouge_l) == pytest.approx((100,) * 4)


def test_rouge_by_hand() -> None:
    # Words a b c d against a c b d: 4 of 4; no pair in common; longest common subsequence 3.
    found = evaluate_text(["red box blue cup"], ["red blue box cup"])
    assert (found.rouge_1, found.rouge_2, found.rouge_l) == pytest.approx((100, 0, 75))


def test_chinese_is_cut_into_words() -> None:
    # 我 / 来到 / 北京 against 我 / 来到 / 上海: 2 of 3 words, 1 of 2 pairs.
    found = evaluate_text(["我来到北京"], ["我来到上海"])
    assert (found.rouge_1, found.rouge_2) == pytest.approx((66.6667, 50.0))
    # Characters: 3 of 5, 2 of 4, 1 of 3, and 0 of 2, smoothed to 1 / (2 * 2).
    assert found.bleu_4 == pytest.approx(100 * (3 / 5 * 2 / 4 * 1 / 3 * 1 / 4) ** 0.25, abs=1e-4)


def test_bleu_of_short_answers_is_smoothed_as_nltk_does() -> None:
    # 2 of 2, 1 of 1, then two orders without an n-gram: 1/2 and 1/4.
    assert evaluate_text(["no"], ["no"]).bleu_4 == pytest.approx(100 * (1 / 8) ** 0.25, abs=1e-4)
    # Too short besides: brevity penalty exp(1 - 4/2).
    short = evaluate_text(["no"], ["nope"]).bleu_4
    assert short == pytest.approx(100 * math.exp(-1) * (1 / 8) ** 0.25, abs=1e-4)


def test_empty_and_wrong_answers_have_nothing_and_the_mean_counts_them() -> None:
    found = evaluate_text(["", "xyz", "kitchen"], ["kitchen"] * 3)
    assert found.rouge_1 == pytest.approx(100 / 3)
    assert found.bleu_4 == pytest.approx(100 / 3)


def test_alpaca_records_are_references(tmp_path: Path) -> None:
    both = ["a.png", "b.png"]
    records = [{"instruction": "Where?", "images": both, "output": text} for text in ("left", "up")]
    path = tmp_path / "qa.json"
    path.write_text(json.dumps(records))
    predictions = tmp_path / "predictions.jsonl"
    with PredictionSink(predictions) as sink:
        sink.write(Prediction(0, "a.png", (9, 9), "Where?", "left", "failed"))
        sink.write(Prediction(1, "b.png", (9, 9), "Where?", "down", "failed"))
    found = evaluate_text_files(predictions, path)
    assert (found.rouge_1, found.answers) == (50.0, 2)
    path.write_text(json.dumps(records[:1]))
    with pytest.raises(EvaluationError, match="index 1"):
        evaluate_text_files(predictions, path)
    path.write_text('[{"instruction": "Where?"}]')
    with pytest.raises(RecordError, match=r"qa\.json: \[0\]: `output` is missing"):
        evaluate_text_files(predictions, path)


def test_as_many_references_as_answers() -> None:
    with pytest.raises(EvaluationError, match="1 answers and 0 references"):
        evaluate_text(["a"], [])
