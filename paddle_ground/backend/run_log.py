"""Every number that a training logs, a line a step, in the run's folder, and whole curves in VisualDL.

Takes the trainer's events; gives `log.jsonl` (what `paddle-ground curves` draws), the gradient norm and the
tokens a second among the logged numbers, and VisualDL records that go on where the checkpoint was. Knows no
metric by name.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from paddle_ground.backend.step_lines import append_line, cut_back

LOG_FILE = "log.jsonl"
_LEFT_OUT = ("cpu_", "gpu_", "current_memory", "max_memory")


def callback(trainer: Any) -> Any:
    """Make the trainer's callback; add it before any that logs."""
    from paddleformers.trainer import TrainerCallback

    log_file = Path(trainer.args.output_dir) / LOG_FILE
    speed = TokenSpeed(trainer)

    class RunLogCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            speed.restart()
            if state.is_world_process_zero:
                log_file.parent.mkdir(parents=True, exist_ok=True)
                cut_back(log_file, state.global_step)
                continue_visualdl(trainer, state.global_step)

        def on_load_data_end(self, args: Any, state: Any, control: Any, inputs: Any, **_: Any) -> None:
            speed.loaded(inputs)

        def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            speed.trained()

        def on_optimizer_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if (state.global_step + 1) % args.logging_steps == 0:
                note_gradient_norm(trainer)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            speed.trained()
            if control.should_log:
                trainer.global_training_logs["tokens_per_second"] = round(speed.take(), 1)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if state.is_world_process_zero:
                numbers = {
                    name: value
                    for name, value in (logs or {}).items()
                    if isinstance(value, int | float) and not name.startswith(_LEFT_OUT)
                }
                append_line(log_file, {"step": state.global_step, "time": round(time.time(), 3), **numbers})
            speed.restart()

        def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            speed.restart()

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            speed.restart()

    return RunLogCallback()


class TokenSpeed:
    """Counts the tokens that are trained on, padding left out, and the time that it takes.

    Args:
        trainer: Its tokenizer says what padding is, its arguments how many processes read other data.
    """

    def __init__(self, trainer: Any) -> None:
        self._padding = trainer.tokenizer.pad_token_id
        self._readers = max(1, trainer.args.dataset_world_size)
        self._last: Any = 0
        self._tokens: Any = 0
        self._start = time.monotonic()

    def restart(self) -> None:
        """Leave out what was done until now: saving, evaluating."""
        self._tokens, self._start = 0, time.monotonic()

    def loaded(self, inputs: Any) -> None:
        """Note a batch; it may still be passed over."""
        ids = inputs.get("input_ids") if hasattr(inputs, "get") else None
        self._last = 0 if ids is None else (ids != self._padding).sum()

    def trained(self) -> None:
        """Count the batch that was noted."""
        self._tokens, self._last = self._tokens + self._last, 0

    def take(self) -> float:
        """Give tokens a second of all processes together, and start anew."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        tokens = float(self._tokens)
        self.restart()
        rate: float = tokens * self._readers / seconds
        return rate


def note_gradient_norm(trainer: Any) -> None:
    """Log the norm of all gradients before they are clipped, as `global_norm`.

    Symptom: the trainer notes it only where the optimizer is parted among processes, and clips; a run in one
    process logs none, so that a gradient that explodes is seen in the loss only.
    """
    from paddle.distributed.fleet.meta_optimizers.dygraph_optimizer import HybridParallelOptimizer

    if isinstance(trainer.optimizer, HybridParallelOptimizer):
        return  # Parts of it are on other processes; the trainer's own note adds them up.
    import paddle
    from paddle.nn.clip import _squared_l2_norm

    grads = (
        getattr(parameter, "main_grad", None) if parameter.grad is None else parameter.grad
        for parameter in trainer.model.parameters()
        if not parameter.stop_gradient
    )
    with paddle.no_grad():
        squares = [_squared_l2_norm(grad).astype("float32") for grad in grads if grad is not None]
        if squares:
            trainer.global_training_logs["global_norm"] = float(paddle.add_n(squares).sqrt())


def continue_visualdl(trainer: Any, step: int) -> None:
    """Put the records of earlier files, up to a step, into the file that is written now.

    Symptom: VisualDL shows the newest file of a folder only, and each start of a run opens one: after a
    resume the curves begin in the middle. What a killed run wrote behind its checkpoint would be there twice.

    Args:
        trainer: Its VisualDL callback has opened its file already.
        step: The checkpoint's; nothing is done for 0.
    """
    writers = (getattr(found, "vdl_writer", None) for found in trainer.callback_handler.callbacks)
    writer = next((found for found in writers if found is not None), None)
    if writer is None or step <= 0:
        return
    current = Path(writer.file_name)
    older = [path for path in sorted(current.parent.glob("vdlrecords.*")) if path.name != current.name]
    kept: dict[tuple[str, int], tuple[float, int]] = {}
    for path in older:
        kept |= _scalars(path, step)
    for (tag, at), (value, timestamp) in sorted(kept.items(), key=lambda item: item[0][1]):
        writer.add_scalar(tag, value, at, walltime=timestamp)
    writer._get_file_writer().flush()
    for path in older:
        path.unlink()


def _scalars(path: Path, last_step: int) -> dict[tuple[str, int], tuple[float, int]]:
    """Read a file's scalars by tag and step; the last record of a killed run may be half a one."""
    from visualdl.proto import record_pb2
    from visualdl.reader.record_reader import RecordReader

    found: dict[tuple[str, int], tuple[float, int]] = {}
    for data in RecordReader(filepath=str(path)).get_all():
        record = record_pb2.Record()
        try:
            record.ParseFromString(data)
        except Exception:  # protobuf's DecodeError, which ships no types
            break
        for value in record.values:
            if value.WhichOneof("one_value") == "value" and value.id <= last_step:
                found[value.tag, value.id] = (value.value, value.timestamp)
    return found
