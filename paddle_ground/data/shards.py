"""Which parquet files a folder holds and which output split each belongs to, by their names.

Takes a folder and a split map, gives shards. Reads no file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paddle_ground.errors import DataError

TARGETS = ("train", "val", "none")
"""Where a source split can go: two outputs, or nowhere."""

# The test split is left out: on the hubs its annotations are withheld, or all of one class.
USUAL_SPLITS: dict[str, str] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "none",
}


@dataclass(frozen=True, slots=True)
class Shard:
    """One parquet file.

    Attributes:
        path: Where it is.
        name: Its path relative to the data set's folder, with forward slashes; for messages.
        split: "train" or "val": the output split of its rows.
    """

    path: Path
    name: str
    split: str


def find_shards(
    root: Path, split_map: Mapping[str, str] | None = None
) -> tuple[tuple[Shard, ...], tuple[str, ...]]:
    """Find the shards below a folder, in the order of their names.

    The source split is what a file's name begins with (`train-00000-of-00040.parquet`), or its
    folder's name where the file's is a bare number (`train/0000.parquet`).

    Args:
        root: The folder, or one shard.
        split_map: Output split by source split, for those that differ from the usual names.

    Returns:
        The shards that go somewhere, and notes on those that don't.

    Raises:
        DataError: There is no such folder, no shard in it, or a source split that nobody mapped.
    """
    if not root.exists():
        raise DataError(f"{root}: no such folder; give the folder that holds the parquet shards")
    folder = root if root.is_dir() else root.parent
    paths = (
        [root]
        if root.is_file()
        else sorted(path for path in root.rglob("*.parquet") if not path.name.startswith("."))
    )
    if not paths:
        raise DataError(f"{root}: no *.parquet file in it; give the folder that holds the parquet shards")
    prefixes = {path: _prefix(path, folder) for path in paths}
    known = {**USUAL_SPLITS, **(split_map or {})}
    notes: list[str] = []
    if split_map is None and not any(prefix in known for prefix in prefixes.values()):
        known = dict.fromkeys(prefixes.values(), "train")
        notes.append("splits: no shard's name tells its split; all are taken as train")
    shards: list[Shard] = []
    for path, prefix in prefixes.items():
        name = path.relative_to(folder).as_posix()
        if prefix not in known:
            raise DataError(
                f"{name}: source split {prefix!r} is unknown; map it, e.g. --split-map {prefix}=train"
            )
        if known[prefix] != "none":
            shards.append(Shard(path, name, known[prefix]))
    left_out = sorted({prefix for prefix in prefixes.values() if known[prefix] == "none"})
    if left_out:
        notes.append(f"splits: {', '.join(left_out)} left out (--split-map {left_out[0]}=val takes it)")
    if not shards:
        raise DataError(
            f"{root}: the split map leaves out every shard; map one, e.g. --split-map {left_out[0]}=val"
        )
    return tuple(shards), tuple(notes)


def parse_split_map(text: str) -> dict[str, str]:
    """Read what --split-map was given, such as "train=train,validation=val,test=none".

    Raises:
        DataError: It is not of that form.
    """
    pairs: dict[str, str] = {}
    for part in text.split(","):
        source, mark, target = part.strip().partition("=")
        if not (mark and source) or target not in TARGETS:
            raise DataError(
                f"--split-map {text!r}: {part.strip()!r} is not SOURCE=train, SOURCE=val or SOURCE=none"
            )
        pairs[source.strip().lower()] = target
    return pairs


def _prefix(path: Path, root: Path) -> str:
    stem = re.match(r"[^\W\d_]+", path.stem)
    if stem is None and path.parent != root:
        stem = re.match(r"[^\W\d_]+", path.parent.name)
    return stem.group().lower() if stem else path.stem.lower()
