"""Killed at any moment, a training goes on as if nothing had been: the same losses, each step once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from paddle_ground.errors import TrainError

pytest.importorskip("paddle")

sys.path.insert(0, str(Path(__file__).parent))
from parallel_runs import Runs, find_worker, weights

from paddle_ground.backend.step_lines import read_step_lines

LAST = 14
KINDS = {
    "whole model, map": ("dataset_type=map",),
    "whole model, Muon": ("dataset_type=map", "optim=muon"),
    "adapter, packed stream": (
        "dataset_type=iterable", "packing=true", "max_seq_len=256", "per_device_train_batch_size=1",
        "fine_tuning=lora", "lora=true", "lora_rank=4",
    ),
}  # fmt: skip


def arguments(*more: str) -> tuple[str, ...]:
    section = "grounding={image_max_pixels: 4096, evaluate_every: 4, evaluate_samples: 2, keep_best: eval_f1}"
    # Fourteen steps are no whole number of epochs (six steps each), nor of checkpoints.
    return ("save_steps=4", "save_total_limit=1", f"decay_steps={LAST}", section, *more)


def losses_of(folder: Path) -> dict[int, float]:
    entries = [entry for entry in read_step_lines(folder / "log.jsonl") if "loss" in entry]
    steps = [entry["step"] for entry in entries]
    assert len(steps) == len(set(steps)), "a step is logged twice"
    return {entry["step"]: entry["loss"] for entry in entries}


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read what VisualDL shows: the newest file of a folder."""
    from visualdl import LogReader

    newest = max((folder / "visualdl").glob("vdlrecords.*"))
    reader = LogReader(file_path=str(newest))
    return {
        tag: [(record.id, record.value) for record in reader.get_data("scalar", tag)]
        for tag in reader.get_tags().get("scalar", [])
    }


class Killer(threading.Thread):
    """Kills the training process the moment that something is so."""

    def __init__(self, name: str, is_so: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self._name, self._is_so = name, is_so
        self.killed = False
        self._over = False

    def run(self) -> None:
        left_over = find_worker(0, self._name)  # Of the run before, which is just ending.
        process = None
        while not self._over:
            if process is None:  # Found beforehand: the moment is short.
                process = find_worker(0, self._name)
                process = None if process == left_over else process
                time.sleep(0.05)
            elif self._is_so():
                os.kill(process, signal.SIGKILL)
                self.killed = True
                return
            else:
                time.sleep(0.0005)

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self.join()
        assert self.killed, "it never came so far"


def killed_when(runs: Runs, name: str, is_so: Callable[[], bool], *more: str) -> list[int]:
    """Go on, and be killed the moment that something is so; give the steps that were told until then."""
    seen: list[int] = []
    with Killer(name, is_so), pytest.raises(TrainError, match="exit code"):
        runs(name, *more, steps=LAST, on_step=lambda step, _: seen.append(step))
    return seen


@pytest.mark.heavy
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_again_and_again_trains_what_one_run_trains(tmp_path: Path, kind: str) -> None:
    given = arguments(*KINDS[kind])
    runs = Runs(tmp_path)
    straight = runs("straight", *given, steps=LAST).output_dir
    folder = tmp_path / "killed"

    def half_written(step: int) -> Callable[[], bool]:
        checkpoint = folder / f"checkpoint-{step}"
        return lambda: (
            (checkpoint / "trainer_state.bin").exists() and not (checkpoint / "whole.json").exists()
        )

    # While the first checkpoint is written: there is none to go on from.
    killed_when(runs, "killed", half_written(4), *given)
    assert not (folder / "checkpoint-4" / "whole.json").exists()

    # The command itself, in the middle of a step; its workers end with it, and the next start waits for them.
    told = tmp_path / "told"
    command = interrupted_command(runs, given, told)
    while read_steps(folder) < 6:
        assert command.poll() is None, told.read_text(encoding="utf-8")
        time.sleep(0.002)
    command.kill()
    command.wait()
    # Not in what the command told: on a busy machine it is far behind its workers.
    assert "no whole checkpoint" in (folder / "logs" / "workerlog.0").read_text(encoding="utf-8")
    assert (folder / "checkpoint-4" / "whole.json").exists()

    # While the second one is written, with the first still there though only one is to be kept.
    killed_when(runs, "killed", half_written(8), *given)
    # One step before the end; by the log, for what is told comes when the workers may have ended.
    assert killed_when(runs, "killed", lambda: read_steps(folder) >= 13, *given)[0] == 5
    log = (folder / "train.log").read_text(encoding="utf-8")
    assert "checkpoint-8 is passed over: saving it never came to its end" in log

    # While the final model is written, with a checkpoint of the last step: nothing is trained beyond it.
    killed_when(runs, "killed", lambda: any(folder.glob("shard_*.safetensors")), *given, "save_steps=7")
    assert runs("killed", *given, steps=LAST).losses == []

    assert losses_of(folder) == losses_of(straight)
    before, after = weights(straight), weights(folder)
    assert before.keys() == after.keys()
    for name, weight in before.items():
        np.testing.assert_array_equal(after[name], weight, err_msg=name)

    def without_time(path: Path) -> list[dict[str, float]]:
        return [{k: v for k, v in entry.items() if k != "seconds"} for entry in read_step_lines(path)]

    assert without_time(folder / "grounding_eval.jsonl") == without_time(straight / "grounding_eval.jsonl")
    shown, expected = scalars(folder), scalars(straight)
    for tag in ("train/loss", "train/learning_rate", "train/global_norm", "eval/f1"):
        assert shown[tag] == expected[tag]
    assert (folder / "best" / "best.json").read_text() == (straight / "best" / "best.json").read_text()
    assert (folder / "train.log").read_text(encoding="utf-8").count("===== started 20") == 6


def read_steps(folder: Path) -> int:
    return max((entry["step"] for entry in read_step_lines(folder / "log.jsonl")), default=0)


def interrupted_command(runs: Runs, given: tuple[str, ...], told: Path) -> subprocess.Popen[bytes]:
    words = [*runs.words("killed", LAST), *given]
    with told.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "paddle_ground", "train", *words], stdout=out, stderr=subprocess.STDOUT
        )


