"""The folder that a rehearsal empties and fills: its own, nobody else's, whatever it is called."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from paddle_ground.errors import ConfigError, TrainError
from paddle_ground.train import rehearse as rehearsal
from paddle_ground.train.config import load_config
from paddle_ground.train.rehearse import rehearse

sys.path.insert(0, str(Path(__file__).parent))
from parallel_runs import write_squares

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "qwen3_vl" / "2b_sft.yaml"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("rehearsal") / "data", 24)


def start(data: Path, folder: Path) -> None:
    words = [f"train_dataset_path={data}", f"eval_dataset_path={data}", f"output_dir={folder}"]
    rehearse(CONFIG, words, load=str, merge=lambda run, out: None)


def test_a_folder_of_something_else_is_left_alone(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run_rehearsal").mkdir()
    (tmp_path / "run_rehearsal" / "thesis.txt").touch()
    with pytest.raises(TrainError, match="is no folder of a rehearsal"):
        start(data, tmp_path / "run")
    assert (tmp_path / "run_rehearsal" / "thesis.txt").exists()
    assert not (tmp_path / "run").exists()


def test_a_folder_that_another_rehearsal_writes_to_is_left_alone(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise ConfigError(f"another training writes to {folder}")

    (tmp_path / "run_rehearsal" / "run").mkdir(parents=True)
    (tmp_path / "run_rehearsal" / rehearsal.REPORT).touch()
    monkeypatch.setattr(rehearsal, "wait_until_free", refuse)
    with pytest.raises(ConfigError, match="run_rehearsal/run"):
        start(data, tmp_path / "run")
    assert (tmp_path / "run_rehearsal" / "run").exists()


def test_a_folder_may_be_called_by_any_character(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "\U00020bb7\U0001f600"

    def stop(path: Path, words: list[str], **_: object) -> None:
        assert load_config(path, words).values["output_dir"] == f"{folder}_rehearsal/run"
        raise TrainError("far enough")

    monkeypatch.setattr(rehearsal, "train", stop)
    with pytest.raises(TrainError, match="far enough"):
        start(data, folder)
