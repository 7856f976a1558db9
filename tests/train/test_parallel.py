"""Real training on CPU processes: parted among them in any way, it must be the training of one process."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paddle_ground.errors import TrainError

pytest.importorskip("paddle")

sys.path.insert(0, str(Path(__file__).parent))
from parallel_runs import CONFIG, RECOMPUTE, STEPS, Runs, losses, weights, worker

from paddle_ground.train.config import load_config
from paddle_ground.train.workers import WorkerLogs, process_count

TWO_PARTS = "tensor_model_parallel_size=2"
HALF_BATCH = ("per_device_train_batch_size=2", "per_device_eval_batch_size=2")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("parallel"))


@pytest.fixture(scope="module")
def one(runs: Runs) -> Path:
    """The run in one process, with gradient clipping."""
    report = runs("one")
    assert [step for step, _ in report.losses] == list(range(1, STEPS + 1))
    return report.output_dir


def logged(folder: Path) -> np.ndarray:
    """The training losses that a run's log tells."""
    text = (folder / "train.log").read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"(?<!eval_)\bloss: ([\d.e+-]+),.*?global_step: (\d+)", text)
    return np.array([float(loss) for loss, _ in found])


def same(first: np.ndarray, second: np.ndarray) -> None:
    assert len(first) == len(second) == STEPS
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def parted(runs: Runs) -> Path:
    """The same run tensor-parallel over two processes."""
    return runs("parted", TWO_PARTS).output_dir


def test_two_parts_train_what_one_process_trains(runs: Runs, one: Path, parted: Path) -> None:
    assert load_config(CONFIG).values["max_grad_norm"] == 1.0
    log = (parted / "train.log").read_text(encoding="utf-8")
    norms = [float(found) for found in re.findall(r"global_norm: ([\d.]+)", log)]
    assert len(norms) == STEPS
    assert min(norms) > 1.0, "nothing was clipped, so that nothing was tested"
    same(logged(parted), logged(one))


def test_its_checkpoint_is_the_whole_model(runs: Runs, one: Path, parted: Path) -> None:
    from paddle_ground.infer import Engine, Request

    before, whole, joined = weights(runs.root / "model"), weights(one), weights(parted)
    assert joined.keys() == whole.keys() == before.keys()
    for name, weight in whole.items():
        np.testing.assert_allclose(joined[name], weight, rtol=0, atol=2e-5, err_msg=name)
    moved = max(float(np.abs(weight - before[name]).max()) for name, weight in whole.items())
    assert moved > 1e-3
    requests = [Request(runs.data.parent / "images" / f"{i}.png", "Task: Object Detection") for i in range(3)]
    answers = [Engine.load(folder).answer(requests, max_new_tokens=12) for folder in (one, parted)]
    assert [answer.token_ids for answer in answers[0]] == [answer.token_ids for answer in answers[1]]


