"""An export that the page starts, and what it wrote.

Takes the folder of runs and what a form says; gives the command, the files, the model card and lines that
serve the folder elsewhere. Knows no page.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from paddle_ground.errors import ConfigError
from paddle_ground.web.evaluation import metrics_path
from paddle_ground.web.run_folders import find_model, new_folder
from paddle_ground.web.work import Step

DTYPES = ("keep", "float32", "bfloat16", "float16")
_SIZE = re.compile(r"\d{1,9}(\.\d{1,3})?\s*[KMGT]?i?B", re.IGNORECASE)
_CARD = "README.md"
_HEADER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_MAX_CARD = 100_000


@dataclass(frozen=True, slots=True)
class Export:
    """What a form says.

    Attributes:
        source: Name of a run or model, as `run_folders.list_models` has it.
        out: Path of the new folder, from the folder of runs on.
        shard_size: Largest weight file, as "5GB".
        dtype: One of `DTYPES`.
        evaluation: Name of the evaluation whose metrics go into the model card; none for no metrics.
    """

    source: str | None
    out: str | None
    shard_size: str = "5GB"
    dtype: str = "keep"
    evaluation: str | None = None


def export_step(runs: Path, export: Export) -> tuple[Step, Path]:
    """Give the command and the folder that it will write.

    Args:
        runs: The folder of runs, its links resolved; nothing else is read or written.
        export: From anybody.

    Raises:
        ConfigError: A name leads out or names nothing, or a setting is none.
    """
    source = find_model(runs, export.source, adapters=True)
    out = new_folder(runs, export.out)
    if source == out or (out.is_relative_to(source) and source != runs):
        raise ConfigError(f"{export.out}: it lies in what is exported; name a folder beside it")
    if not _SIZE.fullmatch(export.shard_size.strip()):
        raise ConfigError(f"{export.shard_size[:50]!r}: no size of a file; expected 5GB, 500MB or 2GiB")
    if export.dtype not in DTYPES:
        raise ConfigError(f"{export.dtype[:50]!r}: expected one of {', '.join(DTYPES)}")
    words = ["export", str(source), str(out), "--max-shard-size", export.shard_size.strip()]
    words += ["--dtype", export.dtype]
    if export.evaluation:
        words += ["--metrics", str(metrics_path(runs, export.evaluation))]
    return Step("export", tuple(words)), out


def default_out(source: str | None) -> str:
    """Propose a name for the new folder: "first/best" -> "exported/first-best"."""
    name = re.sub(r"[^\w.-]+", "-", source or "").strip("-._")
    return f"exported/{name}" if name else "exported/model"


def files_of(out: Path) -> list[list[str]]:
    """List an exported folder: names and sizes."""
    return [[path.name, _shown(path.stat().st_size)] for path in sorted(out.iterdir()) if path.is_file()]


def _shown(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def card_of(out: Path) -> str:
    """Give the model card without the header that Hugging Face's hub reads."""
    try:
        with (out / _CARD).open(encoding="utf-8") as stream:
            return _HEADER.sub("", stream.read(_MAX_CARD)).strip()
    except OSError:
        return ""


def serve_lines(runs: Path, out: Path) -> str:
    """Give the commands that serve an exported folder, one a server."""
    shown = shlex.quote(f"{runs.name}/{out.relative_to(runs).as_posix()}")
    return "\n".join(
        (
            f"paddle-ground serve {shown}",
            f"vllm serve {shown}",
            f"python -m sglang.launch_server --model-path {shown}",
            f"python -m fastdeploy.entrypoints.openai.api_server --model {shown}",
        )
    )
