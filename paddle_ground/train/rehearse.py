"""Rehearse a GPU training on CPU processes with a small model, before anybody pays for GPUs.

Takes a training YAML as it is; runs PaddleFormers' own trainer on it with the same parallel degrees,
packing, template, freeze list, recomputation and data, stops it, goes on, and loads what it left. Only
what a CPU or a small model can't do is changed, and each change is told. Gives a report. It does not say
whether the run fits a GPU's memory, or how good the model will be.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from paddle_ground.backend.data_sets import data_sets
from paddle_ground.backend.data_space import REHEARSAL
from paddle_ground.backend.run_lock import wait_until_free
from paddle_ground.backend.settings import sharding_of
from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.backend.trained_text import VARIABLE
from paddle_ground.errors import TrainError
from paddle_ground.files import write_text
from paddle_ground.records import read_samples
from paddle_ground.train.config import TrainConfig, load_config
from paddle_ground.train.launch import train
from paddle_ground.train.lint import refuse
from paddle_ground.train.rehearsed import length_warnings, problems
from paddle_ground.train.small_model import shapes_like

STEPS_BEFORE, STEPS = 8, 16
REPORT = "rehearsal.json"
_RUN = "run"
_READ = 500  # samples whose lengths are measured
_IMAGE_PIXELS = 128 * 128
_PICTURE_TOKENS = 24  # of a picture of that area, with its marks
_BOX_TOKENS = 30  # four coordinates of one token a digit, and the marks around them
_TEMPLATE_TOKENS = 48

OnStep = Callable[[int, float], None]
Part = tuple[str, bool]


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal found.

    Attributes:
        config: The YAML.
        folder: Where everything lies: model, log, checkpoints, report.
        warnings: Of the YAML as it is, in words; its errors end the rehearsal before it starts.
        keys: How many keys were accepted.
        processes: How many CPU processes ran.
        changes: What was changed for the CPU: key, what the YAML says, what was run.
        samples: The first samples, each in parts with whether the loss counts them.
        losses: (step, loss), of both halves.
        skipped: How often PaddleFormers left a sample out or put another in its place.
        seconds: Wall time of the training.
        problems: What a GPU run would stumble over; none if all is well.
    """

    config: Path
    folder: Path
    warnings: tuple[str, ...]
    keys: int
    processes: int
    changes: tuple[tuple[str, Any, Any], ...]
    samples: tuple[tuple[Part, ...], ...]
    losses: tuple[tuple[int, float], ...]
    skipped: int
    seconds: float
    problems: tuple[str, ...]


