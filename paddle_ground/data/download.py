"""Fetches a data set's parquet shards from a hub, once.

Takes a repository's name, gives a folder. `DOWNLOAD_SOURCE=modelscope` in the environment takes
ModelScope instead of the Hugging Face hub; `HF_ENDPOINT` and `HF_HOME` work as everywhere. Both
libraries keep what they fetched and go on where a download was stopped. Reads no parquet.
"""

from __future__ import annotations

import os
from pathlib import Path

from paddle_ground.errors import ConfigError, DownloadError, MissingExtraError

_PATTERN = "*.parquet"


def download_dataset(repo: str) -> Path:
    """Fetch a data set, or find it on this machine.

    Args:
        repo: Its name on the hub, such as "detection-datasets/coco"; or a folder, which is given back.

    Returns:
        The folder that holds its parquet shards, at any depth.

    Raises:
        DownloadError: The hub can't be reached, or does not have it; the message holds the command
            to fetch it by hand.
        MissingExtraError: ModelScope is asked for, but not installed.
        ConfigError: `DOWNLOAD_SOURCE` names no hub.
    """
    if Path(repo).is_dir():
        return Path(repo)
    hub = os.environ.get("DOWNLOAD_SOURCE", "huggingface").strip().lower()
    if hub in ("huggingface", "hf", ""):
        return _from_huggingface(repo)
    if hub == "modelscope":
        return _from_modelscope(repo)
    raise ConfigError(f"DOWNLOAD_SOURCE is {hub!r}; it must be huggingface or modelscope")


def _from_huggingface(repo: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    command = f"hf download --repo-type dataset {repo} --include '{_PATTERN}' --local-dir DIR"
    try:
        return Path(snapshot_download(repo, repo_type="dataset", allow_patterns=[_PATTERN]))
    except HFValidationError as error:
        raise DownloadError(f"{repo}: neither a folder here nor a repository's name (OWNER/NAME)") from error
    except Exception as error:  # The HTTP library below it is not the same in all versions.
        raise _unreachable(repo, "the Hugging Face hub", command, error) from error


def _from_modelscope(repo: str) -> Path:
    try:
        from modelscope import dataset_snapshot_download
    except ImportError as error:
        raise MissingExtraError("DOWNLOAD_SOURCE=modelscope", "modelscope", "modelscope") from error
    command = f"modelscope download --repo-type dataset {repo} --include '{_PATTERN}' --local-dir DIR"
    try:
        return Path(dataset_snapshot_download(repo, allow_patterns=[_PATTERN]))
    except Exception as error:  # As above.
        raise _unreachable(repo, "ModelScope", command, error) from error


def _unreachable(repo: str, hub: str, command: str, error: Exception) -> DownloadError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
    return DownloadError(
        f"{repo}: cannot fetch it from {hub} ({reason}); fetch it where there is a network with `{command}`, "
        "then pass --source DIR"
    )
