"""Reads the JSON of Qwen's own finetune code: `image`, `conversations` from human and gpt.

Takes a file of such rows or a folder of files, gives `DialogueRow`s. `image` is a path or a list of paths,
relative to the `data_path` that the code's own table gives; here it may begin with folders that are
not there. Boxes stand in the text of the answers: in pixels (Qwen2.5-VL) or in thousandths (Qwen3-VL).
Which, only the whole file tells; see `box_units`. Rows about videos are left out and said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.readers.annotation_files import (
    HEADS,
    AnnotationFile,
    matching,
    open_files,
    root_of,
    say_files,
)
from paddle_ground.data.readers.messages import read_images, read_turns, refuse_other_media
from paddle_ground.data.readers.turns import Dialogue
from paddle_ground.data.source import Source
from paddle_ground.records.fields import Fields


def _is_ours(row: dict[str, Any]) -> bool:
    return isinstance(row.get("conversations"), list) and ("image" in row or "video" in row)


def _files(path: Path, limit: int | None = None) -> list[Path]:
    if (root_of(path) / "dataset_info.json").is_file():
        return []  # LLaMA-Factory's.
    return matching(path, _is_ours, limit)


def _recognise(path: Path) -> str | None:
    return say_files(_files(path, HEADS), "image and conversations")


def _open(path: Path, options: ReaderOptions) -> Source:
    from paddle_ground.data.readers.conversation import ConversationSource

    files, notes = open_files(path, _files(path), options.split_map)
    return ConversationSource(path, files, _read_row, options, notes)


def _read_row(value: dict[str, Any], where: str, file: AnnotationFile) -> Dialogue:
    fields = Fields(value, where)
    refuse_other_media(fields)
    turns = read_turns(fields.objects("conversations"), "from", "value")
    return Dialogue(tuple(turns), tuple(read_images(fields.value("image"), where)))


FORMAT = Format("qwen_finetune", "Qwen-VL finetune JSON", _recognise, _open)
