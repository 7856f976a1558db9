"""Reads questions about episodes, as OpenEQA has them: one JSON list, and a folder of frames an episode.

Takes a questions file such as `open-eqa-v0.json`, or the folder that holds it, gives one `DialogueRow` a
question: so many frames, evenly spaced over the episode, the question, and the answer. Frames lie in
`frames/<episode_history>/` beside the file, as `00000-rgb.png` or under any other names that sort. Of
several right answers (`extra_answers`) the first is taught. Questions whose frames are not there (half of
OpenEQA needs ScanNet's licence) are left out and said.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.readers.annotation_files import (
    HEADS,
    AnnotationFile,
    matching,
    open_files,
    root_of,
    say_files,
)
from paddle_ground.data.readers.inside import list_inside
from paddle_ground.data.readers.turns import Dialogue, LeftOut
from paddle_ground.data.source import Source
from paddle_ground.errors import ConfigError
from paddle_ground.records import Message
from paddle_ground.records.fields import Fields
from paddle_ground.records.samples import IMAGE_MARK

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_COLOUR = "-rgb"  # Depth maps of the same moments may lie beside the pictures.


def _is_ours(row: dict[str, Any]) -> bool:
    return isinstance(row.get("question"), str) and isinstance(row.get("episode_history"), str)


def _recognise(path: Path) -> str | None:
    return say_files(matching(path, _is_ours, HEADS), "questions about an episode_history")


def _open(path: Path, options: ReaderOptions) -> Source:
    from paddle_ground.data.readers.conversation import ConversationSource

    if options.frames < 1:
        raise ConfigError(f"frames is {options.frames}; ask for at least 1")
    if options.frame_max_side is not None and options.frame_max_side < 32:
        raise ConfigError(f"frame_max_side is {options.frame_max_side}; it must be 32 pixels or more")
    root = root_of(path)
    files, notes = open_files(path, matching(path, _is_ours), options.split_map)
    own = f"frames: {options.frames} an episode, evenly spaced"
    if options.frame_max_side is not None:
        own += f", at most {options.frame_max_side} pixels a side"

    @lru_cache(maxsize=4096)
    def frames_of(episode: str, folder: Path, where: str) -> tuple[str, ...]:
        places = (folder / "frames", root / "frames", root / "data" / "frames", folder)
        return sample_frames(list_inside(root, episode, places, where), options.frames)

    def read_row(value: dict[str, Any], where: str, file: AnnotationFile) -> Dialogue:
        fields = Fields(value, where)
        if not fields.has("answer"):
            raise LeftOut("without an answer")
        frames = frames_of(
            fields.text("episode_history"), file.path.parent, f"{file.name}: `episode_history`"
        )
        if not frames:
            raise LeftOut("whose frames are not there")
        turns = (
            Message("user", IMAGE_MARK * len(frames) + fields.text("question")),
            Message("assistant", fields.text("answer")),
        )
        return Dialogue(turns, frames)

    return ConversationSource(path, files, read_row, options, (own, *notes), max_side=options.frame_max_side)


def sample_frames(files: list[str], frames: int) -> tuple[str, ...]:
    """Choose frames of an episode, evenly spaced from the first to the last, as OpenEQA's baselines do.

    Args:
        files: All files of the episode's folder, in order.
        frames: How many; fewer where there are fewer.
    """
    images = [file for file in files if file.lower().endswith(_SUFFIXES)]
    coloured = [file for file in images if Path(file).stem.lower().endswith(_COLOUR)]
    images = coloured or images
    if len(images) <= frames:
        return tuple(images)
    places = np.round(np.linspace(0, len(images) - 1, frames)).astype(int).tolist()
    return tuple(images[place] for place in places)


FORMAT = Format("openeqa", "questions about frames (OpenEQA)", _recognise, _open)
