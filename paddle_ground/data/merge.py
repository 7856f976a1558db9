"""Puts pieces together: samples, truth and meta of each split, nothing twice.

Takes the piece files of a staging folder, gives the output files beside them. Knows nothing of how
pieces were made; what is left out is decided in `duplicates`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import compress, count
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from paddle_ground.data.duplicates import Look, RowKey
from paddle_ground.data.notes import RowLines, RowNote, read_lines, read_piece
from paddle_ground.data.sampling import SPLIT_NAMES
from paddle_ground.data.staging import Staging
from paddle_ground.data.tally import PieceSums, Tally
from paddle_ground.files import atomic_writer
from paddle_ground.records import (
    Category,
    SamplesMeta,
    TruthWriter,
    meta_path,
    number_box_line,
    number_image_line,
    truth_path,
    write_meta,
)

MakeMeta = Callable[[dict[str, int], str], SamplesMeta]
"""Completes a meta from the counts and the hash of the samples file."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class SplitResult:
    """What went into one split.

    Attributes:
        split: "train" or "val".
        counts: As in `SamplesMeta.counts`.
        examples: The first few places by reason for leaving something out.
    """

    split: str
    counts: dict[str, int]
    examples: dict[str, tuple[str, ...]]


def merge_pieces(
    staging: Staging, look: Look, class_names: Sequence[str], make_meta: MakeMeta
) -> tuple[SplitResult, ...]:
    """Write the files of all splits into the staging folder.

    Samples stand in the order of the source; or if there are several parts, part by part and within
    each in a drawn order, since such a file must be trained unshuffled. Those that are to be repeated
    come again behind all others of their part, so that equal ones are far apart. Truth keeps the ids of
    the pieces, unless an image has several samples or was made from others: then ids count from 1 on.

    Args:
        staging: Where the files go.
        look: At all pieces, as far as it went.
        class_names: By category id.
        make_meta: Completes a meta.

    Returns:
        One result a split, train first.
    """
    paths, overview = look.paths, look.finish()
    ids = Ids() if overview.needs_ids else None
    is_course = any(part for part, _ in overview.sweeps)
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(_SplitWriter(staging.folder, SPLIT_NAMES[split], class_names, ids))
            for split in sorted(overview.splits)
        }
        for (part, repetition), pieces in sorted(overview.sweeps.items()):
            # A course is one that no trainer may shuffle.
            generator = np.random.default_rng(part) if is_course else None
            for piece in _in_order(sorted(pieces), generator):
                if piece in overview.sums:
                    _add_whole(paths[piece], overview.sums[piece], writers)
                    continue
                for note, lines in _rows(paths[piece], generator):
                    if note.part != part or note.times <= repetition:
                        continue
                    dropped = overview.reason(piece, note)
                    if not repetition:
                        writers[note.split].add((piece, note.row), note, lines, dropped)
                    elif note.images and not dropped:
                        writers[note.split].add_again(lines)
    for image in sorted(overview.images):
        (staging.folder / image).unlink(missing_ok=True)
    for writer in writers.values():
        write_meta(meta_path(writer.path), make_meta(writer.result.counts, writer.sha256))
    return tuple(writer.result for writer in writers.values())


def _rows(path: Path, generator: np.random.Generator | None) -> Iterator[tuple[RowNote, RowLines]]:
    """Go through a piece in order; or in a drawn one, so that no more than one piece is in memory."""
    found = read_piece(path)
    return found if generator is None else iter(_in_order(list(found), generator))


def _in_order(values: list[_Value], generator: np.random.Generator | None) -> list[_Value]:
    if generator is None:
        return values
    return [values[place] for place in generator.permutation(len(values)).tolist()]


def _add_whole(path: Path, sums: PieceSums, writers: Mapping[int, _SplitWriter]) -> None:
    """Add a piece nothing of which is dropped, many rows at a time: far faster than one by one."""
    for split, tally in sums.tallies.items():
        writers[split].add_sums(tally, sums.splits.count(split))
    start = 0
    for lines in read_lines(path):
        splits = sums.splits[start : start + len(lines[0])]
        start += len(splits)
        for split in sums.tallies:
            chosen = [own == split for own in splits]
            writers[split].add_lines(*(list(compress(of_a_kind, chosen)) for of_a_kind in lines))


class Ids:
    """Ids of truth images and boxes, counted over both splits."""

    def __init__(self) -> None:
        """Begin at 1."""
        self.images, self.boxes = count(1), count(1)


class _SplitWriter:
    """Writes one split's samples and truth side by side."""

    def __init__(self, folder: Path, split: str, class_names: Sequence[str], ids: Ids | None) -> None:
        self.path = folder / f"{split}.jsonl"
        self._split, self._ids = split, ids
        self._categories = [Category(number, name) for number, name in enumerate(class_names)]
        self._stack = ExitStack()
        self._digest = hashlib.sha256()
        # Kept, and what a reader of the numbers looks for even where it is zero.
        self._tally = Tally(Counter(dict.fromkeys(("kept", "boxes", "empty", "crowd_boxes"), 0)))
        self._images: set[str] = set()
        self._other_images = 0
        self._dropped: set[RowKey] = set()

    def __enter__(self) -> _SplitWriter:
        self._samples = self._stack.enter_context(atomic_writer(self.path, binary=True))
        self._truth = self._stack.enter_context(TruthWriter(truth_path(self.path), self._categories))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def result(self) -> SplitResult:
        counts = dict(self._tally.counts)
        images = len(self._images) + self._other_images
        if counts["kept"] != images:
            counts["images"] = images
        examples = {reason: tuple(places) for reason, places in sorted(self._tally.examples.items())}
        return SplitResult(self._split, counts, examples)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def add(self, row: RowKey, note: RowNote, lines: RowLines, dropped: str) -> None:
        """Add a sample with its truth, or what its row was left out for."""
        for reason, where in note.skipped:
            self._tally.skip(reason, where)
        if dropped:
            if row not in self._dropped:
                self._tally.skip(dropped, note.images[0])
            self._dropped.add(row)
        elif note.images:
            self._add_sample(lines.sample)
            if lines.image:
                self._add_truth(lines)
            self._images.update(note.images)
            self._tally.count(note.counts)

    def add_again(self, lines: RowLines) -> None:
        """Repeat a sample that is there with its truth."""
        self._add_sample(lines.sample)
        self._tally.count({"kept": 1, "repeated": 1})

    def add_sums(self, tally: Tally, images: int) -> None:
        """Add what is known of samples whose lines come by `add_lines`, each of an image of its own."""
        self._tally.add(tally)
        self._other_images += images

    def add_lines(self, samples: list[str], images: list[str], boxes: list[str]) -> None:
        """Add lines as `RowLines` has them, all of the same samples."""
        if samples:
            self._add_sample("\n".join(samples))
            self._truth.add_image(",\n".join(images))
        if said := ",\n".join(filter(None, boxes)):
            self._truth.add_box(said.replace("\t", ",\n"))

    def _add_sample(self, line: str) -> None:
        data = f"{line}\n".encode()
        self._samples.write(data)
        self._digest.update(data)

    def _add_truth(self, lines: RowLines) -> None:
        if self._ids is None:
            self._truth.add_image(lines.image)
            if lines.boxes:
                self._truth.add_box(lines.boxes.replace("\t", ",\n"))
            return
        image_id = next(self._ids.images)
        self._truth.add_image(number_image_line(lines.image, image_id))
        for box in lines.boxes.split("\t") if lines.boxes else ():
            self._truth.add_box(number_box_line(box, next(self._ids.boxes), image_id))
