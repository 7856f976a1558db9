"""Look at a model folder before anything is loaded from it.

Takes a folder as Hugging Face or PaddleFormers' trainer leaves it; gives its config and the
list of its weight files, checked name by name and shape by shape from the files' headers.
Reads JSON and safetensors only: nothing in a model folder is ever unpickled. No Paddle here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.backend.shapes import MODEL_TYPES, config_layout, parameter_shapes
from paddle_ground.errors import ModelError

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model folder that has been looked through.

    Attributes:
        folder: Where it is.
        config: The contents of `config.json`.
        weight_files: The safetensors that make up the model, in the order of their names.
        index_file: The list of which weight is in which file; none where there is a single file.
    """

    folder: Path
    config: Mapping[str, Any]
    weight_files: tuple[Path, ...]
    index_file: Path | None

    def fingerprint(self) -> str:
        """Tell this checkpoint from others without reading all of it.

        Returns:
            64 hexadecimal digits over the config and, of each weight file, size, first and last mebibyte.
        """
        digest = hashlib.sha256(json.dumps(dict(self.config), sort_keys=True).encode())
        for path in self.weight_files:
            with path.open("rb") as stream:
                digest.update(stream.read(1 << 20))
                end = stream.seek(0, 2)
                stream.seek(max(0, end - (1 << 20)))
                digest.update(stream.read() + str(end).encode())
        return digest.hexdigest()


def inspect_checkpoint(model_dir: str | Path) -> Checkpoint:
    """Look through a model folder.

    Args:
        model_dir: A checkpoint of a known family: `config.json` and safetensors.

    Raises:
        ModelError: Folder or files are missing or torn, it is another model, or weights are missing,
            unknown, or of another shape than the config says.
    """
    folder = Path(model_dir)
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model folder; check the path, or run the step that makes it")
    config = read_config(folder)
    files, index = _weight_files(folder)
    _check_shapes(folder, config, _stored_shapes(files))
    return Checkpoint(folder, config, files, index)


def read_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` and see that it is a known family's.

    Raises:
        ModelError: It is missing, no JSON, or another model's.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder}: no config.json; {_what_it_may_be(folder)}")
    config = read_json(path)
    found = config.get("model_type")
    if found not in MODEL_TYPES:
        raise ModelError(
            f"{path}: model_type is {found!r}, expected one of {', '.join(MODEL_TYPES)}; "
            "name a model of such a family"
        )
    for section in config_layout(config).sections:
        if not isinstance(config.get(section), dict):
            raise ModelError(f"{path}: `{section}` is missing; copy the model's own config.json again")
    return config


def end_token_ids(checkpoint: Checkpoint) -> frozenset[int]:
    """Collect the ids that end an answer, from `generation_config.json` and `config.json`."""
    path = checkpoint.folder / "generation_config.json"
    text = config_layout(checkpoint.config).text(checkpoint.config)
    sources: list[Any] = [text.get("eos_token_id")]
    if path.is_file():
        # PaddleFormers' trainer writes only the first of several end tokens back; hence the union.
        sources.append(read_json(path).get("eos_token_id"))
    ids: set[int] = set()
    for source in sources:
        ids.update(i for i in (source if isinstance(source, list) else [source]) if isinstance(i, int))
    return frozenset(ids)


def _what_it_may_be(folder: Path) -> str:
    if any((folder / name).is_file() for name in ("adapter_config.json", "lora_config.json")):
        return "it holds a LoRA adapter; merge it into its base model first and name the merged folder"
    if any(folder.glob("*/*.distcp")):
        return f"it holds a state to resume training from; the finished model is in {folder.parent}"
    # The longest name last, so that checkpoint-100 follows checkpoint-90.
    inner = sorted(folder.glob("*/config.json"), key=lambda path: (len(path.parent.name), path))
    if inner:
        return f"it holds folders with models; name one of them, such as {inner[-1].parent}"
    return "name the folder that holds the model's config.json and *.safetensors"


def _weight_files(folder: Path) -> tuple[tuple[Path, ...], Path | None]:
    index = folder / INDEX_FILE
    if index.is_file():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ModelError(f"{index}: `weight_map` is missing; copy the model's own index again")
        names = sorted({str(name) for name in weight_map.values()})
        # The index is data: a name in it must stay a name.
        if any(Path(name).name != name for name in names):
            raise ModelError(f"{index}: a weight file lies outside the model folder; move it in")
        absent = [name for name in names if not (folder / name).is_file()]
        if absent:
            raise ModelError(f"{folder}: {absent[0]} is missing, {INDEX_FILE} lists it; copy the model again")
        return tuple(folder / name for name in names), index
    if (folder / SINGLE_FILE).is_file():
        return (folder / SINGLE_FILE,), None
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return (found[0],), None
    if found:
        raise ModelError(f"{folder}: {len(found)} *.safetensors but no {INDEX_FILE}; copy the index too")
    pickles = ("*.bin", "*.pdparams", "*.pt", "*.pth")
    others = sorted(path.name for pattern in pickles for path in folder.glob(pattern))
    if others:
        raise ModelError(
            f"{folder}: weights only as {others[0]}, a pickle that could run code; "
            "save the model as safetensors"
        )
    raise ModelError(f"{folder}: no *.safetensors; copy the model's weights into it")


def _stored_shapes(files: Iterable[Path]) -> dict[str, Shape]:
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, Shape] = {}
    for path in files:
        try:
            with safe_open(path, framework="numpy") as stream:
                for name in stream.keys():
                    shapes[name] = tuple(stream.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path}: not a whole safetensors file ({error}); copy it again") from error
    return shapes


def _check_shapes(folder: Path, config: dict[str, Any], stored: dict[str, Shape]) -> None:
    try:
        wanted = dict(parameter_shapes(config))
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{folder / 'config.json'}: a shape is missing or wrong ({error}); "
            "copy the model's own config.json again"
        ) from error
    missing = [name for name in wanted if name not in stored]
    if missing:
        raise ModelError(
            f"{folder}: {len(missing)} of {len(wanted)} weights are missing, first {missing[0]}; "
            "the model would be partly random: copy all of its weight files"
        )
    for name, shape in wanted.items():
        if stored[name] != shape:
            raise ModelError(
                f"{folder}: {name} has shape {list(stored[name])}, config.json says {list(shape)}; "
                "weights and config belong to different models"
            )
    unknown = [name for name in stored if name not in wanted and not _may_be_ignored(name)]
    if unknown:
        raise ModelError(
            f"{folder}: {len(unknown)} weights that config.json has no place for, first {unknown[0]}; "
            "weights and config belong to different models"
        )


def _may_be_ignored(name: str) -> bool:
    """Whether a stored tensor can be made from others: a tied head's copy, rotary tables."""
    return name == "lm_head.weight" or name.endswith("inv_freq")


def read_json(path: Path) -> dict[str, Any]:
    """Read a model folder's JSON file.

    Raises:
        ModelError: It is missing, no JSON, or no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({error}); copy it again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: expected a JSON object; copy it again")
    return value
