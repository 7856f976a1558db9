"""prepare with worker processes: the same bytes and errors as with one, and none that outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paddle_ground.data import pieces, take, workers
from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.errors import DataError, LostWorkerError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")

# Slow enough to be stopped in the middle; says where its workers are as soon as they write images.
PROGRAM = """
import os, sys, time
from pathlib import Path
from paddle_ground.data import pieces, take
from paddle_ground.data.prepare import PrepareOptions, prepare

pieces.PROCESSES_FROM = 1
real = take.write_image
def slowly(path, data):
    (Path(sys.argv[3]) / str(os.getpid())).touch()
    time.sleep(0.2)
    real(path, data)
take.write_image = slowly
try:
    prepare(PrepareOptions(Path(sys.argv[2]), source=Path(sys.argv[1]), workers=2))
except KeyboardInterrupt:
    sys.exit(130)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wait_until(is_true, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def is_alive(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.fixture
def in_processes(monkeypatch):
    """Fork for a few images too, and tell the process ids of those that wrote any."""
    monkeypatch.setattr(pieces, "PROCESSES_FROM", 1)
    # Other tests may have left threads or heavy libraries behind; in this one no harm comes of them.
    monkeypatch.setattr(pieces, "can_fork", lambda: True)


@pytest.fixture
def started(source_dir, tmp_path):
    """Give a slow run that has two workers at work, and their process ids."""
    seen = tmp_path / "seen"
    seen.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", PROGRAM, str(source_dir), str(tmp_path / "out"), str(seen)]
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: process.poll() is not None or len(os.listdir(seen)) == 2)
        yield process, [int(name) for name in os.listdir(seen)]
    finally:
        process.kill()
        process.communicate()


def test_the_output_does_not_depend_on_the_number_of_processes(
    source_dir, tmp_path, in_processes, monkeypatch
):
    writers = tmp_path / "writers"
    writers.mkdir()
    real, own = take.write_image, os.getpid()

    def noting(path, data):
        (writers / str(os.getpid())).touch()
        real(path, data)

    prepare(PrepareOptions(tmp_path / "one", source=source_dir, workers=1))
    monkeypatch.setattr(take, "write_image", noting)
    seen: list[int] = []
    for number in (2, 3):
        options = PrepareOptions(tmp_path / f"out{number}", source=source_dir, workers=number)
        prepare(options, lambda done, total: seen.append(done))
        assert contents(tmp_path / f"out{number}") == contents(tmp_path / "one")
        assert seen == sorted(seen)
        assert len(seen) > 1
        seen.clear()
    assert str(own) not in os.listdir(writers)
    assert len(os.listdir(writers)) >= 2


def test_a_bad_image_is_told_of_as_by_one_process(write_shard, make_row, image_bytes, tmp_path, in_processes):
    rows = [make_row(i, data=image_bytes(i) if i not in (7, 15) else b"broken") for i in range(20)]
    write_shard(tmp_path / "source" / "train-00000-of-00001.parquet", rows, group_rows=4)
    said = []
    for number in (1, 4):
        with pytest.raises(DataError) as caught:
            prepare(PrepareOptions(tmp_path / f"out{number}", source=tmp_path / "source", workers=number))
        said.append((type(caught.value), str(caught.value)))
        assert not (tmp_path / f"out{number}").exists()
    assert said[0] == said[1]
    assert ":7" in said[0][1]


def test_a_lost_worker_is_told_of_and_its_work_is_taken_up(source_dir, tmp_path, in_processes, monkeypatch):
    prepare(PrepareOptions(tmp_path / "expected", source=source_dir, workers=1))
    with monkeypatch.context() as patch:
        patch.setattr(take, "write_image", lambda path, data: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(LostWorkerError, match=r"a worker process was killed.*run the same command again"):
            prepare(PrepareOptions(tmp_path / "out", source=source_dir, workers=2))
    prepare(PrepareOptions(tmp_path / "out", source=source_dir, workers=2))
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_workers_end_with_a_parent_that_is_killed(started, source_dir, tmp_path):
    process, found = started
    assert all(is_alive(worker) for worker in found)
    # The folder's lock is the parent's alone: no worker has the folder open.
    for worker in found:
        open_files = [os.readlink(link) for link in Path(f"/proc/{worker}/fd").iterdir() if link.is_symlink()]
        assert str(tmp_path / "out") not in open_files
    process.kill()
    wait_until(lambda: not any(is_alive(worker) for worker in found))
    prepare(PrepareOptions(tmp_path / "expected", source=source_dir, workers=1))
    prepare(PrepareOptions(tmp_path / "out", source=source_dir, workers=1))
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_interrupting_the_group_stops_cleanly(started, source_dir, tmp_path):
    process, found = started
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert b"Traceback" not in said  # Not from the workers either.
    assert not any(is_alive(worker) for worker in found)
    prepare(PrepareOptions(tmp_path / "expected", source=source_dir, workers=1))
    prepare(PrepareOptions(tmp_path / "out", source=source_dir, workers=1))
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_nothing_is_forked_beside_other_threads_or_heavy_libraries(monkeypatch):
    monkeypatch.setattr(workers.threading, "active_count", lambda: 2)
    assert not workers.can_fork()
    monkeypatch.setattr(workers.threading, "active_count", lambda: 1)
    monkeypatch.setitem(sys.modules, "paddle", sys)
    assert not workers.can_fork()


def test_an_image_that_the_disk_takes_in_parts_is_written_whole(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(take.os, "write", lambda handle, data: real(handle, bytes(data[:7])))
    take.write_image(tmp_path / "image.png", memoryview(bytes(range(100))))
    assert (tmp_path / "image.png").read_bytes() == bytes(range(100))
