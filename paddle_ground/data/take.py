"""One row of a source -> its image files in the output, its samples and their truth.

Takes a row with its place in a piece, writes image files into the staging folder, gives notes and lines
for the piece file. Every image is written once, however many questions are asked about it. Knows
neither other rows nor the order of the output.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple
from uuid import uuid4

from paddle_ground.data.checked import CheckedRow, RowOptions, check_row, check_rows
from paddle_ground.data.convert import Converted, answer
from paddle_ground.data.dialogue import ConvertedDialogue, DialogueOptions, convert_dialogue
from paddle_ground.data.expand import Expander, ImageBytes, Variant, content_key, quick_key
from paddle_ground.data.headers import ImageHeader, read_header
from paddle_ground.data.image_files import BadImageError, checked_bytes, checked_image, write_image
from paddle_ground.data.notes import SAID, RowLines, RowNote
from paddle_ground.data.plan import Piece
from paddle_ground.data.questions import TaskOptions, ask
from paddle_ground.data.sampling import SPLIT_NAMES
from paddle_ground.data.source import DialogueRow, SourceRow
from paddle_ground.data.staging import IMAGES, Staging
from paddle_ground.errors import AnswerError, ConfigError, DataError
from paddle_ground.files import PART_SUFFIX, unwritable
from paddle_ground.records import TruthImage, sample_to_line, truth_box_to_line, truth_image_to_line

BadImages = Literal["stop", "skip"]
Taken = tuple[RowNote, RowLines]


@dataclass(frozen=True, slots=True)
class PieceOptions:
    """How rows are taken.

    Attributes:
        row: How they are converted.
        task: What is asked about them.
        keep_empty: Whether images without any box to answer with become samples.
        bad_images: "stop" at the first missing, broken or wrongly sized image, or "skip" and count them.
        expander: What makes several images of one; None to take each as it is.
        of_questions: Further options that were given and that conversations can't follow.
    """

    row: RowOptions
    task: TaskOptions
    keep_empty: bool
    bad_images: BadImages
    expander: Expander | None = None
    of_questions: tuple[str, ...] = ()

    def for_dialogues(self, where: str) -> DialogueOptions:
        """Give how conversations are converted.

        Raises:
            ConfigError: An option was given that conversations can't follow; opened by `where`.
        """
        row, order = self.row, self.row.box_order
        given = {
            f"--task {self.task.task}": self.task.task != "auto",
            f"--box-order {order}": order not in ("position", "source"),
            "--min-box-side": row.min_side_px > 0,
            "--max-boxes": row.max_boxes is not None,
            "--augment, --tile or --curriculum": self.expander is not None,
        }
        unfit = [*(option for option, is_given in given.items() if is_given), *self.of_questions]
        if unfit:
            raise ConfigError(
                f"{where}: a conversation keeps its questions and answers; leave out {unfit[0]}"
            )
        kept: Literal["source", "position"] = "source" if order == "source" else "position"
        return DialogueOptions(row.space, row.answer_format, row.class_names, kept)


class RowTaker:
    """Takes the rows of one piece, in order, in one thread."""

    def __init__(self, piece: Piece, options: PieceOptions, staging: Staging) -> None:
        """Take the piece and where its images go."""
        self._options, self._staging = options, staging
        self._numbers = piece.numbers()
        self._folder = str(staging.folder)
        self._expander = None if options.expander is None else options.expander.fresh()

    def take(self, rows: Sequence[SourceRow | DialogueRow], place: int) -> Iterator[Taken]:
        """Give what rows become, each in turn: nothing, a note that it was left out, or samples.

        Args:
            rows: Rows all of whose images can be asked for.
            place: Of the first one, in the piece.

        Raises:
            DataError: An image is bad and shall stop the run, or can't be written.
        """
        opened = self._open(rows)
        for number, row in enumerate(rows):
            try:
                if isinstance(row, DialogueRow):
                    yield from self._take_dialogue(row, place + number)
                elif opened:
                    yield from self._take_opened(opened[number], place + number)
                else:
                    yield from self._take_image(row, place + number)
            except BadImageError as error:
                if self._options.bad_images == "stop":
                    raise DataError(str(error)) from error
                yield self._left_out(place + number, ("bad_image", str(error)))

    def _left_out(self, place: int, *skipped: tuple[str, str]) -> Taken:
        return RowNote(self._numbers.splits[place], "", (), skipped=skipped, row=place), RowLines()

    def _open(self, rows: Sequence[SourceRow | DialogueRow]) -> list[_Opened | BadImageError]:
        """Read the headers of images that are taken as they are, and check their boxes all at once."""
        if self._expander is not None:
            return []
        images: list[tuple[SourceRow, ImageBytes, ImageHeader] | BadImageError] = []
        for row in rows:
            if isinstance(row, DialogueRow):
                return []
            try:
                images.append((row, *checked_image(row)))
            except BadImageError as error:
                images.append(error)  # Those before it come first.
        good = [image for image in images if not isinstance(image, BadImageError)]
        sizes_wh = [header.size_wh for _, _, header in good]
        checked = iter(check_rows([row for row, _, _ in good], sizes_wh, self._options.row) if good else ())
        return [
            image if isinstance(image, BadImageError) else _Opened(*image[1:], next(checked))
            for image in images
        ]

    def _take_opened(self, found: _Opened | BadImageError, place: int) -> Iterator[Taken]:
        if isinstance(found, BadImageError):
            raise found
        key = quick_key(found.data)
        variant = Variant(found.checked.row, found.data, "", sources=(key,))
        return self._take_variant(variant, found.header, key, place, found.checked)

    def _take_image(self, row: SourceRow, place: int) -> Iterator[Taken]:
        data, header = checked_image(row)
        assert self._expander is not None
        key = content_key(data)
        split = SPLIT_NAMES[self._numbers.splits[place]]
        variants = self._expander.expand(row, data, header.size_wh, split)
        while True:
            try:
                variant = next(variants, None)
            except DataError as error:
                raise BadImageError(str(error)) from error
            if variant is None:
                return
            own = header if variant.data is data else read_header(variant.data)
            yield from self._take_variant(variant, own, key, place)

    def _take_variant(
        self, variant: Variant, header: ImageHeader, key: str, place: int, checked: CheckedRow | None = None
    ) -> Iterator[Taken]:
        numbers, options, row = self._numbers, self._options, variant.row
        image = _name_image(variant, header, numbers.repeats[place], numbers.truth_ids[place])
        if checked is None:
            checked = check_row(row, image.size_wh, options.row)
        if not options.keep_empty and not checked.is_answer.any():
            yield self._left_out(place, *checked.skipped, ("empty_image", row.where))
            return
        asked = ask(checked, image.file_name, numbers.absent[place], options.task)
        skipped, is_written = asked.skipped, False
        for question in asked.questions:
            # An image that is asked about once needs no prompt to tell its entries apart.
            several = len(asked.questions) > 1 or bool(question.phrase)
            entry = replace(image, prompt=question.prompt, phrase=question.phrase) if several else image
            try:
                found = answer(checked, question, entry, numbers.first_box_ids[place], options.row)
            except AnswerError as error:
                skipped = (*skipped, ("bad_phrase", f"{row.where}: {error}"))
                continue
            if not is_written:
                write_image(f"{self._folder}/{image.file_name}", variant.data)
                skipped, is_written = (*found.skipped, *skipped), True
            note = RowNote(
                split=numbers.splits[place],
                content=key,
                images=(image.file_name,),
                counts=_count(found),
                skipped=skipped,
                row=place,
                is_untouched=variant.suffix == "",
                part=variant.part,
                times=numbers.times[place],
                sources=variant.sources if variant.sources != (key,) else (),
            )
            skipped = ()
            yield note, _lines(found, entry)
        if skipped:
            yield self._left_out(place, *skipped)

    def _take_dialogue(self, row: DialogueRow, place: int) -> Iterator[Taken]:
        numbers, options = self._numbers, self._options
        how = options.for_dialogues(row.where)
        files = [checked_bytes(row.where, read) for read in row.read_images]
        # Many conversations are about one image: named by its content, it is written once.
        names = [f"{IMAGES}/{_digest(data)}{header.suffix}" for data, header in files]
        truth_id = numbers.truth_ids[place]
        images = [
            TruthImage(truth_id, name, header.size_wh) for name, (_, header) in zip(names, files, strict=True)
        ]
        found = convert_dialogue(row, images, numbers.first_box_ids[place], how)
        if found.sample is None:
            yield self._left_out(place, *found.skipped)
            return
        if not options.keep_empty and not found.has_answer:
            yield self._left_out(place, *found.skipped, ("empty_image", row.where))
            return
        for name, (data, _) in zip(names, files, strict=True):
            self._write_shared_image(name, data)
        said = [found.prompt] if found.truth is not None else [turn.content for turn in row.turns[:-1]]
        note = RowNote(
            split=numbers.splits[place],
            content=SAID + _digest("\n".join([*names, *said]).encode()),
            images=tuple(dict.fromkeys(names)),
            counts=_count_dialogue(found),
            skipped=found.skipped,
            row=place,
            is_untouched=False,
            times=numbers.times[place],
            sources=tuple(dict.fromkeys(names)),
        )
        lines = RowLines(sample_to_line(found.sample))
        if found.truth is not None:
            entry = replace(images[0], prompt=found.prompt, phrase=found.phrase)
            boxes = "\t".join(map(truth_box_to_line, found.truth))
            lines = lines._replace(image=truth_image_to_line(entry), boxes=boxes)
        yield note, lines

    def _write_shared_image(self, name: str, data: ImageBytes) -> None:
        path = self._staging.folder / name
        if path.exists():
            return
        # Others may write the same one, on other machines too: each a file of its own, and whole before
        # it has its name.
        part = self._staging.folder / f"image-{uuid4().hex}{PART_SUFFIX}"
        write_image(part, data)
        try:
            os.replace(part, path)
        except OSError as error:
            raise unwritable(path, error) from error


class _Opened(NamedTuple):
    """An image that is taken as it is, its header read and its row checked."""

    data: ImageBytes
    header: ImageHeader
    checked: CheckedRow


def _name_image(variant: Variant, header: ImageHeader, repeat: int, truth_id: int) -> TruthImage:
    stem = f"{variant.row.image_id:012d}" + (f"_{repeat}" if repeat else "") + variant.suffix
    return TruthImage(truth_id, f"{IMAGES}/{stem}{header.suffix}", header.size_wh)


def _lines(found: Converted, entry: TruthImage) -> RowLines:
    return RowLines(
        sample=sample_to_line(found.sample),
        image=truth_image_to_line(entry),
        boxes="\t".join(map(truth_box_to_line, found.truth)),
    )


def _count(found: Converted) -> dict[str, int]:
    crowd = [box.is_crowd for box in found.truth].count(True)
    counts = {"kept": 1, "boxes": len(found.truth) - crowd, "empty": int(crowd == len(found.truth))}
    counts["crowd_boxes"] = crowd
    seen = {"clipped_boxes": found.clipped_boxes, "merged_boxes": found.merged_boxes}
    seen |= {"small_boxes": found.small_boxes, "unsaid_boxes": found.unsaid_boxes}
    return counts | {name: number for name, number in seen.items() if number}


def _count_dialogue(found: ConvertedDialogue) -> dict[str, int]:
    counts = {"kept": 1, "boxes": len(found.truth or ()), "empty": int(not found.has_answer)}
    seen = {"clipped_boxes": found.clipped_boxes, "merged_boxes": found.merged_boxes}
    seen["unscored"] = int(found.truth is None)
    return counts | {name: number for name, number in seen.items() if number}


def _digest(data: ImageBytes) -> str:
    return hashlib.blake2b(data, digest_size=10).hexdigest()
