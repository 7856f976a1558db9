#!/usr/bin/env python3
"""Time `prepare` against the tutorial's way and against a bare copy of the image bytes, and its memory.

Shards of synthetic photographs (640 x 480 JPEG, 125 KB each, 100 rows a row group) are made in a temporary
folder by the peers' script. Then, in turn and each in a process of its own with an empty output folder:

    ours      PrepareOptions as they come: all rows, samples, truth, meta, images
    copy      Arrow reads the column of image bytes, row group by row group, and each is written to a file;
              as many threads as ours; nothing is looked at, no annotation is read
    tutorial  the peers' script: pandas, decode, encode again, one record a row

Seconds are those of the whole process, interpreter and imports included; ratios are medians of pairs of the
same turn. Each part runs once before on the fewest shards, so that all modules are compiled, as installed
ones are (into the temporary folder, whatever the environment says of that). Before each, as much memory as it
fills is touched and given back, for a virtual machine's host gives memory at its first touch only, ten times
as slowly, and none of the three shall pay for the others (`--cold` leaves that out); and the source is read,
so that it is in the page cache. None of the three syncs anything to the disk. Peaks in the table are of the
largest process, as the kernel tells them. The JSON's are of all our processes together, with pages that they
share counted once, looked at 50 times a second in runs of their own. All images of ours are then compared
with the source, byte for byte.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Run:
    """What a process took."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def main() -> None:
    """Make the shards, run all parts in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "shared" / "peers")
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 4, 16], help="the last is timed")
    parser.add_argument("--images-per-shard", type=int, default=250)
    parser.add_argument("--row-group", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cold", action="store_true", help="touch no memory beforehand")
    parser.add_argument(
        "--part", nargs=3, help=argparse.SUPPRESS
    )  # name, source, output: used by this script
    options = parser.parse_args()
    if options.part:
        name, source, output = options.part
        {"ours": ours, "copy": copy, "same": same}[name](Path(source), Path(output), options.workers)
        return
    with tempfile.TemporaryDirectory() as work:
        compare(Path(work), options)


def compare(work: Path, options: argparse.Namespace) -> None:
    """Run everything and print a table and the ratios."""
    sources = make_shards(work, options)
    largest = sources[options.shards[-1]]
    images = options.shards[-1] * options.images_per_shard
    options.bytecode = work / "bytecode"
    runs: dict[str, list[Run]] = {"ours": [], "copy": [], "tutorial": []}
    for name in runs:
        child(name, sources[options.shards[0]], work / f"{name}-first", options)
    for turn in range(options.repeats):
        # Nothing is deleted in between: ext4 makes new files slowly where it has just deleted others.
        for name in runs:
            runs[name].append(child(name, largest, work / f"{name}-{turn}", options))
        child("same", largest, work / f"ours-{turn}", options)
    print(f"{images} images in {options.shards[-1]} shards, {options.workers} workers; all as in the source")
    for name, found in runs.items():
        seconds = statistics.median(run.seconds for run in found)
        cpu = statistics.median(run.cpu_seconds for run in found)
        peak = max(run.peak_mb for run in found)
        print(f"{name:9s}{seconds:8.2f} s{cpu:8.2f} s CPU{images / seconds:9.0f} images/s{peak:8.0f} MB")
    found_json = {
        "images_per_s_vs_tutorial": paired(runs["tutorial"], runs["ours"]),
        "time_vs_bare_copy": paired(runs["ours"], runs["copy"]),
    }
    for shards in options.shards:
        run = child("ours", sources[shards], work / f"memory-{shards}", options, is_watched=True)
        found_json[f"peak_mb_{shards}_shard{'s' if shards > 1 else ''}"] = round(run.peak_mb, 1)
    print(json.dumps(found_json))


def paired(above: list[Run], below: list[Run]) -> float:
    """Give the median ratio of seconds of the runs of the same turn."""
    pairs = zip(above, below, strict=True)
    return round(statistics.median(one.seconds / other.seconds for one, other in pairs), 2)


def make_shards(work: Path, options: argparse.Namespace) -> dict[int, Path]:
    """Make the largest set of shards, and smaller ones out of its first files."""
    most, each = max(options.shards), options.images_per_shard
    made = work / "made"
    script = options.peers / "make_coco_parquet.py"
    command = [sys.executable, str(script), str(made), str(most * each), str(each), str(options.row_group)]
    subprocess.run(command, check=True)
    files = sorted(made.iterdir())
    folders = {}
    for shards in options.shards:
        folder = folders[shards] = work / f"shards-{shards}"
        folder.mkdir()
        for number, file in enumerate(files[:shards]):
            os.link(file, folder / f"train-{number:05d}-of-{shards:05d}.parquet")
    return folders


def child(
    name: str, source: Path, output: Path, options: argparse.Namespace, is_watched: bool = False
) -> Run:
    """Run one part in a fresh process; watched, its peak is that of all its processes."""
    if name == "tutorial":
        command = [sys.executable, str(options.peers / "tutorial_prepare.py"), str(source), str(output)]
    else:
        command = [sys.executable, __file__, "--workers", str(options.workers)]
        command += ["--part", name, str(source), str(output)]
    settle(source, options.cold)
    # A child's peak begins with this process's: nothing large is ever loaded here.
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment(options.bytecode))
    peak_mb = watch(process.pid) if is_watched else 0.0
    # The kernel's own count of this very process, not of the largest child so far.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{name} failed")
    return Run(seconds, usage.ru_utime + usage.ru_stime, peak_mb or usage.ru_maxrss / 1024)


def settle(source: Path, is_cold: bool) -> None:
    """Read the files of a source, and touch twice as much memory as they take, in a process of its own."""
    files = list(source.iterdir())
    size = 2 * sum(file.stat().st_size for file in files)
    if not is_cold:
        subprocess.run([sys.executable, "-c", f"b'1' * {size}"], check=True)
    for file in files:
        with file.open("rb", buffering=0) as stream:
            while stream.read(1 << 20):
                pass


def environment(bytecode: Path) -> dict[str, str]:
    """Give the variables of a child: all of ours, but modules are compiled once and for all."""
    found = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode)}
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


def watch(process_id: int) -> float:
    """Give the largest sum of a process's and its children's memory until it ends, in MB."""
    peak = 0.0
    while os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        peak = max(peak, tree_mb(process_id))
        time.sleep(0.02)
    return peak


def tree_mb(process_id: int) -> float:
    """Give the memory of a process and its children, each page shared out among those that have it."""
    root, found = Path("/proc") / str(process_id), 0.0
    try:
        rollup = (root / "smaps_rollup").read_text()
        found = int(rollup.partition("\nPss:")[2].split()[0]) / 1024
        for task in (root / "task").iterdir():
            found += sum(tree_mb(int(number)) for number in (task / "children").read_text().split())
    except (OSError, IndexError):
        pass  # It has just ended.
    return found


def ours(source: Path, output: Path, workers: int) -> None:
    """Prepare all rows."""
    from paddle_ground.data.prepare import PrepareOptions, prepare

    prepare(PrepareOptions(output_dir=output, source=source, workers=workers))


def copy(source: Path, output: Path, workers: int) -> None:
    """Write all image bytes to files, named by their number, and nothing else."""
    import pyarrow.parquet as pq

    output.mkdir()

    def copy_group(job: tuple[Path, int, int]) -> None:
        shard, group, first = job
        with pq.ParquetFile(shard) as file:
            image = file.read_row_group(group, columns=["image.bytes"], use_threads=False).column("image")
        place = first
        for part in image.chunks:
            for value in part.field("bytes"):
                with open(output / f"{place:012d}.jpg", "wb", buffering=0) as stream:
                    stream.write(value.as_buffer())
                place += 1

    jobs, first = [], 0
    for shard in sorted(source.iterdir()):
        metadata = pq.read_metadata(shard)
        for group in range(metadata.num_row_groups):
            jobs.append((shard, group, first))
            first += metadata.row_group(group).num_rows
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(copy_group, jobs))


def same(source: Path, output: Path, workers: int) -> None:
    """Hold all images in the output against the source, byte for byte."""
    for number, data in rows(source):
        written = output / "images" / f"{number:012d}.jpg"
        assert written.read_bytes() == data, f"{written} is not as in the source"


def rows(source: Path) -> Iterator[tuple[int, Any]]:
    """Give the id and the image bytes of all rows, as Arrow reads them."""
    import pyarrow.parquet as pq

    for shard in sorted(source.iterdir()):
        with pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(100, columns=["image_id", "image.bytes"]):
                numbers, images = batch.column("image_id").to_pylist(), batch.column("image").field("bytes")
                yield from zip(numbers, images.to_pylist(), strict=True)


if __name__ == "__main__":
    main()
