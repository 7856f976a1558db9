"""Build a small model with the layout of a published family's, and random weights.

Takes a preset and a text corpus; gives a model folder (config, safetensors in Hugging
Face's naming, byte-level BPE tokenizer, processors, chat template) that PaddleFormers
and HF transformers both load. Shapes are in `tiny_shapes`, the families' files in `tiny_configs`.
It does not know what the model will be trained on.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddle_ground.backend.shapes import parameter_shapes
from paddle_ground.backend.tiny_configs import model_config, processor_files
from paddle_ground.backend.tiny_shapes import PRESETS, TextShape, TinyPreset, VisionShape, WindowVisionShape
from paddle_ground.backend.tiny_shapes import preset as find_preset
from paddle_ground.backend.tokenizer import CHAT_TEMPLATE, train_tokenizer
from paddle_ground.errors import ModelError
from paddle_ground.files import unwritable

__all__ = [
    "PRESETS", "TextShape", "TinyPreset", "VisionShape", "WindowVisionShape", "build_tiny_model",
    "random_weights", "sine_cosine_table",
]  # fmt: skip

Array = NDArray[np.float32]


def build_tiny_model(
    out_dir: str | os.PathLike[str],
    preset: str | TinyPreset = "demo",
    corpus: Iterable[str] = (),
    seed: int = 0,
) -> Path:
    """Write a small model with random weights.

    Args:
        out_dir: Folder to make; it must not exist or must be empty.
        preset: A name in `PRESETS`, or shapes of your own.
        corpus: Lines that the BPE merges are learned from, added to the built-in ones.
        seed: Of the weights; the same seed gives the same bytes.

    Returns:
        The folder, complete: it appears under its name only when every file is in it.

    Raises:
        ModelError: The preset is unknown, shapes contradict each other, or the folder has files.
        DataError: The folder can't be written.
    """
    shapes = find_preset(preset)
    out = Path(out_dir)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"{out}: expected a new or empty folder for the model; remove it or name another")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise unwritable(out, error) from error
    try:
        token_ids = train_tokenizer(work, corpus, shapes.text.vocab_size)
        config = model_config(shapes, token_ids)
        _write_json(work / "config.json", config)
        _write_json(
            work / "generation_config.json",
            {
                "bos_token_id": token_ids["<|endoftext|>"],
                "eos_token_id": [token_ids["<|im_end|>"], token_ids["<|endoftext|>"]],
                "pad_token_id": token_ids["<|endoftext|>"],
                "do_sample": False,
            },
        )
        _write_processors(work, shapes)
        _write_weights(work, config, shapes, seed)
        os.chmod(work, 0o755)
        if out.exists():
            out.rmdir()
        os.replace(work, out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return out


def _write_processors(work: Path, shapes: TinyPreset) -> None:
    for name, values in processor_files(shapes).items():
        _write_json(work / name, values)
    _write_json(work / "chat_template.json", {"chat_template": CHAT_TEMPLATE})


def _write_weights(work: Path, config: dict[str, Any], shapes: TinyPreset, seed: int) -> None:
    from safetensors.numpy import save_file

    weights = dict(random_weights(config, shapes.initializer_range, seed))
    save_file(weights, work / "model.safetensors", metadata={"format": "pt"})
    size = sum(w.nbytes for w in weights.values())
    _write_json(
        work / "model.safetensors.index.json",
        {"metadata": {"total_size": size}, "weight_map": dict.fromkeys(weights, "model.safetensors")},
    )


def random_weights(config: dict[str, Any], std: float, seed: int) -> Iterator[tuple[str, Array]]:
    """Yield float32 weights: norms one, biases zero, matrices normal, positions two-dimensional sine-cosine.

    The position table starts as in MAE (arXiv 2111.06377, appendix A.1): a fixed sine-cosine
    table that training then changes. A model of few parameters finds "where" far sooner from
    it than from noise. Matrices have standard deviation `1 / sqrt(fan_in)` capped below by `std`.
    """
    rng = np.random.default_rng(seed)
    for name, shape in parameter_shapes(config):
        if name.endswith("pos_embed.weight"):
            yield name, sine_cosine_table(shape[0], shape[1])
        elif name.endswith(".bias"):
            yield name, np.zeros(shape, np.float32)
        elif len(shape) == 1:
            yield name, np.ones(shape, np.float32)
        else:
            scale = std if "embed_tokens" in name else max(std, 1 / math.sqrt(math.prod(shape[1:])))
            yield name, (rng.standard_normal(shape) * scale).astype(np.float32)


def sine_cosine_table(positions: int, width: int) -> Array:
    """Give a (positions, width) table of sines and cosines of row and column of a square grid."""
    side = math.isqrt(positions)
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    omega = np.pi / side / (4.0 ** (np.arange(width // 4) / (width // 4) * 2 - 2))
    parts = []
    for axis in (rows, columns):
        angle = axis.reshape(-1, 1) * omega[None, :]
        parts += [np.sin(angle), np.cos(angle)]
    table: Array = np.concatenate(parts, axis=1).astype(np.float32)
    return table


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
