"""Score a model while it trains: a few validation samples answered every N steps, and the metrics logged.

Takes the trainer that PaddleFormers made and the `grounding:` section of its YAML; gives AP50, F1, mean
IoU and parse rate beside the loss, in the trainer's own log (and so in VisualDL), and a line each time
in `grounding_eval.jsonl` of the run folder. Cross entropy does not measure IoU: a loss may fall while
boxes get worse.

Ties the stages together as `demo` does, and is called by name out of the trainer's process (see
`backend.mends.add_callbacks`). The model answers freely, not under a grammar, so that the parse rate means
something. Under tensor parallelism every process answers the same samples, since each holds a part of
the weights; the first one logs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paddle_ground.backend.best_model import BestModel, without_gain
from paddle_ground.backend.data_sets import data_sets
from paddle_ground.backend.settings import sharding_of
from paddle_ground.backend.step_lines import StepLine, append_line, cut_back, read_step_lines
from paddle_ground.errors import ConfigError
from paddle_ground.evaluate import DetectionMetrics, evaluate_detection
from paddle_ground.evaluate.pairing import truth_about
from paddle_ground.infer.engine import Engine
from paddle_ground.infer.predict import Asking, answer_samples
from paddle_ground.records import (
    GroundingConfig,
    Sample,
    Truth,
    meta_path,
    read_meta,
    read_samples,
    read_truth,
    truth_path,
)

LOG_FILE = "grounding_eval.jsonl"
_BATCH = 8
_BOX_TOKENS = 24  # Four numbers of four digits, brackets, commas and two marks, a token each.


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """The few samples that are answered again and again.

    Attributes:
        path: The file that they are from.
        samples: With their 0-based lines in it.
        truth: Of their images.
    """

    path: Path
    samples: tuple[tuple[int, Sample], ...]
    truth: Truth


def read_validation_set(path: Path, number: int) -> ValidationSet:
    """Take samples from a file, evenly spread over it.

    Args:
        path: samples.jsonl with its `.truth.json`.
        number: How many; all where it holds fewer.

    Raises:
        ConfigError: The truth is missing.
        RecordError: A file can't be read.
    """
    if not truth_path(path).is_file():
        raise ConfigError(
            f"grounding.evaluate_every: {truth_path(path)} is missing, so answers can't be scored; "
            "prepare the data with paddle-ground, or leave the key out"
        )
    total = sum(1 for _ in read_samples(path))
    chosen = set(np.linspace(0, total - 1, min(number, total)).round().astype(int).tolist())
    samples = tuple(pair for pair in enumerate(read_samples(path)) if pair[0] in chosen)
    return ValidationSet(
        path, samples, _truth_of([sample for _, sample in samples], read_truth(truth_path(path)))
    )


def _truth_of(samples: Sequence[Sample], truth: Truth) -> Truth:
    return truth_about(truth, ((sample.images[0], sample.prompt) for sample in samples if sample.images))


class Watch:
    """Answers and scores a validation set with a model under training.

    Args:
        model: The trainer's model: PaddleFormers' native Qwen3-VL, or its LoRA form.
        processor: The trainer's processor.
        grounding: How the model is being trained to point.
        validation: What is answered.
    """

    def __init__(
        self, model: Any, processor: Any, grounding: GroundingConfig, validation: ValidationSet
    ) -> None:
        from paddle_ground.backend.loading import model_in_training

        self._model, self._validation = model, validation
        self._engine = Engine(model_in_training(model, processor), grounding)
        tokenizer = self._engine.loaded.tokenizer
        longest = max((_answer_tokens(sample, tokenizer) for _, sample in validation.samples), default=0)
        # Half as many again as the longest right answer may take: a model that rambles is cut.
        self._asking = Asking(max_new_tokens=longest * 3 // 2 + 16, batch_size=_BATCH, free=True)

    def score(self) -> DetectionMetrics:
        """Answer all samples and score the answers; the model is left in the mode it was found in."""
        import paddle

        samples = list(self._validation.samples)
        with _evaluation_mode(self._model, self._engine.loaded.config), paddle.no_grad():
            predictions = list(answer_samples(self._engine, self._validation.path, samples, self._asking))
        return evaluate_detection(predictions, self._validation.truth)


def _answer_tokens(sample: Sample, tokenizer: Any) -> int:
    """Count the tokens of a right answer; of a box's, the most that it can take."""
    names = sum(len(tokenizer.encode(name)) for name in sample.refs)
    return len(tokenizer.encode(sample.target)) + names + _BOX_TOKENS * len(sample.boxes)


