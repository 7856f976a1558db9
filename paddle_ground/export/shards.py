"""Write weights as safetensors of a size that fits a disk or an upload, with Hugging Face's index.

Takes named arrays one after the other; holds one shard of them at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddle_ground.backend.checkpoint import INDEX_FILE, SINGLE_FILE
from paddle_ground.errors import ConfigError
from paddle_ground.files import write_text

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}

Array = NDArray[Any]


def parse_size(text: str) -> int:
    """Read a size such as `5GB`, `500 MB` or `2GiB`, in bytes.

    Raises:
        ConfigError: It is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?I?B?)", text.strip().upper())
    unit = found[2] if found else "?"
    size = int(float(found[1]) * _UNITS[unit]) if found and unit in _UNITS else 0
    if size < 1:
        raise ConfigError(f"--max-shard-size {text!r} is no size; expected one such as 5GB, 500MB or 2GiB")
    return size


def write_shards(folder: Path, weights: Iterable[tuple[str, Array]], largest: int) -> list[Path]:
    """Write weights in the order in which they come.

    Args:
        folder: An empty one.
        weights: Name and array.
        largest: Bytes of a shard; a single larger weight gets a shard of its own.

    Returns:
        The weight files: one `model.safetensors`, or `model-00001-of-00003.safetensors` and so on beside an
        index.
    """
    from safetensors.numpy import save_file

    parts: list[tuple[Path, list[str]]] = []
    total = 0
    for number, shard in enumerate(_shards(weights, largest)):
        path = folder / f"part-{number}.safetensors"
        save_file(shard, path, metadata={"format": "pt"})
        parts.append((path, list(shard)))
        total += sum(array.nbytes for array in shard.values())
    if len(parts) == 1:
        return [parts[0][0].rename(folder / SINGLE_FILE)]
    places: dict[str, str] = {}
    written = []
    for number, (path, names) in enumerate(parts, 1):
        name = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        written.append(path.rename(folder / name))
        places.update(dict.fromkeys(names, name))
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    write_text(folder / INDEX_FILE, json.dumps(index, indent=2) + "\n")
    return written


def _shards(weights: Iterable[tuple[str, Array]], largest: int) -> Iterator[dict[str, Array]]:
    shard: dict[str, Array] = {}
    size = 0
    for name, array in weights:
        if shard and size + array.nbytes > largest:
            yield shard
            shard, size = {}, 0
        shard[name] = np.ascontiguousarray(array)
        size += array.nbytes
    yield shard
