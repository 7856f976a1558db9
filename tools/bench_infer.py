#!/usr/bin/env python3
"""Time our engine against stock PaddleFormers `generate` and Hugging Face transformers, same weights.

    python tools/bench_infer.py --peer-python hf/bin/python --peer-script ../shared/peers/hf_speed.py

The peer's interpreter has torch and transformers (`pip install torch==2.13.0 transformers==5.3.0`); without
it the peer's ratios are null. The model is made on the spot: 11.6 M parameters, random weights, and no answer
ends by itself. Each question is an image of 128 x 128 pixels and "Task: Object Detection"; 64 new tokens; two
threads each. Stock runs as it comes: without our kernels, matrix library and memory settings. Constrained
answers have 64 tokens too (box tokens, twelve class names, ending early not allowed), so that only the way to
them differs. The last line is one JSON object with the ratios of speed; above 1 we are faster.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

THREADS = {"OMP_NUM_THREADS": "2", "FLAGS_paddle_num_threads": "2", "PADDLE_GROUND_THREADS": "2"}
GRID = (8, 8)
NAMES = tuple(f"{color} {shape}" for color in ("red", "green", "blue", "yellow")
              for shape in ("circle", "square", "triangle"))  # fmt: skip


def main() -> None:
    """Run all parts, each in a process of its own, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer-python", help="interpreter with torch and transformers")
    parser.add_argument("--peer-script", default=str(ROOT.parent / "shared" / "peers" / "hf_speed.py"))
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--profile", action="store_true", help="print where our time goes, too")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)  # kind, model, batch: used by this script
    options = parser.parse_args()
    if options.peer_python and shutil.which(options.peer_python) is None:
        parser.error(f"--peer-python {options.peer_python}: no such program; give an interpreter with torch")
    if options.part:
        kind, model, batch = options.part
        part = {"ours": ours, "constrained": constrained, "stock": stock, "profile": profile}[kind]
        print(json.dumps(part(Path(model), int(batch), options.new_tokens)))
        return
    with tempfile.TemporaryDirectory() as work:
        compare(build(Path(work) / "model"), options)


def compare(model: Path, options: argparse.Namespace) -> None:
    """Time every part on one model and print the table and the ratios."""
    new = options.new_tokens
    seconds: dict[str, float | None] = {}
    for batch in (1, 8):
        seconds[f"ours_b{batch}"] = child("ours", model, batch, new)
        seconds[f"hf_b{batch}"] = peer(options, model, batch)
    seconds["constrained_b8"] = child("constrained", model, 8, new)
    seconds["stock_b8"] = child("stock", model, 8, new)
    for name, value in seconds.items():
        tokens = int(name.rsplit("b", 1)[1]) * new
        print(f"{name:16s}" + (f"{value:9.3f} s {tokens / value:9.1f} tokens/s" if value else "   not run"))
    if options.profile:
        for batch in (1, 8):
            child("profile", model, batch, new)
    print(
        json.dumps(
            {
                "tokens_vs_stock_b8": ratio(seconds["stock_b8"], seconds["ours_b8"]),
                "tokens_vs_hf_b1": ratio(seconds["hf_b1"], seconds["ours_b1"]),
                "tokens_vs_hf_b8": ratio(seconds["hf_b8"], seconds["ours_b8"]),
                "answers_constrained_vs_hf_b8": ratio(seconds["hf_b8"], seconds["constrained_b8"]),
            }
        )
    )


def ratio(theirs: float | None, mine: float | None) -> float | None:
    """Give how many times as fast we are."""
    return round(theirs / mine, 2) if theirs and mine else None


def build(folder: Path) -> Path:
    """Make the model and print its size."""
    from paddle_ground.backend.shapes import parameter_shapes
    from paddle_ground.backend.tiny import TextShape, TinyPreset, VisionShape, build_tiny_model

    text = TextShape(hidden_size=320, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=4,
                     head_dim=48, intermediate_size=832)  # fmt: skip
    vision = VisionShape(hidden_size=192, intermediate_size=576)
    build_tiny_model(folder, TinyPreset(text=text, vision=vision), NAMES)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    count = sum(math.prod(shape) for _, shape in parameter_shapes(config))
    print(f"model: {count / 1e6:.2f} M parameters")
    return folder


def child(kind: str, model: Path, batch: int, new: int) -> float | None:
    """Run one part in a fresh process; gives the seconds of one round."""
    command = [sys.executable, __file__, "--new-tokens", str(new), "--part", kind, str(model), str(batch)]
    done = subprocess.run(command, env={**os.environ, **THREADS}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{kind}, batch {batch}, failed:\n{done.stderr[-2000:]}")
    *shown, last = done.stdout.strip().splitlines()
    if kind == "profile":
        print("\n".join(shown))
    value: float | None = json.loads(last)
    return value


def peer(options: argparse.Namespace, model: Path, batch: int) -> float | None:
    """Run the peer's own script; gives the seconds of one round, none without an interpreter."""
    if not options.peer_python:
        return None
    command = [options.peer_python, options.peer_script, "generate", str(model), str(batch),
               str(options.new_tokens), *map(str, GRID)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the peer failed:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.strip().splitlines()[-1])["seconds"])


