"""Several machines, rehearsed as two "machines" on this one: they meet, and train what one machine trains."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from paddle_ground.errors import TrainError
from paddle_ground.train.config import load_config
from paddle_ground.train.workers import machine_count, of_machine, process_count

sys.path.insert(0, str(Path(__file__).parent))
from parallel_runs import CONFIG, Runs, losses

MEETING = {"RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "8080"}


def test_a_machine_knows_its_place() -> None:
    assert machine_count({}) == machine_count({"NNODES": "1", "RANK": "0"}) == 1
    assert machine_count({"NNODES": "2", **MEETING}) == 2
    assert of_machine({}) == of_machine({"NNODES": "2", **MEETING, "RANK": "0"}) == ""
    assert of_machine({"NNODES": "2", **MEETING}) == ".machine1"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"NNODES": "2"}, "RANK and MASTER_ADDR and MASTER_PORT is not set; each machine needs NNODES"),
        ({"NNODES": "two"}, "NNODES='two'"),
        ({"NNODES": "0"}, "NNODES is 0; expected 1 or more"),
        ({"NNODES": "2", **MEETING, "RANK": "2"}, "RANK is 2; with NNODES=2 it is 0 to 1"),
    ],
)
def test_a_machine_that_is_not_told_where_to_meet_says_so(env: dict[str, str], message: str) -> None:
    with pytest.raises(TrainError, match=message):
        machine_count(env)


def test_machines_share_the_processes() -> None:
    env = {"NNODES": "2", **MEETING}
    four = load_config(CONFIG, ["tensor_model_parallel_size=4"])
    assert process_count(four, env) == 2
    assert process_count(load_config(CONFIG), env) == 1
    with pytest.raises(TrainError, match="need 4 processes, which NNODES=3 machines can't share evenly"):
        process_count(four, {**env, "NNODES": "3"})


def test_one_process_names_the_weight_files_of_a_shared_folder(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    from paddle_ground.backend.several_machines import name_weight_files

    for process in (0, 1):
        save_file(
            {f"w{process}": np.full(3, process, np.float32)}, tmp_path / f"shard_{process}-0.safetensors"
        )
    name_weight_files(tmp_path, 24, "model")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text(encoding="utf-8"))
    assert index["metadata"] == {"total_size": 24}
    assert sorted(index["weight_map"]) == ["w0", "w1"]
    for name, file in index["weight_map"].items():
        assert load_file(tmp_path / file)[name][0] == int(name[1])
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


@pytest.mark.heavy
@pytest.mark.parametrize(
    "parted",
    [("tensor_model_parallel_size=2",), ("sharding=stage1", "per_device_train_batch_size=2")],
    ids=["tensor parallel", "sharded"],
)
def test_two_machines_train_what_one_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parted: tuple[str, ...]
) -> None:
    """Upstream symptom: both machines rename the weight files of the shared folder, and one of them dies."""
    pytest.importorskip("paddle")
    from paddle_ground.infer import Engine

    runs = Runs(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "paddle_ground", "train", *runs.words("two", 6), *parted]
    machines = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={
                **os.environ, "NNODES": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port), "CUDA_VISIBLE_DEVICES": "0", "PADDLE_GROUND_THREADS": "1",
            },
        )
        for rank in (0, 1)
    ]  # fmt: skip
    try:
        said = [machine.communicate(timeout=500)[0] for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
    assert [machine.returncode for machine in machines] == [0, 0], said
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    one = runs("one", *parted, steps=6)
    folder = tmp_path / "two"
    logged = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [entry["loss"] for entry in logged if "loss" in entry]
    np.testing.assert_allclose(found, losses(one), rtol=0, atol=1e-6)
    assert (folder / "checkpoint-5" / "whole.json").is_file()
    assert (folder / "train.machine1.log").is_file()
    Engine.load(folder)