@contextmanager
def _evaluation_mode(model: Any, config: Any) -> Iterator[None]:
    """Switch dropout, recompute and attention by row indices off for a while."""
    was_training = model.training
    configs = (config, config.text_config, config.vision_config)
    attention = [part._attn_implementation for part in configs]
    for part in configs:
        part._attn_implementation = "sdpa"
    model.eval()
    try:
        yield
    finally:
        for part, name in zip(configs, attention, strict=True):
            part._attn_implementation = name
        if was_training:
            model.train()


def callback(trainer: Any, settings: Any, values: dict[str, Any]) -> Any:
    """Make the trainer's callback.

    Args:
        trainer: PaddleFormers' trainer, complete.
        settings: The `grounding:` section (`backend.settings.GroundingSettings`), `evaluate_every` set.
        values: The rest of the YAML.

    Raises:
        ConfigError: There is no validation data or no truth, or the run can't be watched.
    """
    from paddleformers.trainer import TrainerCallback

    watch = _watch(trainer, settings, values)
    log_file = Path(str(values["output_dir"])) / LOG_FILE
    best = _best_model(trainer, settings, values)
    history: list[StepLine] = []

    class WatchCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._recall(state.global_step)
            _together(trainer)  # Nobody writes before everybody has read.
            if state.is_world_process_zero:
                cut_back(log_file, state.global_step)
            if best is not None:
                best.begin(state.global_step)
            if not history or history[-1]["step"] != state.global_step:
                self._score(state, control)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % settings.evaluate_every == 0 or state.global_step >= state.max_steps:
                self._score(state, control)
                if state.global_step < state.max_steps and self._gains_no_more():
                    control.should_training_stop = control.should_save = True

        def has_ended(self, step: int) -> bool:
            """Tell a run that is started again that it was stopped for good (see `whole_checkpoints`)."""
            self._recall(step)
            return self._gains_no_more()

        def _recall(self, step: int) -> None:
            """Take up the evaluations up to a checkpoint; a new run has none."""
            history[:] = (
                [entry for entry in read_step_lines(log_file) if entry["step"] <= step] if step else []
            )

        def _gains_no_more(self) -> bool:
            if settings.stop_after is None:
                return False
            values = [float(entry[settings.keep_best]) for entry in history]
            return without_gain(values) >= int(settings.stop_after)

        def _score(self, state: Any, control: Any) -> None:
            start = time.perf_counter()
            metrics = watch.score()
            logs = {
                "eval_ap50": metrics.ap50,
                "eval_f1": metrics.f1_50,
                "eval_mean_iou": metrics.mean_iou,
                "eval_parse_rate": metrics.parse_rate,
            }
            seconds = round(time.perf_counter() - start, 2)
            history.append({"step": state.global_step, **logs})
            # The model first: a run that is killed here scores the step again; its line says it is done.
            if best is not None:
                best.offer(logs, state.global_step)
            if state.is_world_process_zero:
                append_line(log_file, {"step": state.global_step, **logs, "seconds": seconds})
            # Logging counts as done what is due after this: the loss of the same step.
            log_is_due = control.should_log
            trainer.log({name: round(value, 4) for name, value in logs.items()})
            control.should_log = log_is_due

    return WatchCallback()


def _best_model(trainer: Any, settings: Any, values: dict[str, Any]) -> BestModel | None:
    from paddle_ground.backend.mends import write_grounding

    if settings.keep_best is None:
        return None
    parted = trainer.args.world_size > 1
    is_first = trainer.args.process_index == 0

    def save(folder: Path) -> None:
        trainer._save(output_dir=str(folder), merge_tensor_parallel=parted, last_fc_to_hf=True)
        if is_first:
            write_grounding(settings, values, folder)

    run = Path(str(values["output_dir"]))
    return BestModel(run, settings.keep_best, save, lambda: _together(trainer), is_first)


def _together(trainer: Any) -> None:
    if trainer.args.world_size > 1:
        import paddle

        paddle.distributed.barrier()


def _watch(trainer: Any, settings: Any, values: dict[str, Any]) -> Watch:
    from paddle_ground.backend.mends import grounding_config

    named = data_sets(values, "eval")
    path = named[0].path if named else None
    if path is None or not path.is_file():
        raise ConfigError(
            "grounding.evaluate_every needs validation data; set eval_dataset_path to a samples file"
        )
    if "stage3" in sharding_of(values):
        raise ConfigError("grounding.evaluate_every needs whole weights; use sharding: stage1 or stage2")
    grounding = grounding_config(settings, read_meta(meta_path(path)))
    validation = read_validation_set(path, settings.evaluate_samples)
    return Watch(trainer.model, trainer.processing_class, grounding, validation)
