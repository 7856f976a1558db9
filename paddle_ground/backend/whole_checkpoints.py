"""Checkpoints that are whole or not used: marked when every file of them is there, checked before going on.

Takes PaddleFormers' trainer, by wrapping how it saves and resumes; gives a run that may be killed at any
moment and goes on from the newest whole checkpoint. A mark (`whole.json`) lists every file with its size; it
is written last, and older checkpoints are deleted only after it. Knows no model and no metric.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paddle_ground.errors import ConfigError
from paddle_ground.files import write_text

MARK = "whole.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def apply(args: Mapping[str, Any]) -> None:
    """Put every mend of this file in place. Calling it again changes nothing.

    Args:
        args: The YAML; a `resume_from_checkpoint` that it names is checked.

    Raises:
        ConfigError: That checkpoint is not whole.
    """
    named = args.get("resume_from_checkpoint")
    if isinstance(named, str) and (Path(named) / MARK).is_file():
        reason = missing_part(Path(named))
        if reason:
            raise ConfigError(
                f"resume_from_checkpoint: {named} is not whole: {reason}; name another, or leave the key out"
            )
    mark_whole_checkpoints()
    resume_from_whole_checkpoints()
    restore_random_state_once()
    end_runs_that_have_ended()


def missing_part(folder: Path) -> str | None:
    """Say why a checkpoint can't be gone on from.

    Args:
        folder: `checkpoint-N`.

    Returns:
        The first thing that is wrong; none where it is whole.
    """
    try:
        files = dict(json.loads((folder / MARK).read_text(encoding="utf-8"))["files"])
    except FileNotFoundError:
        return f"saving it never came to its end (no {MARK})"
    except (OSError, ValueError, KeyError, TypeError):
        return f"its {MARK} can't be read"
    for name, size in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes instead of {size}"
    return None


def write_mark(folder: Path) -> None:
    """Mark a checkpoint whole; call it when every process has written its files."""
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MARK
    }
    write_text(folder / MARK, json.dumps({"files": sizes}, indent=1) + "\n")


def newest_whole(folder: str | os.PathLike[str], say: Callable[[str], None]) -> str | None:
    """Find the checkpoint to go on from.

    Args:
        folder: The run's.
        say: Told which ones are passed over, and why.

    Returns:
        Its path; none where there is none.
    """
    found = sorted(
        ((int(match[1]), path) for path in Path(folder).iterdir() if (match := _NAME.fullmatch(path.name))),
        reverse=True,
    )
    for _, path in found:
        reason = missing_part(path)
        if reason is None:
            return str(path)
        say(f"paddle_ground: {path.name} is passed over: {reason}")
    if found:
        say(
            f"paddle_ground: no whole checkpoint in {folder}, so training starts at the first step; one that "
            "was saved without paddle_ground's plugin can be named with resume_from_checkpoint"
        )
    return None


def mark_whole_checkpoints() -> None:
    """Mark a checkpoint when all of it is written, and delete older ones only then.

    Symptom: a run that is killed while it saves resumes from a half-written folder and dies, or takes
    `checkpoint-N` for whole because it exists; with `save_total_limit: 1` the last good one is gone by then.
    A second save into a half-written folder ends in `Found multiple metadata files`.
    """
    from paddleformers.trainer import Trainer

    stock = Trainer._save_checkpoint
    if getattr(stock, "_paddle_ground", False):
        return

    @functools.wraps(stock)
    def save_checkpoint(self: Any, model: Any, metrics: Any = None) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        first = self.args.process_index == 0
        if first and folder.exists():
            shutil.rmtree(folder)
        _together(self)
        later: list[dict[str, Any]] = []
        self._rotate_checkpoints = lambda **options: later.append(options)
        try:
            stock(self, model, metrics=metrics)
        finally:
            del self._rotate_checkpoints
        _together(self)
        if first:
            write_mark(folder)
        _together(self)
        for options in later:
            self._rotate_checkpoints(**options)

    save_checkpoint._paddle_ground = True  # type: ignore[attr-defined]
    Trainer._save_checkpoint = save_checkpoint


def _together(trainer: Any) -> None:
    if trainer.args.world_size > 1:
        import paddle

        paddle.distributed.barrier()


def resume_from_whole_checkpoints() -> None:
    """Let the trainer find whole checkpoints only.

    Symptom: `get_last_checkpoint` takes the folder with the largest number, whatever is in it.
    """
    from paddleformers.cli.train.sft import workflow
    from paddleformers.trainer import trainer, trainer_utils
    from paddleformers.utils.log import logger

    def get_last_checkpoint(folder: str, *_: Any, **__: Any) -> str | None:
        return newest_whole(folder, logger.warning)

    for module in (workflow, trainer, trainer_utils):
        module.get_last_checkpoint = get_last_checkpoint


def restore_random_state_once() -> None:
    """Restore the random numbers' state when a run goes on, and not again in each later epoch.

    Symptom: none that is printed. With a map data set the trainer calls `_load_rng_state` at the first batch
    of every epoch, so that a resumed run draws the same dropout masks in each.
    """
    from paddleformers.trainer import Trainer

    stock = Trainer._load_rng_state
    if getattr(stock, "_paddle_ground", False):
        return

    @functools.wraps(stock)
    def load_rng_state(self: Any, checkpoint: Any) -> None:
        if not getattr(self, "_paddle_ground_rng_restored", False):
            self._paddle_ground_rng_restored = True
            stock(self, checkpoint)

    load_rng_state._paddle_ground = True  # type: ignore[attr-defined]
    Trainer._load_rng_state = load_rng_state


def end_runs_that_have_ended() -> None:
    """Train no step more where the checkpoint is of the last step.

    Symptom: a run that is started again after its last checkpoint trains step `max_steps + 1` where
    `max_steps` is no whole number of epochs, since the trainer looks at its end only after a step. A callback
    with a method `has_ended(step)` may say so, too: that is how an early stop stays one.
    """
    from paddleformers.trainer import Trainer

    stock = Trainer._inner_training_loop
    if getattr(stock, "_paddle_ground", False):
        return

    @functools.wraps(stock)
    def inner_training_loop(
        self: Any, args: Any, model: Any, loader: Any, length: Any, max_steps: int, epochs: int, *rest: Any
    ) -> Any:
        step = _step_of(rest[2])  # resume_from_checkpoint
        ends = (getattr(callback, "has_ended", None) for callback in self.callback_handler.callbacks)
        if step >= max_steps or any(has_ended(step) for has_ended in ends if has_ended):
            epochs = 0
        return stock(self, args, model, loader, length, max_steps, epochs, *rest)

    inner_training_loop._paddle_ground = True  # type: ignore[attr-defined]
    Trainer._inner_training_loop = inner_training_loop


def _step_of(checkpoint: Any) -> int:
    """Give a checkpoint's step, by its name; 0 for none."""
    found = _NAME.fullmatch(Path(str(checkpoint)).name) if checkpoint else None
    return int(found[1]) if found else 0
