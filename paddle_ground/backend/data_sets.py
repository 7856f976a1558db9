"""The data sets that a training YAML names, with the share that each one gets.

Takes the YAML's keys as PaddleFormers reads them (`train_dataset_path: a.jsonl,b.jsonl#500` with
`train_dataset_prob: "0.7,0.3"`); gives one record a data set, every contradiction in words, and what the
files' metas say together. Reads metas only; imports neither paddle nor PaddleFormers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paddle_ground.errors import ConfigError
from paddle_ground.records import SamplesMeta, meta_path, read_meta

STRATEGIES = ("concat", "random", "interleave_under", "interleave_over")
_STOCK_STRATEGY = "concat"


@dataclass(frozen=True, slots=True)
class DataSet:
    """One of a run's data sets.

    Attributes:
        path: Its samples file.
        kind: `messages`, or another of PaddleFormers' formats.
        weight: As the YAML says.
        taken: How many samples of it are read, repeated if it holds fewer (`#500` behind the path); none for
            all.
    """

    path: Path
    kind: str
    weight: float
    taken: int | None = None


def data_sets(values: Mapping[str, Any], which: str) -> tuple[DataSet, ...]:
    """Read the data sets of a YAML.

    Args:
        values: Its keys.
        which: `train` or `eval`.

    Returns:
        In the YAML's order; those without weight are left out, as PaddleFormers does.

    Raises:
        ConfigError: Paths, weights and types don't belong together; the message says what to write.
    """
    paths = _words(values.get(f"{which}_dataset_path"))
    kinds = _words(values.get(f"{which}_dataset_type") or ",".join(["messages"] * len(paths)))
    weights = _words(values.get(f"{which}_dataset_prob", "1.0"))
    if not paths:
        return ()
    for name, found in (("prob", weights), ("type", kinds)):
        if len(found) != len(paths):
            example = ",".join(["messages" if name == "type" else "1.0"] * len(paths))
            raise ConfigError(
                f"`{which}_dataset_{name}`: {len(found)} values for {len(paths)} data sets in "
                f'`{which}_dataset_path`; write one each, "{example}" for example'
            )
    found_sets = [
        _data_set(path, kind, weight, which) for path, kind, weight in zip(paths, kinds, weights, strict=True)
    ]
    kept = tuple(found for found in found_sets if found.weight > 0)
    if not kept:
        raise ConfigError(f"`{which}_dataset_prob`: no data set has any weight; give one a number above 0")
    return kept


def _data_set(path: str, kind: str, weight: str, which: str) -> DataSet:
    name, mark, taken = path.partition("#")
    if mark and not taken.isdigit():
        raise ConfigError(f"`{which}_dataset_path`: {path}: expected a number of samples behind #")
    try:
        share = float(weight)
    except ValueError:
        share = math.nan
    if not (math.isfinite(share) and share >= 0):
        raise ConfigError(f"`{which}_dataset_prob`: {weight!r} is no weight; expected numbers from 0 on")
    return DataSet(Path(name), kind, share, int(taken) if mark else None)


def _words(value: Any) -> list[str]:
    """Part a list as PaddleFormers does: it drops every space, those inside paths as well."""
    return [part for part in str("" if value is None else value).replace(" ", "").split(",") if part]


def shares(sets: Sequence[DataSet], strategy: str, sizes: Sequence[int]) -> tuple[float, ...]:
    """Give the share of the trained samples that each data set gets.

    Args:
        sets: The data sets.
        strategy: `mix_strategy`.
        sizes: How many samples each holds.

    Returns:
        They add up to 1, unless all are empty.
    """
    counts = [found.taken or size for found, size in zip(sets, sizes, strict=True)]
    parts = [float(count) for count in counts] if strategy == "concat" else [found.weight for found in sets]
    total = sum(parts) or 1.0
    return tuple(part / total for part in parts)


def strategy_problems(values: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Tell where weights would not be what is trained.

    Yields:
        The key, what is wrong with its remedy, and whether it is an error.
    """
    try:
        sets = data_sets(values, "train")
        data_sets(values, "eval")
    except ConfigError as error:
        key, _, said = str(error).partition(": ")
        yield key.strip("`"), said, True
        return
    strategy = str(values.get("mix_strategy", _STOCK_STRATEGY))
    if strategy not in STRATEGIES:
        yield "mix_strategy", f"{strategy!r} is unknown; expected {', '.join(STRATEGIES)}", True
    elif strategy == "concat" and len({found.weight for found in sets}) > 1:
        weights = ",".join(f"{found.weight:g}" for found in sets)
        yield (
            "train_dataset_prob",
            f"{weights} is ignored with `mix_strategy: concat` (PaddleFormers' default), which takes every "
            "sample once; set `mix_strategy: interleave_over`, or equal weights",
            True,
        )
    elif strategy == "random" and values.get("max_steps") in (None, "", 0, -1):
        yield "max_steps", "is missing, which `mix_strategy: random` needs; set it", True
    elif strategy == "random" and "num_samples_each_epoch" not in values:
        yield (
            "num_samples_each_epoch",
            "is 6000000 with `mix_strategy: random` unless it is set, and so many samples are listed at the "
            "start; set it to about the number of yours",
            False,
        )
    if any(" " in str(values.get(f"{which}_dataset_path") or "").strip() for which in ("train", "eval")):
        paths = [p for w in ("train", "eval") for p in str(values.get(f"{w}_dataset_path") or "").split(",")]
        if any(" " in path.strip() for path in paths):
            yield "train_dataset_path", "PaddleFormers drops the spaces in a path; rename the folder", True


def common_meta(sets: Sequence[DataSet]) -> SamplesMeta | None:
    """Join the metas of data sets that are trained together.

    Args:
        sets: The data sets; those without a meta file are passed over.

    Returns:
        The first one's, with the class names of all; none where no data set has a meta.

    Raises:
        ConfigError: They speak different coordinate spaces or answer formats, or were made for different
            pixel limits.
        RecordError: A meta can't be read.
    """
    metas = [(found.path, read_meta(path)) for found in sets if (path := meta_path(found.path)).is_file()]
    if not metas:
        return None
    (first_path, first), *others = metas
    for path, meta in others:
        for what, ours, theirs in _must_agree(first, meta):
            if ours != theirs:
                raise ConfigError(
                    f"train_dataset_path: {what} is {ours or 'not said'} in {first_path} and "
                    f"{theirs or 'not said'} in {path}; one model learns one: prepare one of them again"
                )
    names = dict.fromkeys(name for _, meta in metas for name in meta.class_names)
    open_ended = any(not meta.class_names for _, meta in metas)
    return replace(first, class_names=() if open_ended else tuple(names))


def _must_agree(first: SamplesMeta, other: SamplesMeta) -> Iterator[tuple[str, str, str]]:
    yield "the coordinate space", first.coordinate_space, other.coordinate_space
    yield "the answer format", first.answer_format, other.answer_format
    for name in sorted({*first.settings, *other.settings}):
        if name.rpartition(".")[2] in ("min_pixels", "max_pixels"):
            yield f"the pixel limit {name}", first.settings.get(name, ""), other.settings.get(name, "")
