"""Load a checkpoint for inference, whole or not at all.

Takes a model folder; gives PaddleFormers' native model in evaluation mode, with its processor
and tokenizer. Does not know: images, prompts, answers. Nothing is written into the folder.
"""

from __future__ import annotations

import copy
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.backend.checkpoint import (
    INDEX_FILE,
    SINGLE_FILE,
    Checkpoint,
    end_token_ids,
    inspect_checkpoint,
)
from paddle_ground.backend.natives import model_class
from paddle_ground.backend.quiet import quiet
from paddle_ground.errors import ModelError

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready to answer.

    Attributes:
        model: PaddleFormers' native model of the family, in evaluation mode.
        processor: PaddleFormers' processor of the folder: images to patches.
        tokenizer: The processor's tokenizer.
        config: PaddleFormers' configuration of the model.
        checkpoint: The folder that it came from; none for a model that is being trained.
        end_token_ids: The ids that end an answer.
    """

    model: Any
    processor: Any
    tokenizer: Any
    config: Any
    checkpoint: Checkpoint | None
    end_token_ids: frozenset[int]


def load_model(model_dir: str | Path, *, dtype: str = "float32") -> LoadedModel:
    """Load a checkpoint: a published one, one that PaddleFormers trained, or a small one of ours.

    Args:
        model_dir: Folder with `config.json`, safetensors, tokenizer and processor files.
        dtype: "float32", "bfloat16" or "float16"; what the weights are turned into.

    Returns:
        The model with all of its weights from the file: a missing weight is an error, never random.

    Raises:
        ModelError: The folder, its config, weights or processor files are missing or don't fit.
    """
    if dtype not in DTYPES:
        raise ModelError(f"unknown dtype {dtype!r}; expected one of {', '.join(DTYPES)}")
    checkpoint = inspect_checkpoint(model_dir)
    with quiet():
        _fit_machine()
        processor = _load_processor(checkpoint.folder)
        model = _load_weights(checkpoint, dtype)
    # PaddleFormers' image processor copies tensors that it holds already, and Paddle remarks on it.
    warnings.filterwarnings("ignore", message="To copy construct from a tensor")
    ends = end_token_ids(checkpoint) | _own_ends(processor.tokenizer)
    return LoadedModel(model, processor, processor.tokenizer, model.config, checkpoint, ends)


def model_in_training(model: Any, processor: Any) -> LoadedModel:
    """Present a trainer's model as a loaded one.

    Args:
        model: The trainer's: the family's native model, or its LoRA form.
        processor: The trainer's; it is copied, since inference sets its own pixel limits on it.
    """
    inner = model.model if hasattr(model, "lora_config") else model
    own = copy.copy(processor)
    return LoadedModel(inner, own, own.tokenizer, inner.config, None, frozenset(_own_ends(own.tokenizer)))


def _own_ends(tokenizer: Any) -> set[int]:
    return {token for token in (tokenizer.eos_token_id, tokenizer.pad_token_id) if token is not None}


def on_cpu() -> bool:
    """Tell whether Paddle computes on a CPU here."""
    import paddle

    return str(paddle.device.get_device()).startswith("cpu")


def _fit_machine() -> None:
    """Put the CPU kernels in place where there is no GPU; PaddleFormers' own RMSNorm has none."""
    if not on_cpu():
        return
    from paddle_ground.backend import cpu_kernels, cpu_runtime, data_path

    cpu_runtime.tune()
    cpu_kernels.apply()
    data_path.apply()


def _load_processor(folder: Path) -> Any:
    from paddleformers.transformers import AutoProcessor

    for name in ("tokenizer.json", "preprocessor_config.json"):
        if not (folder / name).is_file():
            raise ModelError(
                f"{folder}: {name} is missing; copy it from the model that this one was trained from"
            )
    try:
        # Code that comes with a model folder is never run.
        processor = AutoProcessor.from_pretrained(str(folder), trust_remote_code=False)
        image_processor = processor.image_processor
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{folder}: its processor or tokenizer files can't be loaded ({reason}); "
            "copy them from the model that this one was trained from"
        ) from error
    if not hasattr(image_processor, "merge_size"):
        raise ModelError(f"{folder}: preprocessor_config.json is not a Qwen-VL's; copy the model's own again")
    return processor


def _load_weights(checkpoint: Checkpoint, dtype: str) -> Any:
    with _view_of(checkpoint) as view:
        model = model_class(checkpoint.config["model_type"]).from_pretrained(
            str(view), convert_from_hf=True, load_checkpoint_format="flex_checkpoint", dtype=dtype
        )
    # Read at each forward pass. With "eager", the default, PaddleFormers would ask for dense masks.
    for config in (model.config, model.config.text_config, model.config.vision_config):
        config._attn_implementation = "sdpa"
    model.eval()
    return model


@contextmanager
def _view_of(checkpoint: Checkpoint) -> Iterator[Path]:
    """Give a temporary folder of links to the checkpoint's config and weights, and nothing else.

    PaddleFormers' loader writes a `flex-ckpt.auto_generated.metadata` beside the weights, and
    unpickles any `*.metadata` that it finds there. The model folder may be read-only, or a stranger's.
    """
    with tempfile.TemporaryDirectory(prefix="paddle_ground-") as name:
        view = Path(name)
        os.symlink((checkpoint.folder / "config.json").resolve(), view / "config.json")
        if checkpoint.index_file is None:
            os.symlink(checkpoint.weight_files[0].resolve(), view / SINGLE_FILE)
        else:
            os.symlink(checkpoint.index_file.resolve(), view / INDEX_FILE)
            for path in checkpoint.weight_files:
                os.symlink(path.resolve(), view / path.name)
        yield view
