"""Reads what `prepare` wrote, so that it can be prepared again for another model or answer format.

Takes a folder with `train.jsonl` and the like (or one such file), each with its `.meta.json` beside, gives
`DialogueRow`s. The meta tells the coordinate space; the exact pixel boxes are taken from the
`.truth.json` beside, box by box where it encodes to the integers of the sample, and decoded from those
integers where it does not. PaddleFormers rows without a meta are read too when asked for, as 0..1000.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from paddle_ground.answers import AnswerFormat, says_plain_box
from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.readers.annotation_files import HEADS, AnnotationFile, matching, open_files, say_files
from paddle_ground.data.readers.pictures import Pictures
from paddle_ground.data.readers.swift import read_swift_row
from paddle_ground.data.readers.turns import Dialogue
from paddle_ground.data.source import Source
from paddle_ground.errors import BoxError, DataError, RecordError
from paddle_ground.records import TruthImage, meta_path, read_meta, read_truth, samples_space, truth_path
from paddle_ground.records.samples import IMAGE_MARK
from paddle_ground.spaces import RELATIVE_1000, CoordinateSpace

Box = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """What stands beside one file of samples.

    Attributes:
        space: Of the samples' boxes.
        is_plain: Whether boxes inside sentences may be plain numbers, not marks or special tokens.
        images: By file name and question (and by file name alone, where that tells them apart).
        boxes: By image id: the label and exact pixel box of each object.
    """

    space: CoordinateSpace
    is_plain: bool
    images: dict[tuple[str, str], TruthImage]
    boxes: dict[int, list[tuple[str, Box]]]


def _is_sample(row: dict[str, Any]) -> bool:
    return isinstance(row.get("messages"), list) and isinstance(row.get("images"), list)


def _recognise(path: Path) -> str | None:
    files = [file for file in matching(path, _is_sample, HEADS) if meta_path(file).is_file()]
    return say_files(files, "a .meta.json beside")


def _open(path: Path, options: ReaderOptions) -> Source:
    from paddle_ground.data.readers.conversation import ConversationSource

    found = matching(path, _is_sample)
    with_meta = [file for file in found if meta_path(file).is_file()]
    files, notes = open_files(path, with_meta or found, options.split_map)
    known = {file.name: _read_known(file) for file in files}

    def refine(row: Dialogue, where: str, pictures: Pictures) -> Dialogue:
        file = known[where.rpartition(":")[0]]
        if file.is_plain and options.space not in (None, file.space):
            _refuse_numbers(row, file.space, where)
        _check_places(row, file.space, lambda name: pictures.size_wh(name, where), where)
        return _to_pixels(row, file, lambda name: pictures.size_wh(name, where))

    return ConversationSource(path, files, _read_row, options, notes, refine, "relative_1000")


def _read_row(value: dict[str, Any], where: str, file: AnnotationFile) -> Dialogue:
    # Of the model's space, whatever that is; `_to_pixels` knows.
    return replace(read_swift_row(value, where, file), units="relative_1000")


def _read_known(file: AnnotationFile) -> _Known:
    meta, truth = meta_path(file.path), truth_path(file.path)
    try:
        space, is_plain = RELATIVE_1000, True
        if meta.is_file():
            said = read_meta(meta)
            space, is_plain = samples_space(said), said.answer_format == AnswerFormat.JSON.value
        if not truth.is_file():
            return _Known(space, is_plain, {}, {})
        known = read_truth(truth)
    except RecordError as error:
        raise DataError(str(error)) from error
    names = {category.id: category.name for category in known.categories}
    boxes: dict[int, list[tuple[str, Box]]] = defaultdict(list)
    for box in known.annotations:
        if not box.is_crowd:
            boxes[box.image_id].append((names[box.category_id], box.box_xyxy_px))
    images: dict[tuple[str, str], TruthImage] = {}
    for image in known.images:
        images[image.file_name, image.prompt] = image
    return _Known(space, is_plain, images, boxes)


def _refuse_numbers(row: Dialogue, space: CoordinateSpace, where: str) -> None:
    """Refuse words with boxes among them: nothing tells their numbers from any others."""
    if any(says_plain_box(turn.content) for turn in row.turns):
        raise DataError(
            f"{where}: numbers of boxes inside sentences, in {space.name}, can't be told from other numbers; "
            "prepare the data again from its source with --model-family"
        )


def _check_places(
    row: Dialogue, space: CoordinateSpace, size_of: Callable[[str], tuple[int, int] | None], where: str
) -> None:
    """Refuse boxes of which nothing says in which image's pixels they are."""
    if space.resize is None or not row.boxes or len(row.images) < 2:
        return
    sizes = [size for name in row.images if (size := size_of(name)) is not None]
    try:
        space.refuse_several_borders(sizes)
    except BoxError as error:
        raise DataError(f"{where}: {error}") from error


def _to_pixels(row: Dialogue, known: _Known, size_of: Callable[[str], tuple[int, int] | None]) -> Dialogue:
    """Give the row's boxes in pixels: exact ones where the truth has them."""
    image = _truth_image(row, known)
    size = image.size_wh if image is not None else (size_of(row.images[0]) if row.boxes else None)
    if not row.boxes or size is None:
        # Without a size there is no image either; whoever asks for it is told.
        missing = tuple((float("nan"),) * 4 for _ in row.boxes)
        return replace(row, boxes=missing, units="pixels", from_text="")
    with np.errstate(over="ignore"):  # What becomes infinite is counted as no box.
        boxes = [tuple(box) for box in known.space.decode(np.array(row.boxes), size).tolist()]
    exact = _exact_boxes(known, image)
    for place, label in enumerate(_labels(row)):
        if not np.isfinite(row.boxes[place]).all():
            continue
        numbers = tuple(int(number) for number in row.boxes[place])
        same = exact.get((label, numbers)) or exact.get(("", numbers))
        if same:
            boxes[place] = same.pop(0) if len(same) > 1 else same[0]
    return replace(row, boxes=tuple(boxes), units="pixels", from_text="")


def _truth_image(row: Dialogue, known: _Known) -> TruthImage | None:
    asked = [turn.content for turn in row.turns if turn.role == "user"]
    prompt = asked[-1].replace(IMAGE_MARK, "").strip() if asked else ""
    return known.images.get((row.images[0], prompt)) or known.images.get((row.images[0], ""))


def _exact_boxes(known: _Known, image: TruthImage | None) -> dict[tuple[str, tuple[int, ...]], list[Box]]:
    """Give the truth's boxes by what the samples say of them; under "" whatever their label."""
    found: dict[tuple[str, tuple[int, ...]], list[Box]] = defaultdict(list)
    if image is None:
        return found
    for label, box in known.boxes.get(image.id, []):
        encoded = known.space.encode([box], image.size_wh)
        numbers = tuple(known.space.widen(encoded, image.size_wh)[0].tolist())
        found[label, numbers].append(box)
        if image.phrase:  # The samples say the phrase, the truth its one class.
            found["", numbers].append(box)
    return found


def _labels(row: Dialogue) -> list[str]:
    """Give a name for each box where every box has one, else blanks."""
    return list(row.refs) if len(row.refs) == len(row.boxes) else [""] * len(row.boxes)


FORMAT = Format("paddle", "PaddleFormers messages that prepare wrote", _recognise, _open)
