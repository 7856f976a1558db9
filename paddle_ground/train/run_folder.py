"""Write down what a training run was made from, before it starts.

Takes a configuration; leaves in the run folder `resolved.yaml` (what is really run),
`versions.json` (packages, Python, git revision) and `data.json` (paths, sizes, hashes).
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from paddle_ground.backend.data_sets import data_sets
from paddle_ground.files import sha256_file, write_text
from paddle_ground.train.config import TrainConfig

_PACKAGES = (
    "paddle-ground", "paddlepaddle", "paddlepaddle-gpu", "paddleformers", "paddlefleet", "numpy",
    "transformers", "tokenizers", "safetensors", "visualdl", "Pillow", "pyarrow",
)  # fmt: skip


def write_run_folder(config: TrainConfig, values: Mapping[str, Any], output_dir: Path) -> Path:
    """Write the three files.

    Args:
        config: What was read.
        values: What is run: PaddleFormers' keys and the `grounding` section.
        output_dir: The run folder; it exists.

    Returns:
        The path of `resolved.yaml`.
    """
    import yaml

    head = f"# What was run: {config.path.name} with its overrides.\n"
    resolved = output_dir / "resolved.yaml"
    write_text(resolved, head + yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))
    write_text(output_dir / "versions.json", _json(versions()))
    write_text(output_dir / "data.json", _json(_data(config)))
    return resolved


def versions() -> dict[str, str | None]:
    """Give the versions that a result depends on; none where a package is absent."""
    found: dict[str, str | None] = {"python": platform.python_version(), "git": _git_revision()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _git_revision() -> str | None:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _data(config: TrainConfig) -> list[dict[str, Any]]:
    return [
        {
            "path": str(found.path),
            "used_for": which,
            "weight": found.weight,
            "bytes": found.path.stat().st_size,
            "sha256": sha256_file(found.path),
        }
        for which in ("train", "eval")
        for found in data_sets(config.values, which)
    ]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
