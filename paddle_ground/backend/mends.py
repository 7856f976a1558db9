"""Mends of PaddleFormers 1.2 that any machine may need, each with the upstream symptom.

Takes PaddleFormers' modules, by binding names in them; gives a training run that starts,
resumes and leaves a model folder that inference can read. Every function may be called twice.
"""

from __future__ import annotations

import functools
import importlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paddle_ground.backend import natives, run_log
from paddle_ground.backend.data_sets import common_meta, data_sets
from paddle_ground.backend.settings import GroundingSettings
from paddle_ground.records import GroundingConfig, SamplesMeta
from paddle_ground.resize import STOCK_MAX_PIXELS, STOCK_MIN_PIXELS

_WATCH = "paddle_ground.watch"


def use_native_qwen3_vl() -> None:
    """Bind the public Qwen3-VL names to the native classes.

    Symptom: `AutoModelForConditionalGeneration` resolves to a class of modeling_fleet.py, which
    imports paddlefleet: ModuleNotFoundError where it is absent, no tensor parallelism where it is there.
    """
    from paddleformers import transformers
    from paddleformers.transformers import qwen3_vl
    from paddleformers.transformers.qwen3_vl import modeling

    for module in (modeling, qwen3_vl, transformers):
        module.Qwen3VLForConditionalGeneration = modeling.Qwen3VLForConditionalGenerationDeprecated
        module.Qwen3VLModel = modeling.Qwen3VLModelDeprecated


def define_absent_fleet_names() -> None:
    """Give the trainer a `GPTModel` that nothing is an instance of.

    Symptom: evaluating a LoRA run ends in `NameError: GPTModel` where paddlefleet is absent.
    """
    from paddleformers.trainer import trainer

    if not hasattr(trainer, "GPTModel"):
        trainer.GPTModel = type("GPTModel", (), {"__doc__": "Stands in for paddlefleet's class."})


def init_fleet_once() -> None:
    """Initialise fleet for one process before training arguments are parsed.

    Symptom: resuming a one-process run from a flex checkpoint ends in
    `AttributeError: 'Fleet' object has no attribute '_hcg'`.
    """
    from paddle.distributed import fleet

    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) == 1 and not hasattr(fleet.fleet, "_hcg"):
        fleet.init(is_collective=True)


def give_parts_the_models_type() -> None:
    """Load a model with parts in the type that the whole is wanted in.

    Symptom: a folder whose `text_config` says bfloat16, as published ones do, can't be trained in float32:
    the type that `compute_type` sets reaches the outer config only, and loading ends in "The type of data we
    are trying to retrieve (bfloat16) does not match the type of data (float32)". With `dtype` given,
    PaddleFormers itself hands it to the parts.
    """
    from paddleformers.transformers.model_utils import PretrainedModel

    stock = PretrainedModel.from_pretrained.__func__
    if getattr(stock, "_paddle_ground", False):
        return

    @functools.wraps(stock)
    def from_pretrained(cls: Any, *rest: Any, **kwargs: Any) -> Any:
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = getattr(kwargs.get("config"), "dtype", None)
        return stock(cls, *rest, **kwargs)

    from_pretrained._paddle_ground = True  # type: ignore[attr-defined]
    PretrainedModel.from_pretrained = classmethod(from_pretrained)


def apply_image_limits(settings: GroundingSettings) -> None:
    """Set the pixel limits of training images on the processor class.

    Symptom: the multimodal plugin shrinks every image to 768 x 768 pixels of area whatever the
    processor says, because it reads `processor.image_max_pixels`, which no processor defines.
    """
    for processor in natives.processor_classes():
        if settings.image_max_pixels is not None:
            processor.image_max_pixels = settings.image_max_pixels
        if settings.image_min_pixels is not None:
            processor.image_min_pixels = settings.image_min_pixels


def write_grounding_beside_checkpoints(settings: GroundingSettings, args: Mapping[str, Any]) -> None:
    """Add a callback that leaves `grounding.json` in every folder that the trainer saves to.

    And one that writes `log.jsonl` of the run (see `run_log`).
    Where the settings ask for it, also the one that scores answers while the model trains.

    Symptom: a checkpoint says nothing of the coordinates, answers and pixel limits it was trained
    with, so that serving it differently goes unnoticed.
    """
    from paddleformers.cli.train.sft.sft_trainer import SFTTrainer

    stock = SFTTrainer.__init__
    if getattr(stock, "_paddle_ground", False):
        return

    @functools.wraps(stock)
    def init(self: Any, *rest: Any, **kwargs: Any) -> None:
        stock(self, *rest, **kwargs)
        self.add_callback(_grounding_callback(settings, dict(args)))
        self.add_callback(run_log.callback(self))
        if settings.evaluate_every:
            # By name, since scoring stands after the backend in the flow of data.
            self.add_callback(importlib.import_module(_WATCH).callback(self, settings, dict(args)))

    init._paddle_ground = True  # type: ignore[attr-defined]
    SFTTrainer.__init__ = init


def _grounding_callback(settings: GroundingSettings, args: Mapping[str, Any]) -> Any:
    from paddleformers.trainer import TrainerCallback

    class GroundingCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_save(self, training_args: Any, state: Any, control: Any, **_: Any) -> None:
            if training_args.process_index == 0:
                output = Path(training_args.output_dir)
                write_grounding(settings, args, output)
                write_grounding(settings, args, output / f"checkpoint-{state.global_step}")

        def on_train_end(self, training_args: Any, state: Any, control: Any, **_: Any) -> None:
            if training_args.process_index == 0:
                write_grounding(settings, args, Path(training_args.output_dir))

    return GroundingCallback()


def write_grounding(settings: GroundingSettings, args: Mapping[str, Any], folder: Path) -> None:
    """Write `grounding.json` into a model folder, from the training data's meta files.

    Args:
        settings: The run's `grounding` section.
        args: The YAML; its training files' `.meta.json` are read. Without any, the base model's own
            `grounding.json` is kept, if it has one.
        folder: Made if it is missing.
    """
    from paddle_ground import records
    from paddle_ground.records.meta import GROUNDING_FILE

    folder.mkdir(parents=True, exist_ok=True)
    meta = common_meta(data_sets(args, "train"))
    base = Path(str(args.get("model_name_or_path") or "")) / GROUNDING_FILE
    if meta is not None:
        records.write_grounding(folder, grounding_config(settings, meta))
    elif base.exists():
        shutil.copyfile(base, folder / GROUNDING_FILE)


def grounding_config(settings: GroundingSettings, meta: SamplesMeta) -> GroundingConfig:
    """Say how a model that is trained on some data points at things.

    Args:
        settings: The run's `grounding` section.
        meta: Of the training data.
    """
    return GroundingConfig(
        coordinate_space=meta.coordinate_space,
        answer_format=meta.answer_format,
        prompt=meta.prompt,
        min_pixels=settings.image_min_pixels or STOCK_MIN_PIXELS,
        max_pixels=settings.image_max_pixels or STOCK_MAX_PIXELS,
        class_names=meta.class_names,
    )
