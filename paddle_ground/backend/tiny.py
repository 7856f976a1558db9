"""Build a small Qwen3-VL with the layout of the 2B, 4B and 8B models, and random weights.

Takes a preset and a text corpus; gives a model folder (config, safetensors in Hugging
Face's naming, byte-level BPE tokenizer, processors, chat template) that PaddleFormers
and HF transformers both load. It does not know what the model will be trained on.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddle_ground.backend.shapes import parameter_shapes
from paddle_ground.backend.tokenizer import CHAT_TEMPLATE, train_tokenizer
from paddle_ground.errors import ModelError
from paddle_ground.files import unwritable

Array = NDArray[np.float32]


@dataclass(frozen=True)
class TextShape:
    """Shape of the language model; names follow Qwen3-VL's `text_config`."""

    hidden_size: int = 192
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 48
    intermediate_size: int = 512
    mrope_section: tuple[int, int, int] = (8, 8, 8)
    tie_word_embeddings: bool = True
    vocab_size: int = 768


@dataclass(frozen=True)
class VisionShape:
    """Shape of the vision tower; names follow Qwen3-VL's `vision_config`."""

    hidden_size: int = 128
    depth: int = 4
    num_heads: int = 4
    intermediate_size: int = 384
    deepstack_visual_indexes: tuple[int, ...] = (1, 2)
    num_position_embeddings: int = 64
    patch_size: int = 16
    spatial_merge_size: int = 2
    temporal_patch_size: int = 2


@dataclass(frozen=True)
class TinyPreset:
    """A whole small model: shapes, image limits in pixels of area, initialisation."""

    text: TextShape = field(default_factory=TextShape)
    vision: VisionShape = field(default_factory=VisionShape)
    min_pixels: int = 64 * 64
    max_pixels: int = 512 * 512
    initializer_range: float = 0.02


PRESETS: dict[str, TinyPreset] = {
    "demo": TinyPreset(),
    "test": TinyPreset(
        text=TextShape(
            hidden_size=64, num_hidden_layers=2, head_dim=24, intermediate_size=128, mrope_section=(4, 4, 4)
        ),
        vision=VisionShape(
            hidden_size=32, depth=2, num_heads=2, intermediate_size=64, deepstack_visual_indexes=(0, 1)
        ),
    ),
}


def build_tiny_model(
    out_dir: str | os.PathLike[str],
    preset: str | TinyPreset = "demo",
    corpus: Iterable[str] = (),
    seed: int = 0,
) -> Path:
    """Write a small Qwen3-VL with random weights.

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
    shapes = _preset(preset)
    _check(shapes)
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


def model_config(shapes: TinyPreset, token_ids: dict[str, int]) -> dict[str, Any]:
    """Give the `config.json` of a small model, with the key layout of the published ones."""
    text, vision = asdict(shapes.text), asdict(shapes.vision)
    section, tied = list(text.pop("mrope_section")), text.pop("tie_word_embeddings")
    vision["deepstack_visual_indexes"] = list(vision["deepstack_visual_indexes"])
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "image_token_id": token_ids["<|image_pad|>"],
        "video_token_id": token_ids["<|video_pad|>"],
        "vision_start_token_id": token_ids["<|vision_start|>"],
        "vision_end_token_id": token_ids["<|vision_end|>"],
        "tie_word_embeddings": tied,
        "text_config": {
            "model_type": "qwen3_vl_text",
            **text,
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": token_ids["<|endoftext|>"],
            "eos_token_id": token_ids["<|im_end|>"],
            "dtype": "float32",
            "hidden_act": "silu",
            "initializer_range": shapes.initializer_range,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-06,
            "rope_scaling": {"mrope_interleaved": True, "mrope_section": section, "rope_type": "default"},
            "rope_theta": 10000,
            "tie_word_embeddings": tied,
            "use_cache": True,
        },
        "vision_config": {
            "model_type": "qwen3_vl",
            **vision,
            "hidden_act": "gelu_pytorch_tanh",
            "in_channels": 3,
            "initializer_range": shapes.initializer_range,
            "out_hidden_size": shapes.text.hidden_size,
        },
    }


def _preset(preset: str | TinyPreset) -> TinyPreset:
    if isinstance(preset, TinyPreset):
        return preset
    if preset not in PRESETS:
        raise ModelError(f"unknown preset `{preset}`; expected one of {', '.join(sorted(PRESETS))}")
    return PRESETS[preset]


def _check(shapes: TinyPreset) -> None:
    text, vision = shapes.text, shapes.vision
    if sum(text.mrope_section) * 2 != text.head_dim:
        raise ModelError(
            f"mrope_section {text.mrope_section} must add up to half of head_dim ({text.head_dim // 2})"
        )
    if text.num_attention_heads % text.num_key_value_heads:
        raise ModelError(
            f"num_attention_heads {text.num_attention_heads} must be a multiple of "
            f"num_key_value_heads {text.num_key_value_heads}"
        )
    side = math.isqrt(vision.num_position_embeddings)
    if side * side != vision.num_position_embeddings or vision.hidden_size % (4 * vision.num_heads):
        raise ModelError(
            "num_position_embeddings must be a square, and the vision hidden_size a multiple of "
            f"4 x num_heads; found {vision.num_position_embeddings} and {vision.hidden_size} "
            f"with {vision.num_heads} heads"
        )


def _write_processors(work: Path, shapes: TinyPreset) -> None:
    common = {
        "size": {"shortest_edge": shapes.min_pixels, "longest_edge": shapes.max_pixels},
        "patch_size": shapes.vision.patch_size,
        "temporal_patch_size": shapes.vision.temporal_patch_size,
        "merge_size": shapes.vision.spatial_merge_size,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "processor_class": "Qwen3VLProcessor",
    }
    image = {**common, "image_processor_type": "Qwen2VLImageProcessorFast"}
    video = {**common, "video_processor_type": "Qwen3VLVideoProcessor"}
    _write_json(work / "preprocessor_config.json", image)
    _write_json(work / "video_preprocessor_config.json", video)
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
