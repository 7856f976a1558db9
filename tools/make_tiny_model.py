"""Make the small model in data/: its lessons, its training stage by stage, its test, its card.

    python tools/make_tiny_model.py [--work runs/tiny] [--out data/tiny-qwen3-vl]

Reads tools/tiny_course.yaml (what is learned, in which order) and trains each stage with
configs/tiny/pretrain.yaml. What is finished is not done again: a run that was stopped goes on. It takes
hours on two cores; every part is one that users have: lessons, `train`, `predict`, `eval`, `export`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from paddle_ground.data.lessons import write_lessons
from paddle_ground.data.lessons.questions import ASKERS
from paddle_ground.evaluate.run import evaluate_files
from paddle_ground.export.write import ExportOptions, export
from paddle_ground.files import write_text
from paddle_ground.infer.predict import predict
from paddle_ground.records import truth_path
from paddle_ground.train.curves import read_curves
from paddle_ground.train.launch import train

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "tiny" / "pretrain.yaml"
COURSE = ROOT / "tools" / "tiny_course.yaml"
_CURVE_QUESTIONS = 240


@dataclass(frozen=True)
class Tested:
    """What the finished model was measured to do."""

    whole: dict[str, Any]
    by_kind: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Learned:
    """What a stage cost, and what the model could do after it."""

    stage: str
    steps: int
    minutes: float
    loss: float
    f1_50: float


def main() -> None:
    """Run the course."""
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    wanted.add_argument("--work", type=Path, default=Path("runs/tiny"), help="lessons, runs, predictions")
    wanted.add_argument("--out", type=Path, default=ROOT / "data" / "tiny-qwen3-vl", help="the model")
    wanted.add_argument("--course", type=Path, default=COURSE)
    options = wanted.parse_args()
    course = yaml.safe_load(options.course.read_text(encoding="utf-8"))
    # Two processes of one thread each take a step in two thirds of the time of one process of two.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0,1")
    model = _untaught(course, options.work)
    test = options.work / "test"
    samples = _questions(course["test"], test / "lessons")
    curve: list[Learned] = []
    for stage in course["stages"]:
        model = _teach(stage, model, options.work)
        curve.append(_learned(stage, model, samples, test / stage["name"]))
    tested = _test(course["test"], samples, model, test)
    if options.out.exists():
        shutil.rmtree(options.out)
    export(ExportOptions(model, options.out, dtype="bfloat16", metrics=test / "metrics.json"))
    card = options.out / "README.md"
    told = "\n".join(_measured(course, curve, tested))
    write_text(card, card.read_text(encoding="utf-8") + "\n" + told + "\n")
    print(f"F1@0.5 {tested.whole['f1_50']:.3f}; wrote {options.out}")


def _untaught(course: dict[str, Any], work: Path) -> Path:
    """Build the random model; its tokenizer's merges are learned from the words of the lessons."""
    from paddle_ground.backend.tiny import PRESETS, build_tiny_model

    folder = work / "untaught"
    if folder.is_dir():
        return folder
    words = write_lessons(work / "words", **course["words"]).train_path
    samples = [json.loads(line) for line in words.read_text(encoding="utf-8").splitlines()]
    corpus = [turn["content"] for sample in samples for turn in sample["messages"]][:4000]
    corpus += [ref for sample in samples for ref in sample["objects"]["ref"]][:6000]
    base = PRESETS[course["model"]["preset"]]
    shapes = replace(base, text=replace(base.text, vocab_size=course["model"]["vocab_size"]))
    return build_tiny_model(folder, shapes, corpus, course["model"]["seed"])


def _teach(stage: dict[str, Any], model: Path, work: Path) -> Path:
    out, lessons = work / stage["name"], work / f"{stage['name']}-lessons"
    if (out / "finished.json").is_file():
        return out
    print(f"== {stage['name']}: {stage['steps']} steps")
    if not (lessons / "train.meta.json").is_file():
        write_lessons(lessons, **stage["lessons"])
    least, most = stage["pixels"]
    start = _within(model, least, most, work / f"{stage['name']}-start")
    train(CONFIG, [
        f"train_dataset_path={_unseen(lessons / 'train.jsonl', stage.get('skip', 0))}",
        f"eval_dataset_path={lessons / 'val.jsonl'}",
        f"model_name_or_path={start}",
        f"output_dir={out}",
        f"logging_dir={out / 'visualdl'}",
        f"max_steps={stage['steps']}",
        f"grounding={{image_min_pixels: {least}, image_max_pixels: {most}, evaluate_every: 300}}",
        *(f"{key}={value}" for key, value in stage.get("train", {}).items()),
    ])  # fmt: skip
    write_text(out / "finished.json", json.dumps(_cost(stage, out)) + "\n")
    return out


