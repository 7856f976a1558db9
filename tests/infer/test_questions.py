"""Questions about several frames, all the way: OpenEQA's layout to samples, answers and text metrics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.evaluate import evaluate_text, evaluate_text_files
from paddle_ground.infer import Engine
from paddle_ground.infer.predict import predict
from paddle_ground.records import read_predictions, read_samples

pytest.importorskip("jieba")
pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")

QUESTIONS = {
    "What stands on the table?": "a red cup",
    "Is the door open?": "yes, it is",
    "桌子上有什么？": "一个红色的杯子",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three questions about one episode of five frames."""
    frames = tmp_path / "source" / "frames" / "hall" / "one"
    frames.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(5):
        pixels = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(frames / f"{number:05d}-rgb.png")
    rows = [
        {"question": question, "answer": answer, "category": "object", "question_id": str(number),
         "episode_history": "hall/one"}
        for number, (question, answer) in enumerate(QUESTIONS.items())
    ]  # fmt: skip
    (tmp_path / "source" / "open-eqa.json").write_text(json.dumps(rows), encoding="utf-8")
    return tmp_path / "source"


def test_frames_questions_answers_and_their_metrics(source: Path, tmp_path: Path, engine: Engine) -> None:
    options = PrepareOptions(tmp_path / "data", source=source, frames=3, frame_max_side=64, val_ratio=0.0)
    samples_path = prepare(options).samples_path("train")
    assert samples_path is not None
    samples = list(read_samples(samples_path))
    assert sorted(sample.prompt for sample in samples) == sorted(QUESTIONS)
    for sample in samples:
        assert len(sample.images) == 3
        assert QUESTIONS[sample.prompt] == sample.target
        for name in sample.images:
            with Image.open(samples_path.parent / name) as frame:
                assert frame.size == (64, 43)

    output = tmp_path / "predictions.jsonl"
    report = predict(samples_path, engine, output, free=True, max_new_tokens=12, show_progress=False)
    assert (report.answered, report.statuses.get("error", 0)) == (3, 0)
    answers = list(read_predictions(output))
    assert [answer.prompt for answer in answers] == [sample.prompt for sample in samples]
    assert len({answer.text for answer in answers}) == 3  # Each question is answered for itself.

    found = evaluate_text_files(output, samples_path)
    again = evaluate_text([answer.text for answer in answers], [sample.target for sample in samples])
    assert found == again
    (tmp_path / "right.jsonl").write_text(
        "".join(
            json.dumps({**json.loads(line), "text": f"{sample.target}<|im_end|>"}, ensure_ascii=False) + "\n"
            for line, sample in zip(output.read_text(encoding="utf-8").splitlines(), samples, strict=True)
        ),
        encoding="utf-8",
    )
    assert evaluate_text_files(tmp_path / "right.jsonl", samples_path).rouge_l == pytest.approx(100)