@pytest.mark.heavy
def test_a_run_in_parts_goes_on_from_its_checkpoint(runs: Runs, parted: Path) -> None:
    runs("resumed", TWO_PARTS, steps=5)
    report = runs("resumed", TWO_PARTS)
    assert [step for step, _ in report.losses] == [6, 7, 8, 9, 10]
    np.testing.assert_array_equal(losses(report), logged(parted)[5:])
    straight = weights(parted)
    for name, weight in weights(report.output_dir).items():
        np.testing.assert_allclose(weight, straight[name], rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.heavy
def test_sharded_optimizer_states_give_the_data_parallel_losses(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    data_parallel = losses(runs("data_parallel", *HALF_BATCH))
    same(losses(runs("sharded", *HALF_BATCH, "sharding=stage1")), data_parallel)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    same(losses(runs("sharded_parts", *HALF_BATCH, "sharding=stage1", TWO_PARTS)), data_parallel)


@pytest.mark.heavy
def test_parted_sequences_give_the_losses_of_whole_ones(runs: Runs, one: Path) -> None:
    same(losses(runs("parted_rows", TWO_PARTS, "sequence_parallel=true")), logged(one))


@pytest.mark.heavy
def test_recomputing_and_packing_are_the_same_in_parts(runs: Runs, one: Path) -> None:
    same(losses(runs("recomputed", *RECOMPUTE)), logged(one))
    same(losses(runs("recomputed_parts", *RECOMPUTE, TWO_PARTS)), logged(one))
    packed = losses(runs("packed", "packing=true"))
    same(losses(runs("packed_parts", "packing=true", TWO_PARTS)), packed)


@pytest.mark.heavy
def test_a_model_in_parts_is_watched_as_a_whole_one(runs: Runs, one: Path) -> None:
    def watched(name: str, *overrides: str) -> list[dict[str, float]]:
        section = "grounding={image_max_pixels: 4096, evaluate_every: 4, evaluate_samples: 2}"
        report = runs(name, section, *overrides)
        same(losses(report), logged(one))
        lines = (report.output_dir / "grounding_eval.jsonl").read_text(encoding="utf-8").splitlines()
        return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]

    whole = watched("watched")
    assert [entry["step"] for entry in whole] == [0, 4, 8, 10]
    assert watched("watched_parts", TWO_PARTS) == whole


@pytest.mark.heavy
def test_four_parts_train_on_two_cores(tmp_path: Path) -> None:
    runs = Runs(tmp_path, key_value_heads=4)
    same(losses(runs("four", "tensor_model_parallel_size=4")), losses(runs("one")))


@pytest.mark.heavy
def test_a_process_that_is_killed_ends_the_run_and_is_named(runs: Runs) -> None:
    def kill_second(step: int, _: float) -> None:
        if step == 1:
            os.kill(worker(1, "killed"), signal.SIGKILL)

    with pytest.raises(TrainError, match=r"process 1 .*(SIGKILL|killed)"):
        runs("killed", TWO_PARTS, steps=400, on_step=kill_second)


def test_processes_are_those_that_the_degrees_need() -> None:
    def count(*overrides: str, named: str = "") -> int:
        return process_count(load_config(CONFIG, overrides), {"CUDA_VISIBLE_DEVICES": named})

    assert count() == 1
    assert count(TWO_PARTS) == 2
    assert count(TWO_PARTS, "sharding=stage1", "sharding_parallel_size=2") == 4
    assert count(TWO_PARTS, "sharding_parallel_size=2") == 2
    assert count(TWO_PARTS, named="0,1,2,3") == 4
    # Left out, `sharding` is stage1 for PaddleFormers.
    config = load_config(CONFIG, ["sharding_parallel_size=2"])
    silent = {key: value for key, value in config.values.items() if key != "sharding"}
    assert process_count(replace(config, values=silent), {}) == 2
    with pytest.raises(TrainError, match=r"need 2 processes .* names 1; unset it, or set it to 0,1"):
        count(TWO_PARTS, named="0")


def test_the_process_that_broke_is_named_not_those_that_it_left_alone(tmp_path: Path) -> None:
    """Logs as Paddle's launcher leaves them, shortened."""
    left = "    task = group.process_group.all_reduce(x)\nOSError: (External)\n [pair.cc:547] gone"
    stopped = "FatalError: `Termination signal` is detected by the operating system."
    write = {0: f"step 1\n{left}\n", 1: "step 1\nValueError: no such image\n"}
    (tmp_path / "workerlog.0").write_text("OldError: of the run before\n", encoding="utf-8")
    logs = WorkerLogs(tmp_path)
    for rank, text in write.items():
        with open(tmp_path / f"workerlog.{rank}", "a", encoding="utf-8") as log:
            log.write(text)
    assert logs.cause(left.splitlines()) == "process 1: ValueError: no such image"
    (tmp_path / "workerlog.1").write_text("step 1\n", encoding="utf-8")
    assert logs.cause(left.splitlines()).startswith("process 1 ended without a word")
    failed = "Container rank 1 status failed cmd ['python', '-u'] code -9 log logs/workerlog.1"
    assert "process 1 was killed by SIGKILL" in logs.cause([stopped, failed])


def test_one_process_gives_the_last_error_that_it_printed(tmp_path: Path) -> None:
    assert WorkerLogs(tmp_path).cause(["KeyError: 'a'", "ValueError: b", "bye"]) == "ValueError: b"
    assert WorkerLogs(tmp_path).cause(["bye"]) == "bye"
