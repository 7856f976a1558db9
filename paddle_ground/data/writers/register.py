"""LLaMA-Factory's `dataset_info.json`: the register by which it finds data sets.

Takes a folder and the names of splits, gives entries; those of others stay as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from paddle_ground.errors import DataError, RecordError
from paddle_ground.files import write_text
from paddle_ground.records.fields import read_object

INFO = "dataset_info.json"


def folder_name(name: str) -> str:
    """Give a data set's name as folders and entries can have it."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._-") or "data"


def entries(name: str, prefix: str, splits: Iterable[str]) -> dict[str, Any]:
    """Describe files of conversations in ShareGPT's form.

    Args:
        name: What the entries' names begin with.
        prefix: Of the files, relative to the register: "" or "folder/".
        splits: "train", "val".
    """
    return {
        f"{name}_{split}": {
            "file_name": f"{prefix}{split}.json",
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "images": "images"},
        }
        for split in splits
    }


def read_register(folder: Path) -> dict[str, Any]:
    """Read a folder's register; empty where there is none.

    Raises:
        DataError: It is no JSON object.
    """
    path = folder / INFO
    if not path.exists():
        return {}
    try:
        fields = read_object(path)
    except RecordError as error:
        raise DataError(str(error)) from error
    return {name: fields.value(name) for name in fields.names()}


def write_register(folder: Path, known: dict[str, Any]) -> None:
    """Write a folder's register, whole or not at all; a link to one stays a link.

    Raises:
        DataError: It can't be written.
    """
    write_text((folder / INFO).resolve(), json.dumps(known, indent=2, ensure_ascii=False) + "\n")
