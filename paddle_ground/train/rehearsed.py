"""What is wrong with a rehearsal, and with the run that it stands for.

Takes the YAML and the reports of both halves; gives problems and warnings in words. Knows no training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

from paddle_ground.backend.settings import is_lora
from paddle_ground.errors import PaddleGroundError
from paddle_ground.train.config import TrainConfig
from paddle_ground.train.follow import TrainReport
from paddle_ground.train.launch import model_problems
from paddle_ground.train.plan.mixture import measure_epoch
from paddle_ground.train.plan.settings import max_seq_len
from paddle_ground.train.plan.verdict import too_short


def length_warnings(config: TrainConfig) -> Iterator[str]:
    """Tell whether the run would skip samples as too long, which the small images of a rehearsal hide."""
    longest, model = max_seq_len(config.values), str(config.values.get("model_name_or_path") or "")
    ours = config.grounding
    data = measure_epoch(config.values, model, longest, ours.image_max_pixels, ours.image_min_pixels)
    yield from map(str, too_short(longest, data))


def problems(
    config: TrainConfig,
    first: TrainReport,
    second: TrainReport,
    steps_before: int,
    load: Callable[[Path], object],
    merge: Callable[[Path, Path], object],
) -> Iterator[str]:
    """Look at what both halves of a rehearsal left.

    Args:
        config: The YAML as it is.
        first: Of the half that was stopped.
        second: Of the half that went on.
        steps_before: Where the first one was stopped.
        load: Loads a model folder as inference does.
        merge: Writes an adapter's run as a whole model, as `export` does.

    Yields:
        What a run on GPUs would stumble over.
    """
    yield from _model_problems(config)
    values = [loss for _, loss in (*first.losses, *second.losses)]
    if not values or not all(map(math.isfinite, values)):
        yield "the loss is not finite"
    elif sum(values[-3:]) / 3 >= values[0]:
        yield f"the loss does not fall: {values[0]:.4f} at first, {values[-1]:.4f} at last"
    steps = [step for step, _ in second.losses]
    if steps[:1] != [steps_before + 1]:
        yield f"the checkpoint of step {steps_before} was not gone on from; then came step {steps[:1]}"
    skipped = first.skipped + second.skipped
    if skipped:
        yield f"{skipped} times a sample was left out or replaced; look for SKIP in {second.log_path}"
    whole = second.output_dir
    if is_lora(config.values):
        wrong = list(adapter_problems(whole))
        yield from wrong
        if wrong:
            return
        whole = whole.with_name("merged")
        try:
            merge(second.output_dir, whole)
        except PaddleGroundError as error:
            yield f"export can't merge the adapter: {error}"
            return
    try:
        load(whole)
    except PaddleGroundError as error:
        yield f"inference can't load what was trained: {error}"


def adapter_problems(folder: Path) -> Iterator[str]:
    """Tell what is wrong with an adapter, before it is merged."""
    import numpy as np
    from safetensors.numpy import load_file

    files = sorted(folder.glob("peft_model*.safetensors"))
    learned = [weight for path in files for name, weight in load_file(path).items() if "lora_B" in name]
    if not (folder / "lora_config.json").is_file() or not learned:
        yield f"{folder}: training left no adapter"
    elif not all(np.isfinite(weight).all() for weight in learned):
        yield "the adapter holds numbers that are not finite"
    elif not any(weight.any() for weight in learned):
        yield "the adapter is what it was at the start: nothing was learned"


def _model_problems(config: TrainConfig) -> Iterator[str]:
    """Look at the real model, which was not run, where it is on this machine."""
    if Path(str(config.values.get("model_name_or_path") or "")).is_dir():
        yield from model_problems(config.values)
