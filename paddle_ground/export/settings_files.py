"""The small files beside the weights, as Hugging Face's loaders want them.

Takes a source; writes config, generation config, tokenizer, processor, chat template, `grounding.json`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paddle_ground.backend.checkpoint import read_json
from paddle_ground.errors import ModelError
from paddle_ground.export.source import Source
from paddle_ground.files import write_text

# What PaddleFormers' trainer adds to a config for its own use.
_TRAINERS_OWN = {
    "enable_auto_parallel", "fuse_rms_norm", "is_lora", "max_sequence_length", "muon_configs",
    "paddleformers_version", "pp_seg_method", "seq_length", "tensor_model_parallel_size", "use_cache",
    "use_fast_layer_norm", "_attn_implementation",
}  # fmt: skip
_TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
_PROCESSOR = ("preprocessor_config.json", "video_preprocessor_config.json")
GROUNDING = "grounding.json"


def write_settings(source: Source, out: Path, dtype: str) -> None:
    """Write every small file.

    Args:
        source: The run.
        out: The new folder.
        dtype: What the weights are kept in, for the config; "keep" takes what they are in already.

    Raises:
        ModelError: Tokenizer or processor are missing, or a file is torn.
    """
    base = _base(source)
    _dump(out / "config.json", hugging_face_config(source, base, dtype))
    for name in _TOKENIZER:
        found = _first(name, source.folder, base)
        if found is not None:
            shutil.copyfile(found, out / name)
    for name in ("tokenizer.json", _PROCESSOR[0]):
        if _first(name, source.folder, base) is None:
            raise ModelError(f"{source.folder}: no {name}, here or in its base; copy the model's own")
    for name in _PROCESSOR:
        found = _first(name, source.folder, base)
        if found is not None:
            _dump(out / name, _within_limits(read_json(found), source.folder))
    # The trainer writes one end token back where the base has several: the base's own goes first.
    found = _first("generation_config.json", *([base] if base else []), source.folder)
    if found is not None:
        values = read_json(found)
        _dump(out / found.name, {k: v for k, v in values.items() if k not in ("use_cache", "max_length")})
    if (source.folder / GROUNDING).is_file():
        shutil.copyfile(source.folder / GROUNDING, out / GROUNDING)


def hugging_face_config(source: Source, base: Path | None, dtype: str) -> dict[str, Any]:
    """Give a config that says what Hugging Face's says, and nothing of the trainer's.

    Training changes no shape: where the base's config is at hand, it is taken as it was published.
    """
    own: Mapping[str, Any] = source.checkpoint.config
    path = base / "config.json" if base else None
    if path is not None and path.is_file():
        read = read_json(path)
        own = read if read.get("model_type") == own.get("model_type") else own
    config = _cleaned(own)
    # A base may say bfloat16 where training in float32 has left float32: loaders go by what is said.
    kept = source.dtype() if dtype == "keep" else dtype
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for key in ("torch_dtype", "dtype"):
            if key in part and kept is not None:
                part[key] = kept
    if dtype != "keep":
        config["torch_dtype"] = dtype
    return config


def _cleaned(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in _TRAINERS_OWN}
    for key, value in kept.items():
        if isinstance(value, dict):
            kept[key] = {k: v for k, v in _cleaned(value).items() if k != "architectures"}
    return kept


def _base(source: Source) -> Path | None:
    """The folder of the model that training began from, if it is on this machine."""
    if source.adapter is not None:
        return source.checkpoint.folder
    import yaml

    try:
        values = yaml.safe_load((source.run / "resolved.yaml").read_text(encoding="utf-8"))
        named = Path(str(values["model_name_or_path"]))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
    return named if named.is_dir() else None


def _first(name: str, *folders: Path | None) -> Path | None:
    return next((folder / name for folder in folders if folder and (folder / name).is_file()), None)


def _within_limits(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Let other tools feed images of the size that the model was trained on."""
    try:
        grounding = json.loads((folder / GROUNDING).read_text(encoding="utf-8"))
        least, most = int(grounding["min_pixels"]), int(grounding["max_pixels"])
    except (OSError, ValueError, KeyError, TypeError):
        return values
    if "image" not in str(values.get("image_processor_type", "image")).lower() or "fps" in values:
        return values
    values = {**values, "min_pixels": least, "max_pixels": most}
    values["size"] = {**(values.get("size") or {}), "shortest_edge": least, "longest_edge": most}
    return values


def _dump(path: Path, value: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