def rehearse(
    config_path: str | Path,
    overrides: Sequence[str] = (),
    *,
    load: Callable[[Path], object],
    merge: Callable[[Path, Path], object],
    on_step: OnStep | None = None,
) -> Rehearsal:
    """Run a training YAML on CPU processes with a small model.

    Args:
        config_path: The YAML.
        overrides: `key=value` each, as for the real run.
        load: Loads the model folder that training left; inference's own loading.
        merge: Writes an adapter's run folder as a whole model into a new folder; export's own merging.
        on_step: As for `train`.

    Returns:
        The report, which also stands in `rehearsal.json` of its folder.

    Raises:
        ConfigError: The YAML is wrong or contradicts itself, or its data is not for its model.
        TrainError: A file is missing, or training fails: that is what the rehearsal is for.
    """
    config = load_config(config_path, overrides)
    # Of the YAML as it is: another model, other images and other degrees will be run.
    warnings = [*map(str, refuse(config)), *length_warnings(config)]
    folder = _fresh_folder(config)
    build_tiny_model(folder / "model", shapes_like(config), _corpus(config), seed=0)
    values = cpu_values(config, folder)
    # YAML does not join the two halves of a character beyond \uffff that JSON writes as escapes.
    words = (f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    changed = [*overrides, *words]
    with _rehearsing(folder / "trained_text.json"):
        first = train(config_path, [*changed, f"max_steps={STEPS_BEFORE}"], on_step=on_step)
        second = train(config_path, [*changed, f"max_steps={STEPS}"], on_step=on_step)
    report = Rehearsal(
        config.path,
        folder,
        warnings=tuple(warnings),
        keys=len(config.values) + len(config.raw_grounding),
        processes=replace(config, values={**config.values, **values}).processes(),
        changes=tuple(
            (key, _asked(config, key), value) for key, value in values.items() if _asked(config, key) != value
        ),
        samples=_samples(folder / "trained_text.json"),
        losses=(*first.losses, *second.losses),
        skipped=first.skipped + second.skipped,
        seconds=first.seconds + second.seconds,
        problems=tuple(problems(config, first, second, STEPS_BEFORE, load, merge)),
    )
    write_text(folder / REPORT, json.dumps(_plain(report), indent=2, ensure_ascii=False) + "\n")
    return report


def cpu_values(config: TrainConfig, folder: Path) -> dict[str, Any]:
    """Give the keys that must differ on a CPU, with a small model, for a few steps.

    Args:
        config: The YAML.
        folder: Of the rehearsal; its `model` is built already.

    Raises:
        TrainError: The YAML asks for pipeline parallelism.
    """
    asked = config.values
    if int(asked.get("pipeline_model_parallel_size") or 1) > 1:
        raise TrainError(
            f"{config.path}: pipeline parallelism needs paddlefleet, which does not run on a CPU; "
            "rehearse it with pipeline_model_parallel_size=1"
        )
    limit = config.grounding.image_max_pixels
    pixels = min(limit or _IMAGE_PIXELS, _IMAGE_PIXELS)
    smallest = config.grounding.image_min_pixels
    grounding = {**config.raw_grounding, "implementation": "native", "image_max_pixels": pixels}
    if smallest is not None:
        grounding["image_min_pixels"] = min(smallest, pixels)
    if config.grounding.evaluate_every:
        # Once in each half; a small model finds nothing yet, so that stopping early would end it at once.
        grounding["evaluate_every"] = STEPS_BEFORE
        grounding.pop("stop_after", None)
    values: dict[str, Any] = {
        "device": "cpu", "compute_type": "float32", "bf16": False, "fp16": False, "fp16_opt_level": "O1",
        "amp_master_grad": False,
        "model_name_or_path": str(folder / "model"), "output_dir": str(folder / _RUN),
        "logging_dir": str(folder / _RUN / "visualdl"), "disable_tqdm": True,
        "max_seq_len": _row_length(config, folder / "model"), "dataloader_num_workers": 0,
        "gradient_accumulation_steps": min(2, int(asked.get("gradient_accumulation_steps") or 1)),
        # From random weights, a learning rate for fine-tuning would show nothing.
        "learning_rate": 2e-3, "min_lr": 0.0, "warmup_steps": 2, "decay_steps": STEPS,
        "max_steps": STEPS, "save_strategy": "steps", "save_steps": STEPS_BEFORE,
        "eval_steps": STEPS_BEFORE, "eval_iters": 1, "logging_steps": 1, "grounding": grounding,
    }  # fmt: skip
    if asked.get("mix_strategy") == "random":
        values["num_samples_each_epoch"] = min(_READ, int(asked.get("num_samples_each_epoch") or _READ))
    if sharding_of(asked):
        # Stages 2 and 3 have no CPU implementation in Paddle; what they part, stage 1 parts less of.
        values |= {"sharding": "stage1", "sharding_parallel_size": 2, "split_param": False}
    return values


def _row_length(config: TrainConfig, model: Path) -> int:
    """Give a row length that holds the longest sample and costs a CPU little."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    longest = 0
    for texts, images, boxes in _texts(config):
        length = sum(len(tokenizer.encode(text).ids) for text in texts)
        longest = max(longest, length + images * _PICTURE_TOKENS + boxes * _BOX_TOKENS + _TEMPLATE_TOKENS)
    return min(int(config.values.get("max_seq_len") or 8192), max(512, math.ceil(longest / 64) * 64))


def _corpus(config: TrainConfig) -> Iterator[str]:
    for texts, _, _ in _texts(config):
        yield from texts


def _texts(config: TrainConfig) -> Iterator[tuple[list[str], int, int]]:
    """Yield the words of the first samples, and how many images and boxes each has."""
    for found in data_sets(config.values, "train"):
        if not found.path.is_file():  # told by `train`, with everything else that is missing
            continue
        for sample in islice(read_samples(found.path), _READ):
            words = [message.content for message in sample.messages]
            yield [*words, *sample.refs], len(sample.images), len(sample.boxes)


def _fresh_folder(config: TrainConfig) -> Path:
    output = config.values.get("output_dir")
    if not output:
        raise TrainError(f"{config.path}: output_dir is missing")
    folder = Path(f"{str(output).rstrip('/')}_rehearsal")
    if folder.exists():
        if any(folder.iterdir()) and not (folder / REPORT).is_file():
            raise TrainError(f"{folder}: is no folder of a rehearsal; remove it, or change output_dir")
        wait_until_free(folder / _RUN)
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise TrainError(f"{folder}: cannot be made ({error.strerror}); change output_dir") from error
    write_text(folder / REPORT, "{}\n")
    return folder


@contextmanager
def _rehearsing(text_path: Path) -> Iterator[None]:
    """Ask the training processes to write down what they are fed, and to take small images."""
    told = {VARIABLE: str(text_path.resolve()), REHEARSAL: "1"}
    os.environ.update(told)
    try:
        yield
    finally:
        for name in told:
            del os.environ[name]


def _asked(config: TrainConfig, key: str) -> Any:
    return dict(config.raw_grounding) if key == "grounding" else config.values.get(key)


def _samples(path: Path) -> tuple[tuple[Part, ...], ...]:
    if not path.is_file():
        return ()
    found = json.loads(path.read_text(encoding="utf-8"))
    return tuple(tuple((str(text), bool(trained)) for text, trained in parts) for parts in found)


def _plain(report: Rehearsal) -> Mapping[str, Any]:
    from dataclasses import asdict

    # NaN is what a problem is told for, and no JSON.
    losses = [(step, loss if math.isfinite(loss) else None) for step, loss in report.losses]
    return {**asdict(report), "config": str(report.config), "folder": str(report.folder), "losses": losses}
