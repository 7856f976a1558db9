"""Write the exported folder: whole, or not at all.

Takes a run and options; gives a folder that Hugging Face's loaders, vLLM and paddle_ground read.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from paddle_ground.backend.checkpoint import inspect_checkpoint
from paddle_ground.errors import ConfigError
from paddle_ground.export.card import model_card
from paddle_ground.export.settings_files import write_settings
from paddle_ground.export.shards import parse_size, write_shards
from paddle_ground.export.source import DTYPES, find_source
from paddle_ground.files import unwritable, write_text


@dataclass(frozen=True)
class ExportOptions:
    """What is exported where.

    Attributes:
        run: The run's folder, its `best`, or a model folder.
        out: The new folder; it must not exist, or be empty.
        base: The base of an adapter, where the run doesn't say it or it has moved.
        max_shard_size: Largest weight file, as `5GB`.
        dtype: "keep", "float32", "bfloat16" or "float16".
        metrics: eval's `metrics.json`, for the card.
    """

    run: Path
    out: Path
    base: Path | None = None
    max_shard_size: str = "5GB"
    dtype: str = "keep"
    metrics: Path | None = None


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes:
        out: The folder.
        weight_files: Names of the weight files.
        total_bytes: Of the weight files.
        merged: Whether an adapter was merged.
    """

    out: Path
    weight_files: tuple[str, ...]
    total_bytes: int
    merged: bool


def merge(run: Path, out: Path) -> ExportReport:
    """Export a run as it is: an adapter becomes a whole model.

    Args:
        run: Its folder.
        out: The new folder.

    Raises:
        PaddleGroundError: As `export`.
    """
    return export(ExportOptions(run, out))


def export(options: ExportOptions) -> ExportReport:
    """Export a run.

    Raises:
        ConfigError: An option is wrong, or the folder holds something.
        ModelError: The run holds no finished model, or its parts don't belong together.
        UnwritableError: The folder can't be written.
    """
    largest = parse_size(options.max_shard_size)
    if options.dtype not in DTYPES:
        raise ConfigError(f"--dtype {options.dtype!r}: expected one of {', '.join(DTYPES)}")
    out = Path(os.path.abspath(options.out))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{options.out}: it holds something; name a new folder, or empty this one")
    source = find_source(options.run, options.base)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        write_settings(source, part, options.dtype)
        write_text(part / "README.md", model_card(source, out.name, options.metrics))
        files = write_shards(part, source.weights(options.dtype), largest)
        # What a loader would check, before anybody relies on it.
        inspect_checkpoint(part)
        if out.is_dir():
            out.rmdir()
        part.rename(out)
    except OSError as error:
        raise unwritable(options.out, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    names = tuple(file.name for file in files)
    size = sum((out / name).stat().st_size for name in names)
    return ExportReport(out, names, size, source.adapter is not None)
