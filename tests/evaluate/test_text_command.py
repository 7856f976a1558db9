"""`paddle-ground eval` on texts: what is recognised, printed and written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddle_ground.cli import main
from paddle_ground.records import (
    Category,
    Message,
    Prediction,
    PredictionSink,
    Sample,
    SamplesMeta,
    TruthWriter,
    write_meta,
    write_samples,
)

pytest.importorskip("jieba")
pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")

QUESTIONS = [("沙发是什么颜色？", "沙发是白色的"), ("Where is the cup?", "on the kitchen table")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two questions about two images each; model A is wrong on the second one."""
    samples = [
        Sample((Message("user", f"<image><image>{ask}"), Message("assistant", answer)), ("a.png", "b.png"))
        for ask, answer in QUESTIONS
    ]
    write_samples(tmp_path / "qa.jsonl", samples)
    records = [{"instruction": ask, "images": ["a.png", "b.png"], "output": said} for ask, said in QUESTIONS]
    (tmp_path / "qa.json").write_text(json.dumps(records, ensure_ascii=False))
    for name, second in (("a.jsonl", "in bed"), ("b.jsonl", QUESTIONS[1][1])):
        with PredictionSink(tmp_path / name) as sink:
            for index, text in enumerate((QUESTIONS[0][1], second)):
                sink.write(Prediction(index, "a.png", (9, 9), "?", f"{text}<|im_end|>", "failed"))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["eval", *words])
    shown = capsys.readouterr()
    assert not stop.value.code, shown.err
    return shown.out


@pytest.mark.parametrize("samples", ["qa.jsonl", "qa.json"])
def test_texts_are_known_by_themselves(
    capsys: pytest.CaptureFixture[str], folder: Path, samples: str
) -> None:
    out = run(capsys, str(folder / "b.jsonl"), str(folder / samples), "-o", str(folder / "out"))
    assert "BLEU-4" in out
    assert out.count("100.00") == 4
    document = json.loads((folder / "out" / "metrics.json").read_text())
    assert document == {"bleu_4": 100.0, "rouge_1": 100.0, "rouge_2": 100.0, "rouge_l": 100.0, "answers": 2}


def test_what_prepare_made_of_questions_is_text_by_its_meta(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """A truth file lies beside that names no image."""
    with TruthWriter(folder / "qa.truth.json", (Category(0, "object"),)):
        pass
    counts = {"kept": 2, "boxes": 0, "unscored": 2}
    meta = SamplesMeta("qa", "0", "relative_1000", "tokens", "?", ("object",), counts, "0" * 64)
    write_meta(folder / "qa.meta.json", meta)
    out = run(capsys, str(folder / "b.jsonl"), str(folder / "qa.jsonl"), "-o", str(folder / "out"))
    assert out.count("100.00") == 4


def test_two_models_are_compared(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    a, b, samples, out = (str(folder / name) for name in ("a.jsonl", "b.jsonl", "qa.json", "out"))
    document = json.loads(run(capsys, "--compare", a, b, samples, "-o", out, "--json"))
    rouge = next(one for one in document["differences"] if one["name"] == "rouge_1")
    assert (rouge["a"], rouge["b"], rouge["difference"]) == (50.0, 100.0, 50.0)
    assert (rouge["low"], rouge["high"]) == (0.0, 100.0)  # of two answers, both or neither may be drawn
    assert json.loads((folder / "out" / "compare.json").read_text()) == document


def test_other_samples_and_other_domains_are_refused(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    lines = (folder / "a.jsonl").read_text().splitlines(keepends=True)
    (folder / "less.jsonl").write_text(lines[0])
    less, b, samples = (str(folder / name) for name in ("less.jsonl", "b.jsonl", "qa.json"))
    for words, said in (
        (["--compare", less, b, samples], "not the same ones"),
        ([b, samples, "--out-of-domain", f"x={b}:{samples}"], "--out-of-domain is for boxes"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["eval", *words, "-o", str(folder / "out")])
        assert stop.value.code == 2
        assert said in capsys.readouterr().err
    assert not (folder / "out").exists()
