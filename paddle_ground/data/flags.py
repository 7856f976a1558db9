"""The flags of `prepare`, one type each: its spellings, its help, its panel.

Takes nothing; gives annotations for the command's parameters, whose defaults stand in the command.
Every flag is spelled with dashes (ours) and with underscores (the PaddleFormers tutorial's).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

SOURCE, RESULT = "The source", "The result"


def _flag(name: str, text: str, panel: str, metavar: str | None = None) -> Any:
    return typer.Option(*_spellings(name), help=text, rich_help_panel=panel, metavar=metavar)


def _spellings(name: str) -> list[str]:
    """Give `--a-b/--c-d` with dashes, and with underscores where that differs."""
    return list(dict.fromkeys((name, name[:2] + name[2:].replace("-", "_").replace("/__", "/--"))))


Src = Annotated[
    Path | None,
    typer.Argument(
        metavar="SRC",
        help="The data set: a folder, or its one file; not given: a download.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Argument(
        metavar="OUT",
        help="Where train.jsonl, val.jsonl and images/ go.  [default: data/coco]",
        show_default=False,
    ),
]
SourceFormat = Annotated[
    str, _flag("--from", "Format of the data set; auto: recognised by its files.", SOURCE, "NAME")
]
DatasetRepo = Annotated[str, _flag("--dataset-repo", "Data set on the hub, or a folder.", SOURCE, "NAME")]
Source = Annotated[Path | None, _flag("--source", "The same as SRC.", SOURCE)]
SplitMap = Annotated[
    str | None,
    _flag("--split-map", "Where source splits go: train=train,validation=val,test=none.", SOURCE, "MAP"),
]
BboxFormat = Annotated[str, _flag("--bbox-format", "xyxy, xywh, or auto: by evidence.", SOURCE)]
Classes = Annotated[
    Path | None,
    _flag(
        "--classes",
        "File with one class name a line.  [default: as the data declares; COCO parquet: else COCO's 80]",
        SOURCE,
    ),
]
BadImages = Annotated[
    str, _flag("--bad-images", "stop at a broken or wrongly sized image, or skip it.", SOURCE)
]

OutputDir = Annotated[Path | None, _flag("--output-dir", "The same as OUT.", RESULT)]
AnswerFormat = Annotated[
    str,
    _flag("--answer-format", "tokens (the tutorial's), or json (what Qwen3-VL answers untuned).", RESULT),
]
Prompt = Annotated[
    str | None,
    _flag(
        "--prompt",
        "What the user asks.  [default: 'Task: Object Detection'; json: the classes by name]",
        RESULT,
    ),
]
TotalSamples = Annotated[
    int | None, _flag("--total-samples", "Images to draw, over both splits.  [default: all]", RESULT)
]
ValRatio = Annotated[float, _flag("--val-ratio", "The part of them that is held out.", RESULT)]
Seed = Annotated[int, _flag("--seed", "Same seed, same files, byte for byte.", RESULT)]
KeepEmpty = Annotated[
    bool,
    _flag(
        "--keep-empty/--drop-empty",
        "Keep images without boxes? A model that saw none sees things everywhere.",
        RESULT,
    ),
]
BoxOrder = Annotated[str, _flag("--box-order", "position (top to bottom, left to right) or source.", RESULT)]
Workers = Annotated[int, _flag("--workers", "How many to work at a time; 0: one a processor.", RESULT)]
