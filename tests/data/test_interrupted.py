"""prepare, killed for real (kill -9) at every stage: nothing looks finished, and the next run completes it.

Also two runs at a time, which must not meet.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.staging import FOLDER_NAME, lock_output
from paddle_ground.errors import DataError
from paddle_ground.files import sha256_file
from paddle_ground.records import meta_path, read_meta, read_truth, truth_path

# Kills itself at the nth call of a function: of the progress report (a piece was made), of the image
# writer (in the middle of a piece), or of os.replace (a finished file is moved).
PROGRAM = """
import os, signal, sys
from pathlib import Path
from paddle_ground.data import prepare as module, take

def dying(function, calls=[0]):
    def wrapped(*args, **kwargs):
        calls[0] += 1
        if calls[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return wrapped

source, out, where, number = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
progress = lambda done, total: None
if where == "piece":
    progress = dying(progress)
elif where == "image":
    take.write_image = dying(take.write_image)
elif where == "move":
    os.replace = dying(os.replace)
module.prepare(module.PrepareOptions(out, source=source, workers=1), progress)
"""


def run_and_die(source: Path, output_dir: Path, where: str, number: int) -> int:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    arguments = [sys.executable, "-c", PROGRAM, str(source), str(output_dir), where, str(number)]
    return subprocess.run(arguments, env=environment, check=False).returncode


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_nothing_looks_finished_that_is_not(output_dir: Path) -> None:
    for samples in output_dir.glob("*.jsonl"):
        assert read_meta(meta_path(samples)).samples_sha256 == sha256_file(samples)
        assert all(
            (output_dir / image.file_name).exists() for image in read_truth(truth_path(samples)).images
        )


# The run has 9 pieces and 31 images; 9 pieces, the job's name, six files and the note of completion
# are moved before publishing, then the images and the six files.
@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("piece", 1),
        ("image", 6),
        ("image", 31),
        ("move", 12),
        ("move", 17),
        ("move", 18),
        ("move", 20),
        ("move", 24),
    ],
)
def test_a_killed_run_is_completed_by_the_next(source_dir, tmp_path, where, number):
    prepare(PrepareOptions(tmp_path / "expected", source=source_dir))
    output_dir = tmp_path / "out"
    assert run_and_die(source_dir, output_dir, where, number) == -9
    check_nothing_looks_finished_that_is_not(output_dir)
    assert (output_dir / FOLDER_NAME).exists()
    prepare(PrepareOptions(output_dir, source=source_dir))
    assert contents(output_dir) == contents(tmp_path / "expected")


@pytest.mark.parametrize(("where", "number"), [("image", 9), ("move", 18), ("move", 19), ("move", 22)])
def test_a_run_killed_over_an_older_result_leaves_either_or_nothing(source_dir, tmp_path, where, number):
    output_dir = tmp_path / "out"
    prepare(PrepareOptions(output_dir, source=source_dir, total_samples=6))
    prepare(PrepareOptions(tmp_path / "expected", source=source_dir))
    assert run_and_die(source_dir, output_dir, where, number) == -9
    check_nothing_looks_finished_that_is_not(output_dir)
    prepare(PrepareOptions(output_dir, source=source_dir))
    assert contents(output_dir) == contents(tmp_path / "expected")


def test_pieces_that_are_done_are_not_made_again(source_dir, tmp_path):
    output_dir = tmp_path / "out"
    assert run_and_die(source_dir, output_dir, "piece", 5) == -9
    done = {path: path.stat().st_mtime_ns for path in (output_dir / FOLDER_NAME).glob("piece-*")}
    assert len(done) >= 4
    written = []
    from paddle_ground.data import take

    real = take.write_image
    take.write_image = lambda path, data: (written.append(path), real(path, data))
    try:
        prepare(PrepareOptions(output_dir, source=source_dir))
    finally:
        take.write_image = real
    assert 0 < len(written) < 31 - 4 * 2


def test_another_job_does_not_take_over_what_was_begun(source_dir, tmp_path):
    output_dir = tmp_path / "out"
    assert run_and_die(source_dir, output_dir, "piece", 3) == -9
    changed = {"source": source_dir, "answer_format": "json", "total_samples": 8}
    prepare(PrepareOptions(output_dir, **changed))
    prepare(PrepareOptions(tmp_path / "expected", **changed))
    assert contents(output_dir) == contents(tmp_path / "expected")


def test_two_runs_do_not_meet(source_dir, tmp_path):
    with (
        lock_output(tmp_path / "out"),
        pytest.raises(DataError, match="another run is writing here; wait for it or choose another folder"),
    ):
        prepare(PrepareOptions(tmp_path / "out", source=source_dir))
    prepare(PrepareOptions(tmp_path / "out", source=source_dir))
