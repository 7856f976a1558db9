"""Time whole training commands, data path included: `paddle-ground train` and LLaMA-Factory's `train`.

Takes a model folder; gives samples a second of each. Both commands read the same prepared data set (synthetic
scenes of 128 x 128 pixels with one box each; `paddle-ground convert` writes LLaMA-Factory's copy), train the
same weights fully, in float32 with AdamW, and write a model at the end. Used by bench_train.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "tiny" / "demo.yaml"
TASK = "Task: Object Detection"
SKIPPED, EVERY = 10, 10
"""Steps before the clock starts, and steps between two log lines."""


@dataclass(frozen=True)
class Speed:
    """Samples a second of one training.

    Attributes:
        running: From one log line to the last: no start, no first steps, no writing of the model.
        whole: Of the whole command, from its first to its last second.
        seconds: That the command took.
    """

    running: float
    whole: float
    seconds: float


def compare(model: Path, work: Path, peer: str | None, batch: int, steps: int, turns: int) -> dict[str, Any]:
    """Time both commands in turns and print each turn.

    Args:
        model: Its folder.
        work: Where data and runs are written.
        peer: LLaMA-Factory's `llamafactory-cli`; none to time ours alone.
        batch: Samples a step.
        steps: Of one training.
        turns: How often.

    Returns:
        The best turn of each, since the machine may be shared, and their ratio.
    """
    data = make_data(work, batch * steps)
    mine: list[Speed] = []
    theirs: list[Speed] = []
    for turn in range(turns):
        mine.append(ours(model, data, work / f"ours{turn}", batch, steps))
        print(f"ours: {_words(mine[-1])}", flush=True)
        if peer:
            theirs.append(llama_factory(peer, model, data, work / f"theirs{turn}", batch, steps))
            print(f"LLaMA-Factory: {_words(theirs[-1])}", flush=True)
    best, other = max(s.running for s in mine), max((s.running for s in theirs), default=None)
    return {
        "samples_per_second": round(best, 1),
        "samples_per_second_with_start": round(max(s.whole for s in mine), 1),
        "llama_factory_samples_per_second": round(other, 1) if other else None,
        "llama_factory_samples_per_second_with_start": round(max(s.whole for s in theirs), 1)
        if other
        else None,
        "time_vs_llama_factory": round(other / best, 2) if other else None,
    }


def make_data(work: Path, count: int) -> Path:
    """Write scenes, prepare them, and convert them for LLaMA-Factory; gives the prepared folder."""
    from paddle_ground.data.synth import SceneStyle, write_synth

    style = SceneStyle(side_px=128, max_shapes=1)
    made = write_synth(work / "source", count, 16, 0, style)
    ground = [sys.executable, "-m", "paddle_ground"]
    prepared = work / "prepared"
    run([*ground, "prepare", str(made.root), str(prepared), "--classes", str(made.classes_path)])
    run([*ground, "convert", str(prepared), str(work / "llamafactory"), "--to", "llamafactory"])
    return prepared


def ours(model: Path, data: Path, out: Path, batch: int, steps: int) -> Speed:
    """Time `paddle-ground train`."""
    words = [
        f"train_dataset_path={data / 'train.jsonl'}", f"eval_dataset_path={data / 'val.jsonl'}",
        f"model_name_or_path={model}", f"output_dir={out}", f"logging_dir={out / 'visualdl'}",
        f"max_steps={steps}", "warmup_steps=4", f"per_device_train_batch_size={batch}", "do_eval=false",
        'evaluation_strategy="no"', 'save_strategy="no"', f"logging_steps={EVERY}", "learning_rate=1.0e-4",
    ]  # fmt: skip
    seconds = run([sys.executable, "-m", "paddle_ground", "train", str(CONFIG), *words])
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    marks = [(line["step"], line["time"]) for line in lines if "loss" in line]
    return speed(marks, batch, steps, seconds)


def llama_factory(program: str, model: Path, data: Path, out: Path, batch: int, steps: int) -> Speed:
    """Time `llamafactory-cli train`."""
    out.mkdir(parents=True)
    settings = {
        "model_name_or_path": str(model), "image_max_pixels": 768 * 768, "image_min_pixels": 32 * 32,
        "stage": "sft", "do_train": True, "finetuning_type": "full", "freeze_vision_tower": False,
        "freeze_multi_modal_projector": False, "dataset": "paddle_ground_train",
        "template": "qwen3_vl_nothink",
        "dataset_dir": str(data.parent / "llamafactory"), "cutoff_len": 512, "max_steps": steps,
        "per_device_train_batch_size": batch, "gradient_accumulation_steps": 1, "learning_rate": 1e-4,
        "lr_scheduler_type": "linear", "warmup_steps": 4, "logging_steps": EVERY, "save_strategy": "no",
        "report_to": "none", "output_dir": str(out / "model"), "use_cpu": True, "bf16": False,
        "preprocessing_num_workers": 1, "dataloader_num_workers": 0, "overwrite_cache": True,
    }  # fmt: skip
    path = out / "train.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    seconds = run([program, "train", str(path)], OMP_NUM_THREADS="2", HF_HUB_OFFLINE="1")
    log = out / "model" / "trainer_log.jsonl"
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    marks = [(line["current_steps"], _clock(line["elapsed_time"])) for line in lines if "loss" in line]
    return speed(marks, batch, steps, seconds)


def speed(marks: Sequence[tuple[int, float]], batch: int, steps: int, seconds: float) -> Speed:
    """Turn log lines (step, second) into samples a second."""
    counted = [mark for mark in marks if mark[0] >= SKIPPED]
    (first, start), (last, end) = counted[0], counted[-1]
    return Speed((last - first) * batch / (end - start), steps * batch / seconds, seconds)


def run(command: Sequence[str], **env: str) -> float:
    """Run a command to its end; gives its seconds."""
    start = time.monotonic()
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return time.monotonic() - start


def _clock(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _words(found: Speed) -> str:
    return f"{found.running:.1f} samples/s, {found.whole:.1f} with start and end ({found.seconds:.0f} s)"
