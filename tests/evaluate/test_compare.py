"""Comparing two models, against cases worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from paddle_ground.cli import main
from paddle_ground.errors import EvaluationError
from paddle_ground.evaluate import evaluate_detection
from paddle_ground.evaluate.compare import compare, compare_files, render_comparison
from paddle_ground.records import (
    Category,
    Prediction,
    PredictionSink,
    Region,
    Truth,
    TruthBox,
    TruthImage,
    write_truth,
)

BOX = (0.0, 0.0, 10.0, 10.0)
TRUTH = Truth(
    tuple(TruthImage(i, f"{i}.png", (100, 100)) for i in range(1, 5)),
    tuple(TruthBox(i, i, 1, BOX, 100.0) for i in range(1, 5)),
    (Category(1, "cat"),),
)


def found(*hits: int) -> list[Prediction]:
    return [
        Prediction(i, f"{i + 1}.png", (100, 100), "", "", "ok",
                   regions=(Region("cat", BOX),) if i + 1 in hits else ())
        for i in range(4)
    ]  # fmt: skip


def test_differences_and_images_by_hand() -> None:
    result = compare(found(1, 2), found(2, 3, 4), TRUTH)
    recall = next(one for one in result.differences if one.name == "recall")
    assert (recall.a, recall.b, recall.difference) == (0.5, 0.75, 0.25)
    assert recall.low < 0.25 < recall.high
    assert [one.image for one in result.better] == ["3.png", "4.png"]
    assert [one.image for one in result.worse] == ["1.png"]
    assert "better: 2 of 4 images" in render_comparison(result)


def test_pairing_makes_a_constant_difference_certain() -> None:
    result = compare(found(), found(1, 2, 3, 4), TRUTH)
    assert all((one.low, one.high) == (1.0, 1.0) for one in result.differences)


def test_real_coco_has_the_same_numbers_as_eval_and_the_seed_decides(
    coco_truth: Truth, jittered: Callable[..., list[Prediction]]
) -> None:
    a, b = jittered(1), jittered(2)
    result = compare(a, b, coco_truth, resamples=200)
    f1 = next(one for one in result.differences if one.name == "f1")
    wanted = [evaluate_detection(one, coco_truth).f1_50 for one in (a, b)]
    assert [f1.a, f1.b] == pytest.approx(wanted, abs=1e-12)
    assert compare(a[::-1], b, coco_truth, resamples=200) == result
    assert compare(a, b, coco_truth, resamples=200, seed=1) != result


def test_compare_json_is_written(tmp_path: Path) -> None:
    for name, hits in (("a.jsonl", (1,)), ("b.jsonl", (1, 2))):
        with PredictionSink(tmp_path / name) as sink:
            for one in found(*hits):
                sink.write(one)
    write_truth(tmp_path / "truth.json", TRUTH)
    compare_files(tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "truth.json", tmp_path / "out")
    document = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert document["better"] == [{"image": "2.png", "a": 0.0, "b": 1.0}]


def test_no_image_is_refused() -> None:
    with pytest.raises(EvaluationError, match="no image"):
        compare([], [], Truth((), (), ()))


def test_the_command_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, hits in (("a.jsonl", (1,)), ("b.jsonl", (1, 2))):
        with PredictionSink(tmp_path / name) as sink:
            for one in found(*hits):
                sink.write(one)
    write_truth(tmp_path / "val.truth.json", TRUTH)
    a, b, truth, out = (str(tmp_path / name) for name in ("a.jsonl", "b.jsonl", "val.truth.json", "out"))
    with pytest.raises(SystemExit) as stop:
        main(["eval", a, truth, "-o", out, "--compare", b, "--out-of-domain", b, a, truth])
    assert not stop.value.code
    shown = capsys.readouterr().out
    assert "better: 1 of 4" in shown
    assert "out of domain" in shown
    other = json.loads((tmp_path / "out" / "out_of_domain" / "compare.json").read_text())
    assert [one["image"] for one in other["worse"]] == ["2.png"]