def _cost(stage: dict[str, Any], run: Path) -> dict[str, float]:
    """Tell what a stage took, by its log: that holds the time before a stop too."""
    logged = read_curves(run)
    seconds = sum(logged.get("interval_runtime").values)
    return {"steps": stage["steps"], "seconds": round(seconds), "loss": logged.get("loss").values[-1]}


def _unseen(path: Path, skip: int) -> Path:
    """Put the first lines last: those that an earlier stage had."""
    if not skip:
        return path
    rest = path.with_name("rest.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    write_text(rest, "".join(lines[skip:] + lines[:skip]))
    shutil.copy(path.with_name("train.meta.json"), rest.with_name("rest.meta.json"))
    return rest


def _within(model: Path, least: int, most: int, folder: Path) -> Path:
    """Copy a model and let its processor work on pictures of these areas."""
    if not folder.is_dir():
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(model, part, ignore=shutil.ignore_patterns("checkpoint-*", "logs", "visualdl"))
        for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
            settings = json.loads((part / name).read_text(encoding="utf-8"))
            settings["size"] = {"shortest_edge": least, "longest_edge": most}
            write_text(part / name, json.dumps(settings, indent=2) + "\n")
        part.rename(folder)
    return folder


def _questions(settings: dict[str, Any], folder: Path) -> Path:
    """Write questions about pictures that no stage has."""
    if not truth_path(folder / "val.jsonl").is_file():
        write_lessons(folder, train_images=1, **settings)
    return folder / "val.jsonl"


def _learned(stage: dict[str, Any], model: Path, samples: Path, folder: Path) -> Learned:
    """Score a stage's model on the first of the test's questions."""
    done = json.loads((model / "finished.json").read_text(encoding="utf-8"))
    answers = folder / "predictions.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    predict(samples, model, answers, batch_size=32, max_new_tokens=256, limit=_CURVE_QUESTIONS)
    scores = evaluate_files(answers, truth_path(samples), folder, only_predicted=True)
    return Learned(stage["name"], done["steps"], done["seconds"] / 60, done["loss"], scores.f1_50)


def _test(settings: dict[str, Any], samples: Path, model: Path, folder: Path) -> Tested:
    """Score the finished model on all questions, and on each kind of question by itself."""
    answers = folder / "predictions.jsonl"
    predict(samples, model, answers, batch_size=32, max_new_tokens=256)
    whole = evaluate_files(answers, truth_path(samples), folder).to_json()
    lines = answers.read_text(encoding="utf-8").splitlines()
    by_kind = {}
    kinds: Sequence[str] = settings.get("kinds", tuple(ASKERS))
    for kind in dict.fromkeys(kinds):
        part = folder / kind / "predictions.jsonl"
        own = [line for number, line in enumerate(lines) if kinds[number % len(kinds)] == kind]
        write_text(part, "\n".join(own) + "\n")
        by_kind[kind] = evaluate_files(part, truth_path(samples), part.parent, only_predicted=True).to_json()
    return Tested(whole, by_kind)


def _measured(course: dict[str, Any], curve: Sequence[Learned], tested: Tested) -> Iterator[str]:
    yield "## What it learned, and how well"
    yield ""
    pictures = course["test"]["val_images"]
    yield f"Questions about {pictures} pictures that it never saw, an equal share of each kind:"
    yield ""
    yield from ("| question | boxes there | boxes answered | F1@0.5 |", "| --- | ---: | ---: | ---: |")
    for kind, scores in {**tested.by_kind, "all of them": tested.whole}.items():
        boxes = scores["truth_boxes"]
        rated = f"{scores['f1_50']:.3f}" if boxes else "right where nothing is answered"
        yield f"| {kind} | {boxes} | {scores['predicted_boxes']} | {rated} |"
    yield ""
    yield from ("## Learning curve", "", f"F1@0.5 on {_CURVE_QUESTIONS} of the test's questions.", "")
    yield from ("| stage | steps | minutes | loss | F1@0.5 |", "| --- | ---: | ---: | ---: | ---: |")
    for one in curve:
        yield f"| {one.stage} | {one.steps} | {one.minutes:.0f} | {one.loss:.3f} | {one.f1_50:.3f} |"


if __name__ == "__main__":
    main()
