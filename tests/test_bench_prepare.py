"""The bench of `prepare` runs and prints what it promises; its figures are not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_last_line_is_its_ratios(shared_data):
    peers = shared_data.parent / "peers"
    if not peers.is_dir():
        pytest.skip("no ../shared/peers beside the project")
    command = [sys.executable, str(ROOT / "tools" / "bench_prepare.py"), "--peers", str(peers)]
    command += ["--shards", "1", "16", "--images-per-shard", "2", "--row-group", "1", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *table, last = done.stdout.splitlines()
    assert [line.split()[0] for line in table] == ["32", "ours", "copy", "tutorial"]
    ratios = json.loads(last)
    assert list(ratios) == [
        "images_per_s_vs_tutorial",
        "time_vs_bare_copy",
        "peak_mb_1_shard",
        "peak_mb_16_shards",
    ]
    assert all(value > 0 for value in ratios.values())
