"""Comparing two models, against cases worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paddle_ground.cli import main
from paddle_ground.errors import EvaluationError
from paddle_ground.evaluate import evaluate_detection
from paddle_ground.evaluate.compare import compare, compare_files, match_table, render_comparison
from paddle_ground.evaluate.resampling import NAMES
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
    assert "better by F1: 2 of 4 images" in render_comparison(result)


def test_pairing_makes_a_constant_difference_certain() -> None:
    result = compare(found(), found(1, 2, 3, 4), TRUTH)
    intervals = {one.name: (one.low, one.high) for one in result.differences}
    assert intervals.pop("parse_rate") == (0.0, 0.0)
    assert len(intervals) == 7
    assert set(intervals.values()) == {(1.0, 1.0)}


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


@pytest.fixture
def run(tmp_path: Path, write_run: Callable[..., Path]) -> Path:
    """Two images; `a.jsonl` finds the first one's box, `b.jsonl` both, the first one less exactly."""
    names, truth = ["1.png", "2.png"], [[BOX], [BOX]]
    write_run(tmp_path, names, truth, [[BOX], []], predictions="a.jsonl")
    return write_run(tmp_path, names, truth, [[(0.0, 0.0, 10.0, 8.0)], [BOX]], predictions="b.jsonl")


def command(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> str:
    here = [str(folder / word) if (folder / word).is_file() else word for word in words]
    with pytest.raises(SystemExit) as stop:
        main(["eval", *here, "-o", str(folder / "out")])
    shown = capsys.readouterr()
    assert not stop.value.code, shown.err
    return shown.out


@pytest.mark.parametrize(
    "words",
    [
        ("--compare", "a.jsonl", "b.jsonl", "val.truth.json"),
        ("a.jsonl", "val.truth.json", "--compare", "b.jsonl"),
    ],
)
def test_the_command_compares_a_with_b_in_either_order(
    capsys: pytest.CaptureFixture[str], run: Path, words: tuple[str, ...]
) -> None:
    shown = command(capsys, run, *words)
    assert f"A = {run / 'a.jsonl'}\nB = {run / 'b.jsonl'}" in shown
    assert "better by F1: 1 of 2" in shown
    assert "worse by IoU: 1 of 2 images\n  1.png  IoU 100.0 -> 80.0" in shown
    written = {path.relative_to(run / "out").as_posix() for path in (run / "out").rglob("*.*")}
    pictures = {"precision_recall.png", "f1_threshold.png"}
    wanted = {f"{side}/{name}" for side in "ab" for name in ("metrics.json", *pictures)}
    assert written == {"compare.json", *wanted}


def test_forgetting_is_seen_on_other_data(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    a, b, truth = (str(run / name) for name in ("a.jsonl", "b.jsonl", "val.truth.json"))
    shown = command(capsys, run, "--compare", a, b, truth, "--out-of-domain", f"old={b}:{a}:{truth}")
    other = json.loads((run / "out" / "out_of_domain" / "old" / "compare.json").read_text())
    assert [one["image"] for one in other["worse"]] == ["2.png"]
    rows = [line.split("  ")[0] for line in shown.splitlines()[-4:]]
    assert rows == ["in domain: A", "in domain: B", "old: A", "old: B"]
    document = json.loads(command(capsys, run, b, truth, "--json", "--out-of-domain", f"old={a}:{truth}"))
    assert (document["recall_50"], document["out_of_domain"]["old"]["recall_50"]) == (1.0, 0.5)


def test_the_command_says_what_it_wants(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    for words, said in (
        (["a.jsonl"], "expected PREDICTIONS SAMPLES"),
        (["--compare", "a.jsonl", "b.jsonl"], "expected A B SAMPLES"),
        (["a.jsonl", "val.truth.json", "--out-of-domain", "b.jsonl"], "expected NAME=PREDICTIONS:SAMPLES"),
        (["a.jsonl", "val.truth.json", "--out-of-domain", "../x=b:c"], "expected NAME=PREDICTIONS:SAMPLES"),
        (["a", "t.json", "--out-of-domain", "x=b:c", "--out-of-domain", "x=d:e"], "names 'x' twice"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["eval", *words])
        assert stop.value.code == 2
        assert said in capsys.readouterr().err


def test_average_precision_of_every_drawing_is_that_of_copied_images(
    coco_truth: Truth, jittered: Callable[..., list[Prediction]]
) -> None:
    # An image drawn k times, scored by `evaluate_detection` (which equals pycocotools) as k images.
    predictions = jittered(5)
    n = len(coco_truth.images)
    weights = np.bincount(np.random.default_rng(3).integers(0, n, n), minlength=n)
    images, boxes, copies = [], [], []
    for image, times in zip(sorted(coco_truth.images, key=lambda one: one.id), weights, strict=True):
        mine = [box for box in coco_truth.annotations if box.image_id == image.id]
        found = next(one for one in predictions if one.image == image.file_name)
        for copy in range(times):
            name, image_id = f"{copy}/{image.file_name}", len(images) + 1
            images.append(replace(image, id=image_id, file_name=name))
            boxes += [replace(box, id=len(boxes) + k, image_id=image_id) for k, box in enumerate(mine, 1)]
            copies.append(replace(found, index=len(copies), image=name))
    copied = replace(coco_truth, images=tuple(images), annotations=tuple(boxes))
    whole = evaluate_detection(copies, copied)
    measured = match_table(predictions, coco_truth, 0.5).measure(weights[None].astype(float))[0]
    wanted = {
        "ap": whole.ap, "ap50": whole.ap50, "precision": whole.precision_50, "recall": whole.recall_50,
        "f1": whole.f1_50, "f1_miou": whole.f1_miou, "mean_iou": whole.mean_iou, "parse_rate": 1.0,
    }  # fmt: skip
    assert dict(zip(NAMES, measured, strict=True)) == pytest.approx(wanted, abs=1e-9)
