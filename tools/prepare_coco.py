#!/usr/bin/env python3
"""Prepare COCO (or any data set in its parquet layout) for grounding: the tutorial's tool, by name.

Purpose: `python tools/prepare_coco.py --dataset_repo detection-datasets/coco --output_dir data/coco
--total_samples 2000 --val_ratio 0.1 --seed 42` writes train.jsonl, val.jsonl and images/.
The same as `paddle-ground prepare`; `--help` lists every flag.
"""

from __future__ import annotations

import sys
from pathlib import Path

# From a clone, this clone's package is meant, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from paddle_ground.cli import main

if __name__ == "__main__":
    main(["prepare", *sys.argv[1:]])
