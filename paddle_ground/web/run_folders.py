"""Folders below the one of `--runs`: those that hold models, and new ones.

Takes the root and names in it; gives paths. No name leads out of the root, by itself or by a link.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from paddle_ground.errors import ConfigError

ADAPTER = "lora_config.json"
_WEIGHTS = re.compile(r"(?P<adapter>peft_model|adapter_model)?.*\.safetensors$")
_MAX_FOLDERS = 5000
_MAX_MODELS = 500
_DEEPEST = 6
# Nothing hidden, nothing that a shell would read otherwise.
_PART = re.compile(r"[A-Za-z0-9\u4e00-\u9fff][\w.-]{0,99}")
_MAX_BYTES = 200  # a file system takes 255, with what a writer puts around a name meanwhile


def list_models(root: Path, adapters: bool = False) -> list[str]:
    """Find folders with a model's config and weights.

    Args:
        root: Where to look; links are not followed.
        adapters: Folders with a LoRA adapter as well.

    Returns:
        Their paths from the root on, in order; "." is the root itself.
    """
    found = (
        folder.relative_to(root).as_posix()
        for folder, names in walk(root)
        if holds_model(names)
        or (adapters and ADAPTER in names and any(_WEIGHTS.match(name) for name in names))
    )
    return sorted(islice(found, _MAX_MODELS), key=_in_order)


def holds_model(names: Collection[str]) -> bool:
    """Tell by its files whether a folder holds a whole model: an adapter's has a `config.json` as well."""
    weights = (found for name in names if (found := _WEIGHTS.match(name)))
    return "config.json" in names and any(found["adapter"] is None for found in weights)


def find_model(root: Path, name: str | None, adapters: bool = False) -> Path:
    """Give a folder that `list_models` lists.

    Raises:
        ConfigError: It lists none of this name.
    """
    if not name or name not in list_models(root, adapters):
        raise ConfigError(f"{_shown(name)}: no such model below {root.name}; choose one of the list")
    return root / name


def new_folder(root: Path, name: str | None) -> Path:
    """Give where a folder of this name is to be made.

    Args:
        root: Nothing leaves it, its links resolved.
        name: Path from the root on.

    Raises:
        ConfigError: The name leads out, goes over a link, or is taken.
    """
    path = folder_below(root, name)
    if path.exists() and any(path.iterdir()):
        raise ConfigError(f"{_shown(name)}: it holds something; name a new folder")
    return path


def folder_below(root: Path, name: str | None) -> Path:
    """Give where a folder of this name is, or would be.

    Args:
        root: Nothing leaves it, its links resolved.
        name: Path from the root on.

    Raises:
        ConfigError: The name leads out, goes over a link, or is a file's.
    """
    parts = (name or "").strip().split("/")
    if len(parts) > _DEEPEST or not all(_PART.fullmatch(part) and is_short(part) for part in parts):
        raise ConfigError(
            f"{_shown(name)}: no name of a new folder; expected a path below {root.name}, of letters, "
            "digits, . _ and -, not too long"
        )
    path = root
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise ConfigError(f"{_shown(name)}: {part} is a link; name a folder below {root.name}")
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{_shown(name)}: {part} is a file; name another folder")
    return path


def is_short(name: str) -> bool:
    """Tell whether a file system takes a name; Chinese letters count three times."""
    return len(name.encode(errors="replace")) <= _MAX_BYTES


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Walk folders in order, into no link and no hidden one; gives each with the names of its files.

    Args:
        root: Where to begin; of a very large tree not all is seen.
    """
    for where, folders, names in islice(os.walk(root), _MAX_FOLDERS):
        folder = Path(where)
        deep = len(folder.relative_to(root).parts) >= _DEEPEST
        folders[:] = [] if deep else sorted(one for one in folders if not one.startswith("."))
        yield folder, names


def _in_order(name: str) -> list[tuple[int, str]]:
    """Order checkpoint-90 before checkpoint-100."""
    return [
        (int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", name) if piece
    ]


def _shown(name: str | None) -> str:
    return repr((name or "")[:100])
