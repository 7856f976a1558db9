"""The flags of `prepare`, one type each: its spellings, its help, its heading.

Takes nothing; gives annotations for the command's parameters, whose defaults stand in the command.
Every flag is spelled with dashes (ours) and with underscores (the PaddleFormers tutorial's).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from paddle_ground.data.choices import Ask, BoxOrder, MaxBoxesBy, ModelFamily, PromptLanguage, Task

SOURCE, RESULT, SAMPLING = "The source", "The result", "Which images"
QUESTIONS, ANSWERS, CLASSES, VIEWS = "Questions", "Answers", "Classes", "Other views of images"


class GroupedHelp(TyperCommand):
    """A command whose help lists its options under the headings of their panels."""

    # Typer brings a click of its own in some versions, so that neither one's types fit all of them.
    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a list for each heading, in the order in which headings come up."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record:
                other = "Arguments" if param.param_type_name == "argument" else "Help"
                panels.setdefault(getattr(param, "rich_help_panel", None) or other, []).append(record)
        for title, records in panels.items():
            with formatter.section(title):
                formatter.write_dl(records)


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
BoxUnits = Annotated[
    str | None,
    _flag(
        "--box-units",
        "pixels or relative_1000, of boxes in the text of conversations.  [default: by evidence]",
        SOURCE,
    ),
]
Frames = Annotated[int, _flag("--frames", "How many frames of an episode a question is asked about.", SOURCE)]
FrameMaxSide = Annotated[
    int | None, _flag("--frame-max-side", "Shrink longer frames of episodes to so many pixels.", SOURCE, "PX")
]
BadImages = Annotated[
    str, _flag("--bad-images", "stop at a broken or wrongly sized image, or skip it.", SOURCE)
]

To = Annotated[
    str | None,
    _flag(
        "--to",
        "The format: paddle, or as `convert` writes it: coco, yolo, swift, llamafactory.  [default: paddle]",
        RESULT,
        "NAME",
    ),
]
OutputDir = Annotated[Path | None, _flag("--output-dir", "The same as OUT.", RESULT)]
AnswerFormat = Annotated[
    str,
    _flag("--answer-format", "tokens (the tutorial's), or json (what Qwen3-VL answers untuned).", RESULT),
]
WhichFamily = Annotated[
    ModelFamily | None,
    _flag(
        "--model-family",
        "Of the model to train; tells in which numbers boxes are.  [default: FOR_MODEL's, else qwen3_vl]",
        RESULT,
    ),
]
ForModel = Annotated[
    Path | None,
    _flag(
        "--for-model",
        "Its folder: qwen2_5_vl's boxes depend on how it resizes images.  [default: as published]",
        RESULT,
        "DIR",
    ),
]
ImageMinPixels = Annotated[
    int | None,
    _flag("--image-min-pixels", "`grounding.image_min_pixels` of the YAML.  [default: 1024]", RESULT, "PX"),
]
ImageMaxPixels = Annotated[
    int | None,
    _flag("--image-max-pixels", "`grounding.image_max_pixels` of the YAML.  [default: 589824]", RESULT, "PX"),
]
Space = Annotated[
    str | None,
    _flag(
        "--coordinate-space",
        "Of the model's boxes; relative_1000 or absolute_resized.  [default: the model family's]",
        RESULT,
        "NAME",
    ),
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
Order = Annotated[
    BoxOrder,
    _flag(
        "--box-order",
        "Of boxes in an answer: position is top to bottom, left to right; size: largest first; "
        "source: as annotated; random hurts: no model can guess which comes next.",
        ANSWERS,
    ),
]
MinBoxSide = Annotated[
    float,
    _flag("--min-box-side", "Don't ask for boxes narrower or lower than this.", ANSWERS, "PX"),
]
MaxBoxes = Annotated[
    int | None,
    _flag("--max-boxes", "Most boxes an answer names; the truth keeps all.  [default: no limit]", ANSWERS),
]
KeepBoxes = Annotated[
    MaxBoxesBy, _flag("--max-boxes-by", "Which boxes those are: the largest, or the first in order.", ANSWERS)
]

WhichTask = Annotated[
    Task,
    _flag(
        "--task",
        "What is asked. detect: every object; classes: named classes; refer: each phrase; "
        "auto: refer where the data has phrases, else detect.",
        QUESTIONS,
    ),
]
WhichAsk = Annotated[
    Ask, _flag("--ask", "Of classes: all names together in one prompt, or a prompt for each.", QUESTIONS)
]
AbsentClasses = Annotated[
    int,
    _flag("--absent-classes", "How many absent classes a prompt together names too.", QUESTIONS),
]
Language = Annotated[
    PromptLanguage, _flag("--language", "Of the prompt around names and phrases; mixed draws one.", QUESTIONS)
]
Negatives = Annotated[
    float | None,
    _flag(
        "--negatives",
        "Share of all samples with nothing to find: images without objects, and prompts for what is not "
        "there.  [default: as the data has it]",
        QUESTIONS,
        "SHARE",
    ),
]

KeepClasses = Annotated[
    str | None, _flag("--keep-classes", "Only these classes, by the data's own names.", CLASSES, "A,B")
]
DropClasses = Annotated[str | None, _flag("--drop-classes", "All classes but these.", CLASSES, "A,B")]
Rename = Annotated[
    list[str] | None,
    _flag("--rename", "A class's new name; two of one name become one. Repeatable.", CLASSES, "OLD=NEW"),
]
GroupBy = Annotated[
    str | None,
    _flag(
        "--group-by",
        "What must not be torn between train and val: a regular expression for image names, its first "
        "bracket is the group.  [default: the data's own groups]",
        SAMPLING,
        "REGEX",
    ),
]
RepeatFactor = Annotated[
    float | None,
    _flag(
        "--repeat-factor-threshold",
        "Repeat train images of classes that fewer than this share of images show: "
        "max(1, sqrt(threshold / share)) times (LVIS).",
        SAMPLING,
        "SHARE",
    ),
]
Augment = Annotated[
    int | None, _flag("--augment", "So many altered copies of each train image.", VIEWS, "COPIES")
]
AugmentSet = Annotated[
    list[str] | None,
    _flag("--augment-set", "How they are altered: flip=0.5, mosaic=0 ... Repeatable.", VIEWS, "NAME=NUMBER"),
]
Tile = Annotated[
    int | None, _flag("--tile", "Cut images that are larger into tiles of so many pixels.", VIEWS, "PX")
]
TileOverlap = Annotated[float, _flag("--tile-overlap", "How much of a tile's side neighbours share.", VIEWS)]
TileKeepEmpty = Annotated[
    float, _flag("--tile-keep-empty", "The share of train tiles without objects that is kept.", VIEWS)
]
Curriculum = Annotated[
    int | None,
    _flag(
        "--curriculum",
        "Show train images in so many parts, from around one object to the whole image; train them in one "
        "epoch, unshuffled.",
        VIEWS,
        "PARTS",
    ),
]
Ray = Annotated[
    str | None,
    _flag(
        "--ray",
        "Let a Ray cluster make the pieces: its address, `auto`, or `local`. Needs the extra `ray`, and SRC "
        "and OUT under the same paths on all machines.",
        RESULT,
    ),
]
Workers = Annotated[int, _flag("--workers", "How many to work at a time; 0: one a processor.", RESULT)]
