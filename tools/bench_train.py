#!/usr/bin/env python3
"""Time our training step against stock PaddleFormers and Hugging Face transformers, same weights.

    python tools/bench_train.py --peer-python hf/bin/python --peer-script ../shared/peers/hf_speed.py

The peer's interpreter has torch and transformers (`pip install torch==2.13.0 transformers==5.3.0`); without
it the peer's ratio is null. The model is made on the spot: 11.6 M parameters, random weights. A step is
forward, backward, clipping to norm 1 and AdamW on 16 samples of a 128 x 128 pixel image, "Task: Object
Detection" and an answer of one box; two threads each; the median of six steps after two (stock: two after
one). Stock has the mends without which it does not start (the native classes, no fused RMSNorm, no
FlashMask kernel) and none of our kernels, matrix library or memory settings. Ours and the peer's take turns
(`--turns`), and the ratio is the median over the turns, so that a machine that others use, too, wrongs
neither. The last line is one JSON object of step times' ratios: below 1 we are faster.

    python tools/bench_train.py --end-to-end --llama-factory lf/bin/llamafactory-cli

times whole `paddle-ground train` commands instead (see end_to_end.py), on the same model and batch; the last
line then holds samples a second, and our time over LLaMA-Factory's where that is given.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from bench_infer import GRID, THREADS, build  # noqa: E402

ANSWER = (
    "<|object_ref_start|>red square<|object_ref_end|><|box_start|>(100,200),(300,400)<|box_end|><|im_end|>\n"
)
STEPS, SKIPPED = {"ours": 8, "stock": 3}, {"ours": 2, "stock": 1}


def main() -> None:
    """Run all parts, each in a process of its own, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer-python", help="interpreter with torch and transformers")
    parser.add_argument("--peer-script", default=str(ROOT.parent / "shared" / "peers" / "hf_speed.py"))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--end-to-end", action="store_true", help="time whole training commands instead")
    parser.add_argument("--llama-factory", help="its llamafactory-cli, to compare with end to end")
    parser.add_argument("--steps", type=int, default=60, help="of each training end to end")
    parser.add_argument("--profile", action="store_true", help="print where our time goes, too")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)  # kind, model: used by this script
    options = parser.parse_args()
    if options.peer_python and shutil.which(options.peer_python) is None:
        parser.error(f"--peer-python {options.peer_python}: no such program; give an interpreter with torch")
    if options.llama_factory and shutil.which(options.llama_factory) is None:
        parser.error(f"--llama-factory {options.llama_factory}: no such program; give its llamafactory-cli")
    if options.part:
        kind, model = options.part
        print(json.dumps(run_part(kind, Path(model), options.batch)))
        return
    with tempfile.TemporaryDirectory() as work:
        model = build(Path(work) / "model")
        if options.end_to_end:
            import end_to_end

            found = end_to_end.compare(
                model, Path(work), options.llama_factory, options.batch, options.steps, options.turns
            )
            print(json.dumps(found))
        else:
            compare(model, options)


def compare(model: Path, options: argparse.Namespace) -> None:
    """Time every part on one model and print the seconds and the ratios."""
    stock = child("stock", model, options)
    to_peer, to_stock = [], []
    for _ in range(options.turns):
        mine, theirs = child("ours", model, options), peer(options, model)
        taken = {"ours": mine, "torch": theirs, "stock": stock}
        print("step: " + ", ".join(f"{name} {value:.3f} s" for name, value in taken.items() if value))
        to_stock.append(mine / stock)
        if theirs:
            to_peer.append(mine / theirs)
    if options.profile:
        child("profile", model, options)
    print(
        json.dumps(
            {
                "step_time_vs_hf": round(statistics.median(to_peer), 2) if to_peer else None,
                "step_time_vs_stock": round(statistics.median(to_stock), 3),
            }
        )
    )


def child(kind: str, model: Path, options: argparse.Namespace) -> float:
    """Run one part in a fresh process; gives the seconds of one step."""
    command = [sys.executable, __file__, "--batch", str(options.batch), "--part", kind, str(model)]
    done = subprocess.run(command, env={**os.environ, **THREADS}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{kind} failed:\n{done.stderr[-2000:]}")
    *shown, last = done.stdout.strip().splitlines()
    if kind == "profile":
        print("\n".join(shown))
    return float(json.loads(last))


def peer(options: argparse.Namespace, model: Path) -> float | None:
    """Run the peer's own script; gives the seconds of one step, none without an interpreter."""
    if not options.peer_python:
        return None
    command = [
        options.peer_python,
        options.peer_script,
        "train",
        str(model),
        str(options.batch),
        *map(str, GRID),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the peer failed:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.strip().splitlines()[-1])["seconds"])


def run_part(kind: str, folder: Path, batch: int) -> float:
    """Time one part in this process: `ours`, `stock`, or `profile`, which prints where our time goes."""
    mine = kind != "stock"
    model, inputs = load(folder, batch, mine)
    step = make_step(model, inputs, mine)
    if kind == "profile":
        return profile(step)
    times = []
    for _ in range(STEPS[kind]):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[SKIPPED[kind] :])


def load(folder: Path, batch: int, mine: bool) -> tuple[Any, dict[str, Any]]:
    """Load the model for training, and make the batch that the peer's script makes."""
    import numpy as np
    import paddle

    from paddle_ground.backend import loading

    if not mine:
        loading._fit_machine = lambda: None
    loaded = loading.load_model(folder)
    model = loaded.model
    for layer in model.sublayers(include_self=True):
        config = getattr(layer, "config", None)
        if config is not None:
            config.fuse_rms_norm = False
            config._attn_implementation = "sdpa"
    model.train()
    text = ("<|im_start|>user\n<|vision_start|>" + "<|image_pad|>" * (GRID[0] * GRID[1] // 4)
            + "<|vision_end|>Task: Object Detection<|im_end|>\n<|im_start|>assistant\n" + ANSWER)  # fmt: skip
    ids = paddle.to_tensor(np.array([loaded.tokenizer.encode(text)] * batch, np.int64))
    patches = np.random.default_rng(0).standard_normal((batch * GRID[0] * GRID[1], 3 * 2 * 16**2))
    return model, {
        "input_ids": ids,
        "labels": ids,
        "pixel_values": paddle.to_tensor(patches.astype(np.float32)),
        "image_grid_thw": paddle.to_tensor(np.array([[1, *GRID]] * batch)),
    }


def make_step(model: Any, inputs: dict[str, Any], mine: bool) -> Any:
    """Give a function that trains one step, as PaddleFormers' trainer does, and returns the loss."""
    import contextlib

    import paddle

    from paddle_ground.backend import contiguous

    optimizer = paddle.optimizer.AdamW(
        learning_rate=1e-4, parameters=model.parameters(), weight_decay=0.01,
        grad_clip=paddle.nn.ClipGradByGlobalNorm(1.0),
    )  # fmt: skip

    def step() -> float:
        with contiguous.contiguous_kernels() if mine else contextlib.nullcontext():
            places, _ = model.model.get_rope_index(inputs["input_ids"], inputs["image_grid_thw"], None, None)
            loss = model(position_ids=places, **inputs).loss
            loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        return float(loss)

    return step


def profile(step: Any) -> float:
    """Print where the time of five steps goes, by Python function and operator."""
    import cProfile
    import pstats

    step()
    recorder = cProfile.Profile()
    for _ in range(5):
        recorder.runcall(step)
    pstats.Stats(recorder).sort_stats("tottime").print_stats(40)
    return 0.0


if __name__ == "__main__":
    main()