def test_a_checkpoint_is_whole_only_with_every_file_at_its_size(tmp_path: Path) -> None:
    from paddle_ground.backend.whole_checkpoints import missing_part, newest_whole, write_mark

    def checkpoint(step: int) -> Path:
        folder = tmp_path / f"checkpoint-{step}"
        (folder / "optimizer_states").mkdir(parents=True)
        (folder / "optimizer_states" / "0_0.distcp").write_bytes(b"x" * 20)
        (folder / "trainer_state.bin").write_text("{}", encoding="utf-8")
        write_mark(folder)
        return folder

    said: list[str] = []
    assert newest_whole(tmp_path, said.append) is None
    assert said == []
    five, nine, ten = checkpoint(5), checkpoint(9), checkpoint(10)
    assert newest_whole(tmp_path, said.append) == str(ten)
    (ten / "whole.json").unlink()
    (nine / "optimizer_states" / "0_0.distcp").write_bytes(b"x" * 10)
    assert newest_whole(tmp_path, said.append) == str(five)
    assert "checkpoint-10 is passed over: saving it never came to its end" in said[0]
    assert "checkpoint-9 is passed over: optimizer_states/0_0.distcp has 10 bytes instead of 20" in said[1]
    (five / "trainer_state.bin").unlink()
    assert missing_part(five) == "trainer_state.bin is missing"
    said.clear()
    assert newest_whole(tmp_path, said.append) is None
    assert "no whole checkpoint" in said[-1]
    (five / "whole.json").write_text("{", encoding="utf-8")
    assert missing_part(five) == "its whole.json can't be read"


def test_a_named_checkpoint_must_be_whole(tmp_path: Path) -> None:
    from paddle_ground.backend.whole_checkpoints import apply, write_mark
    from paddle_ground.errors import ConfigError

    (tmp_path / "state").write_text("x", encoding="utf-8")
    write_mark(tmp_path)
    (tmp_path / "state").unlink()
    with pytest.raises(ConfigError, match="is not whole: state is missing; name another"):
        apply({"resume_from_checkpoint": str(tmp_path)})


def test_what_a_killed_run_wrote_behind_its_checkpoint_is_cut_off(tmp_path: Path) -> None:
    from paddle_ground.backend.step_lines import cut_back

    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "loss": 1}\n{"step": 3}\n{"step": 3, "lo', encoding="utf-8")
    assert cut_back(path, 2) == [{"step": 1}, {"step": 2, "loss": 1}]
    assert [json.loads(line)["step"] for line in path.read_text(encoding="utf-8").splitlines()] == [1, 2]
    assert cut_back(path, 0) == []
    assert path.read_text(encoding="utf-8") == ""
    assert cut_back(tmp_path / "none", 4) == []


@contextmanager
def held(folder: Path) -> Iterator[int]:
    """Let another process hold a run folder; gives its id."""
    script = (
        "import sys; from pathlib import Path; from paddle_ground.backend.run_lock import hold; "
        "hold(Path(sys.argv[1]), 0); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield other.pid
        other.kill()


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    from paddle_ground.backend.run_lock import hold, wait_until_free
    from paddle_ground.errors import ConfigError

    wait_until_free(tmp_path / "none", 0.0)
    with held(tmp_path) as other:
        with pytest.raises(ConfigError, match=rf"another training \(process {other}\) writes to"):
            hold(tmp_path, 0.0)
    wait_until_free(tmp_path, 5.0)
    hold(tmp_path, 5.0)


def test_a_second_training_leaves_the_records_of_the_first_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paddle_ground.backend import run_lock
    from paddle_ground.errors import ConfigError

    monkeypatch.setattr(run_lock, "_PATIENCE_S", 0.0)
    runs, folder = Runs(tmp_path), tmp_path / "first"
    with held(folder):
        (folder / "resolved.yaml").write_text("max_steps: 1\n", encoding="utf-8")
        with pytest.raises(ConfigError, match="another training"):
            runs("first", "learning_rate=0.5")
    assert (folder / "resolved.yaml").read_text(encoding="utf-8") == "max_steps: 1\n"
    assert not (folder / "train.log").exists()


def test_a_worker_ends_with_the_process_that_follows_it() -> None:
    if not hasattr(os, "pidfd_open"):
        pytest.skip("this system can't tell when another process ends")
    follower = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    script = (
        "import sys, time; from paddle_ground.backend.run_lock import end_with; end_with(sys.argv[1]); "
        "print('waits', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(follower.pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker_process:
        assert worker_process.stdout is not None
        assert worker_process.stdout.readline() == b"waits\n"
        follower.kill()
        assert worker_process.wait(timeout=20) == -signal.SIGKILL
    follower.wait()
