"""Memory of `prepare` on row groups of a thousand photographs: small, and not growing with the data."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

# The kernel's peak of this very process (`ru_maxrss` would begin with the peak of the one that started it),
# and that of its largest worker for each: more than there ever is, as it counts what they share three times.
CODE = """
import resource, sys
from pathlib import Path
from paddle_ground.data.prepare import PrepareOptions, prepare
prepare(PrepareOptions(output_dir=Path(sys.argv[2]), source=Path(sys.argv[1]), workers=2))
status = Path("/proc/self/status").read_text()
own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
assert worker, "no worker process was started"
print(own + 2 * worker)
"""


def peak_mb(source, output) -> float:
    command = [sys.executable, "-c", CODE, str(source), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024


@pytest.mark.heavy
def test_a_row_group_of_a_thousand_photographs_takes_little(write_shard, make_row, image_bytes, tmp_path):
    random.seed(1)
    photographs = [image_bytes(1, kind="JPEG") + random.randbytes(150_000) for _ in range(8)]
    peaks = []
    for shards in (2, 5):  # Two at least, so that two work at a time.
        source = tmp_path / f"source{shards}"
        for shard in range(shards):
            # No two alike, or Arrow would store one in place of all.
            rows = [
                make_row(shard * 1000 + i, data=photographs[i % 8] + b"%d" % (shard * 1000 + i))
                for i in range(1000)
            ]
            path = source / f"train-{shard:05d}-of-{shards:05d}.parquet"
            write_shard(path, rows, group_rows=1000)
        peaks.append(peak_mb(source, tmp_path / f"out{shards}"))
        assert len(list((tmp_path / f"out{shards}" / "images").iterdir())) == 1000 * shards
    assert max(peaks) < 400
    assert peaks[1] < peaks[0] * 1.25
