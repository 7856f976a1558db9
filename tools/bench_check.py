#!/usr/bin/env python3
"""Time `paddle-ground check` on generated JPEGs: headers only, and with every image decoded.

    python tools/bench_check.py --images 5000

Beside it, in the same run and over the same files, what people write themselves: a loop with Pillow's
`open` and `verify` for headers, and one with `open` and `load` for decoding, both on one core as such loops
are. Pictures have sides of 128 to 640 pixels. Files come from the page cache (they are read once before).
The last line is one JSON object; ratios above 1: we are faster, although we also hash every file, read
every answer and compare all pictures with each other.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from paddle_ground.answers import AnswerFormat, AnswerRegion, render_target  # noqa: E402
from paddle_ground.data.check import CheckOptions, CheckReport, check  # noqa: E402
from paddle_ground.records import Message, Sample, write_samples  # noqa: E402


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        samples = generate(Path(work), options.images)
        images = sorted((Path(work) / "images").iterdir())
        size = sum(image.stat().st_size for image in images)
        print(f"{len(images)} JPEGs, {size / len(images) / 1024:.0f} KB each on average")
        rates = {
            "header": best(lambda: ours(samples, decode=False), options),
            "verify_loop": best(lambda: verify_loop(images), options),
            "decode": best(lambda: ours(samples, decode=True), options),
            "load_loop": best(lambda: load_loop(images), options),
        }
    for name, rate in rates.items():
        print(f"{name:12} {rate:8.0f} images/s")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {
        "header_images_per_s": round(rates["header"]),
        "decode_images_per_s": round(rates["decode"]),
        "verify_loop_images_per_s": round(rates["verify_loop"]),
        "load_loop_images_per_s": round(rates["load_loop"]),
        "header_vs_verify_loop": round(rates["header"] / rates["verify_loop"], 2),
        "decode_vs_load_loop": round(rates["decode"] / rates["load_loop"], 2),
        "peak_mb": round(peak_mb),
    }
    print(json.dumps(result))


def best(run: Callable[[], int], options: argparse.Namespace) -> float:
    """Give the images a second of the fastest round."""
    rates = []
    for _ in range(options.rounds):
        started = time.perf_counter()
        rates.append(run() / (time.perf_counter() - started))
    return max(rates)


def ours(samples: Path, *, decode: bool) -> int:
    """Check all; gives how many images were looked at."""
    report: CheckReport = check(samples, CheckOptions(decode=decode))
    return report.images_looked_at


def verify_loop(images: list[Path]) -> int:
    """Open and verify one by one."""
    for path in images:
        with Image.open(path) as image:
            image.verify()
    return len(images)


def load_loop(images: list[Path]) -> int:
    """Open and decode one by one."""
    for path in images:
        with Image.open(path) as image:
            image.load()
    return len(images)


def generate(folder: Path, count: int) -> Path:
    """Write pictures cut out of a large one, with up to nine boxes each."""
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    fine = rng.integers(0, 256, (500, 700, 3), dtype=np.uint8)
    ground = Image.fromarray(fine).resize((1400, 1000), Image.Resampling.BICUBIC)
    samples = []
    for number in range(count):
        width, height = (int(side) for side in rng.integers(128, 641, 2))
        left, top = int(rng.integers(0, 1400 - width)), int(rng.integers(0, 1000 - height))
        picture = ground.crop((left, top, left + width, top + height))
        picture.save(folder / "images" / f"{number}.jpg", quality=85)
        boxes = rng.integers(0, 900, (int(rng.integers(0, 10)), 2)).tolist()
        regions = [AnswerRegion(f"class {rng.integers(40)}", (x, y, x + 90, y + 70)) for x, y in boxes]
        target = render_target(regions, AnswerFormat.TOKENS)
        turns = (Message("user", "<image>Task: Object Detection"), Message("assistant", target.content))
        samples.append(Sample(turns, (f"images/{number}.jpg",), target.refs, target.boxes))
    write_samples(folder / "samples.jsonl", samples)
    return folder / "samples.jsonl"


if __name__ == "__main__":
    main()
