"""Write tests/assets/smart_resize.json: the sizes that HF's Qwen processors bring images to.

Run with a Python that has transformers: `python tools/make_resize_golden.py`. Sizes are drawn with a seed,
limits are those of the published Qwen2.5-VL and Qwen3-VL and of two small models.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import transformers
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

TARGET = Path(__file__).resolve().parents[1] / "tests" / "assets" / "smart_resize.json"
LIMITS = [(28, 3136, 12845056), (32, 65536, 16777216), (28, 3136, 254016), (32, 4096, 262144)]
EDGES = [(1, 1), (14, 14), (28, 200 * 28), (27, 29), (42, 70), (98, 98), (640, 480), (1000, 5), (20000, 101)]


def main() -> None:
    """Draw sizes, ask HF, write the file."""
    draw = random.Random(0)
    sizes = list(EDGES)
    while len(sizes) < 120:
        width, height = (round(2 ** draw.uniform(2, 14)) for _ in range(2))
        if max(width, height) <= 200 * min(width, height):
            sizes.append((width, height))
    cases = []
    for factor, least, most in LIMITS:
        for width, height in sizes:
            high, wide = smart_resize(height, width, factor, least, most)
            cases.append([width, height, factor, least, most, wide, high])
    told = f"tools/make_resize_golden.py with transformers {transformers.__version__}"
    columns = "width, height, factor, min_pixels, max_pixels, resized width, resized height"
    rows = ",\n  ".join(map(json.dumps, cases))
    TARGET.write_text(f'{{"made_by": "{told}",\n "columns": "{columns}",\n "cases": [\n  {rows}\n]}}\n')


if __name__ == "__main__":
    main()
