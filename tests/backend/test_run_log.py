"""What a run logs beside PaddleFormers' own numbers, and curves in VisualDL that go on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")


def newest(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read what VisualDL shows of a folder: the file with the largest name."""
    from visualdl import LogReader

    reader = LogReader(logdir=str(folder))
    (path,) = reader.logs(update=True).values()
    single = LogReader(file_path=str(folder / path))
    return {
        tag: [(record.id, pytest.approx(record.value)) for record in single.get_data("scalar", tag)]
        for tag in single.get_tags().get("scalar", [])
    }


def test_visualdl_shows_a_run_from_its_start_after_a_resume(tmp_path: Path) -> None:
    from visualdl import LogWriter

    from paddle_ground.backend.run_log import continue_visualdl

    killed = LogWriter(logdir=str(tmp_path), file_name="vdlrecords.0000000001.log")
    for step in range(1, 8):
        killed.add_scalar("train/loss", 10.0 - step, step)
        killed.add_scalar("eval/f1", 0.1, step) if step == 5 else None
    killed.close()
    first = tmp_path / "vdlrecords.0000000001.log"
    current = LogWriter(logdir=str(tmp_path), file_name="vdlrecords.0000000002.log")
    current._get_file_writer().flush()  # The file is made with the first bytes.
    assert "train/loss" not in newest(tmp_path), "VisualDL reads all files now: the mend can go"
    # Half a record at the end, which VisualDL itself dies of.
    first.write_bytes(first.read_bytes() + b"\x40\x00\x00\x00\x00\x00\x00\x00half")
    trainer = SimpleNamespace(
        callback_handler=SimpleNamespace(callbacks=[object(), SimpleNamespace(vdl_writer=current)])
    )
    continue_visualdl(trainer, 0)
    assert first.exists(), "a new run must leave the records of another one alone"
    continue_visualdl(trainer, 5)
    current.add_scalar("train/loss", 4.0, 6)
    current.close()
    assert not first.exists()
    assert newest(tmp_path)["train/loss"] == [(step, 10.0 - step) for step in range(1, 7)]
    assert newest(tmp_path)["eval/f1"] == [(5, 0.1)]


def test_the_gradient_norm_is_that_of_all_gradients_that_there_are() -> None:
    from paddle_ground.backend.run_log import note_gradient_norm

    layer = paddle.nn.Linear(3, 4)
    unused = paddle.nn.Linear(2, 2)
    layer(paddle.to_tensor(np.arange(6, dtype=np.float32).reshape(2, 3))).square().sum().backward()
    model = SimpleNamespace(parameters=lambda: [*layer.parameters(), *unused.parameters()])
    trainer = SimpleNamespace(optimizer=object(), model=model, global_training_logs={})
    note_gradient_norm(trainer)
    expected = np.sqrt(sum(float((p.grad.numpy() ** 2).sum()) for p in layer.parameters()))
    assert trainer.global_training_logs["global_norm"] == pytest.approx(expected, rel=1e-6)


def test_tokens_a_second_leave_out_padding_and_what_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    from paddle_ground.backend import run_log

    now = 100.0
    monkeypatch.setattr(run_log.time, "monotonic", lambda: now)
    trainer = SimpleNamespace(
        tokenizer=SimpleNamespace(pad_token_id=0), args=SimpleNamespace(dataset_world_size=2)
    )
    speed = run_log.TokenSpeed(trainer)
    batch = {"input_ids": paddle.to_tensor([[5, 6, 7, 0], [5, 0, 0, 0]])}
    speed.loaded(batch)  # A batch that a run that goes on passes over.
    speed.loaded(batch)
    speed.trained()
    speed.loaded(batch)
    speed.trained()
    now += 4.0
    assert speed.take() == pytest.approx(8 * 2 / 4.0)
    now += 1.0
    assert speed.take() == 0.0


def test_the_random_state_is_restored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock PaddleFormers asks for it at the first batch of every epoch."""
    from paddleformers.trainer import Trainer

    from paddle_ground.backend.whole_checkpoints import restore_random_state_once

    restored: list[Any] = []

    def stock(self: Any, checkpoint: Any) -> None:
        restored.append(checkpoint)

    monkeypatch.setattr(Trainer, "_load_rng_state", stock)
    restore_random_state_once()
    restore_random_state_once()
    trainer = Trainer.__new__(Trainer)
    for _ in range(3):
        trainer._load_rng_state("checkpoint-5")
    assert restored == ["checkpoint-5"]


@pytest.mark.parametrize(
    ("step", "stopped", "epochs"), [(4, False, 3), (14, False, 0), (15, False, 0), (4, True, 0)]
)
def test_nothing_is_trained_beyond_the_end(
    monkeypatch: pytest.MonkeyPatch, step: int, stopped: bool, epochs: int
) -> None:
    from paddleformers.trainer import Trainer

    from paddle_ground.backend.whole_checkpoints import end_runs_that_have_ended

    def stock(self: Any, *given: Any) -> Any:
        return given[5]

    monkeypatch.setattr(Trainer, "_inner_training_loop", stock)
    end_runs_that_have_ended()
    trainer = Trainer.__new__(Trainer)
    watching = SimpleNamespace(has_ended=lambda at: stopped and at == step)
    trainer.callback_handler = SimpleNamespace(callbacks=[object(), watching])
    given = ("args", "model", "loader", 6, 14, 3, 6, 56, f"run/checkpoint-{step}", None)
    assert trainer._inner_training_loop(*given) == epochs
    if not stopped:
        assert trainer._inner_training_loop(*given[:8], None, None) == 3