def timed(work: Callable[[], Any], rounds: int = 6, skipped: int = 2) -> float:
    """Give the median seconds of a round, as the peer's script counts."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[skipped:])


def engine_and_prompts(model: Path, batch: int) -> tuple[Any, list[Any]]:
    """Load the model so that no answer ends by itself, and ask what the peer's script asks."""
    import numpy as np

    from paddle_ground.infer import Engine
    from paddle_ground.infer.preprocess import Prompt

    engine = Engine.load(model)
    engine.loaded = replace(engine.loaded, end_token_ids=frozenset())
    text = ("<|im_start|>user\n<|vision_start|>" + "<|image_pad|>" * (GRID[0] * GRID[1] // 4)
            + "<|vision_end|>Task: Object Detection<|im_end|>\n<|im_start|>assistant\n")  # fmt: skip
    patches = np.random.default_rng(0).standard_normal((GRID[0] * GRID[1], 3 * 2 * 16**2)).astype(np.float32)
    ids = np.array(engine.vocabulary.encode(text), np.int64)
    return engine, [Prompt(ids, patches, np.array([[1, *GRID]]), (128, 128))] * batch


def ours(model: Path, batch: int, new: int) -> float:
    """Time our engine, free."""
    engine, prompts = engine_and_prompts(model, batch)
    assert all(len(a.token_ids) == new for a in engine.generate(prompts, max_new_tokens=new))
    return timed(lambda: engine.generate(prompts, max_new_tokens=new))


def constrained(model: Path, batch: int, new: int) -> float:
    """Time our engine under the grammar of box tokens."""
    from paddle_ground.answers import AnswerFormat
    from paddle_ground.infer.grammar import Grammar

    engine, prompts = engine_and_prompts(model, batch)
    end = engine.loaded.tokenizer.eos_token_id
    grammar = Grammar(engine.vocabulary, AnswerFormat.TOKENS, end, 1000, NAMES)
    # Leave only the way on where an answer could say "none" or end.
    grammar.start_node.children = {
        token: node
        for token, node in grammar.start_node.children.items()
        if token == engine.vocabulary.encode("<|object_ref_start|>")[0]
    }
    node = grammar.after[-1]
    while node.children:
        node.children.pop(end, None)
        node = next(iter(node.children.values()), node)

    # A repeated box could end an answer: its guard is let off, so that all have their full length.
    def work() -> list[Any]:
        return engine.generate(
            prompts, max_new_tokens=new, constraints=[grammar.start(max_repeats=new) for _ in range(batch)]
        )

    assert {answer.finish_reason for answer in work()} == {"length"}
    return timed(work)


def stock(model: Path, batch: int, new: int) -> float:
    """Time PaddleFormers' own `generate`, as it comes but for the fused RMSNorm that a CPU doesn't have."""
    import numpy as np
    import paddle

    from paddle_ground.backend import loading

    loading._fit_machine = lambda: None
    engine, prompts = engine_and_prompts(model, batch)
    engine.loaded.config.text_config.fuse_rms_norm = False
    token_ids = paddle.to_tensor(np.stack([prompt.token_ids for prompt in prompts]))
    inputs = {
        "input_ids": token_ids,
        "attention_mask": paddle.ones_like(token_ids),
        "pixel_values": paddle.to_tensor(np.concatenate([prompt.patches for prompt in prompts])),
        "image_grid_thw": paddle.to_tensor(np.concatenate([prompt.grids_thw for prompt in prompts])),
        "do_sample": False,
        "eos_token_id": [10**6],  # never
    }
    with paddle.no_grad():
        engine.loaded.model.generate(max_new_tokens=2, **inputs)
        start = time.perf_counter()
        ids, _ = engine.loaded.model.generate(max_new_tokens=new, **inputs)
    assert ids.shape[-1] == new
    return time.perf_counter() - start


def profile(model: Path, batch: int, new: int) -> float:
    """Print where one round's time goes, by Python function and operator."""
    import cProfile
    import pstats

    engine, prompts = engine_and_prompts(model, batch)
    engine.generate(prompts, max_new_tokens=new)
    recorder = cProfile.Profile()
    recorder.runcall(engine.generate, prompts, max_new_tokens=new)
    print(f"batch {batch}")
    pstats.Stats(recorder).sort_stats("tottime").print_stats(12)
    return 0.0


if __name__ == "__main__":
    main()
