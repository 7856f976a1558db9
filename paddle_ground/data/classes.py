"""Class names: COCO's eighty, and files with one name a line.

Takes a path or nothing, gives names by category id. Knows no data set.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from paddle_ground.answers import AnswerFormat, AnswerRegion, render
from paddle_ground.errors import AnswerError, DataError

# In the order of COCO's category ids (1..90 with gaps), which the label ids 0..79 number through.
COCO_CLASSES: tuple[str, ...] = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *(
        "elephant",
        "bear",
        "zebra",
        "giraffe",
        "backpack",
        "umbrella",
        "handbag",
        "tie",
        "suitcase",
        "frisbee",
    ),
    *(
        "skis",
        "snowboard",
        "sports ball",
        "kite",
        "baseball bat",
        "baseball glove",
        "skateboard",
        "surfboard",
    ),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard"),
    *("cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase"),
    *("scissors", "teddy bear", "hair drier", "toothbrush"),
)
"""COCO's eighty classes by label id."""


def read_classes(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read a class file: one name a line, the first is category 0; trailing blank lines don't count.

    Raises:
        DataError: The file is missing, not UTF-8 or empty, or a name can't be used.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").rstrip().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise DataError(
            f"{path}: cannot read the class names ({reason}); give a file with one a line"
        ) from error
    names = tuple(line.strip() for line in lines)
    check_classes(names, str(path))
    return names


def check_classes(names: Sequence[str], where: str) -> None:
    """Refuse names that would break prompts or answers.

    Args:
        names: By category id.
        where: Where they stand, to open a message; `:line` is added.

    Raises:
        DataError: A name is blank, given twice, of several lines, or one that no answer can hold.
    """
    seen: dict[str, int] = {}
    for line, name in enumerate(names, 1):
        if not name.strip():
            raise DataError(f"{where}:{line}: blank class name; each line must hold one")
        if name in seen:
            raise DataError(
                f"{where}:{line}: class {name!r} stands on line {seen[name]} too; names must differ"
            )
        if not name.isprintable():
            raise DataError(f"{where}:{line}: class {name!r} holds a control character; remove it")
        try:
            # A name goes into answers: one that can't be written there is found out now.
            render([AnswerRegion(name, (0, 0, 1, 1))], AnswerFormat.TOKENS)
        except AnswerError as error:
            raise DataError(f"{where}:{line}: class {name!r} can't be used ({error})") from error
        seen[name] = line
