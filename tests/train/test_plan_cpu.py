"""Predicted peaks against those that Paddle's own allocator counts, for small models trained on this CPU."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from paddle_ground.backend.tiny import PRESETS, TinyPreset, build_tiny_model
from paddle_ground.data.speaking import chosen_space
from paddle_ground.train.config import load_config
from paddle_ground.train.launch import PLUGIN, train
from paddle_ground.train.plan.verdict import Machine, make_plan

sys.path.insert(0, str(Path(__file__).parent))
from parallel_runs import CONFIG, RECOMPUTE, write_squares

DEMO = PRESETS["demo"]
WIDE = replace(
    DEMO, text=replace(DEMO.text, hidden_size=384, intermediate_size=1024, num_hidden_layers=6)
)  # fmt: skip
# Runs our plugin, and writes what Paddle's allocator had given out at most when the process ends.
MEASURE = """
import atexit, json, runpy
runpy.run_path({plugin!r}, run_name="plugin")
def write():
    from paddle.base import core
    with open({target!r}, "w") as stream:
        json.dump(core.host_memory_stat_peak_value("Allocated", 0), stream)
atexit.register(write)
"""


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("preset", "batch", "more"),
    [
        (PRESETS["test"], 16, ()),
        (DEMO, 16, ()),
        (WIDE, 16, ()),
        (DEMO, 32, ()),
        (WIDE, 16, RECOMPUTE),
        (PRESETS["demo_qwen2_5_vl"], 16, ("template=qwen2_vl",)),
    ],
    ids=["test", "demo", "wide", "demo-32", "wide-recompute", "qwen2_5_vl"],
)
def test_the_peak_is_near_what_paddle_allocates(
    tmp_path: Path, preset: TinyPreset, batch: int, more: tuple[str, ...]
) -> None:
    model = build_tiny_model(tmp_path / "model", preset, ["Task: Object Detection square (0123456789),"], 0)
    data = write_squares(tmp_path / "data", 64, chosen_space(None, model))
    plugin, target = tmp_path / "measure.py", tmp_path / "peak.json"
    plugin.write_text(MEASURE.format(plugin=str(PLUGIN), target=str(target)), encoding="utf-8")
    words = [
        f"train_dataset_path={data}", f"eval_dataset_path={data}", f"model_name_or_path={model}",
        f"output_dir={tmp_path / 'run'}",
        f"logging_dir={tmp_path / 'visualdl'}", "max_steps=3", f"per_device_train_batch_size={batch}",
        "do_eval=false", 'evaluation_strategy="no"', f"custom_register_path={plugin}", *more,
    ]  # fmt: skip
    train(CONFIG, words, on_step=lambda step, loss: None)
    measured = json.loads(target.read_text(encoding="utf-8"))
    predicted = make_plan(load_config(CONFIG, words), Machine(1, 16, reserve=0)).memory.total
    print(f"measured {measured / 2**20:.1f} MiB, predicted {predicted / 2**20:.1f}")
    assert predicted == pytest.approx(measured, rel=0.2)
