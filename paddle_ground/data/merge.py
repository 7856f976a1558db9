"""Puts pieces together: samples, truth and meta of each split, nothing twice.

Takes the piece files of a staging folder, gives the output files beside them. Knows nothing of how
pieces were made; what is left out is decided in `duplicates`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType

import numpy as np

from paddle_ground.data.duplicates import Look, RowKey
from paddle_ground.data.notes import RowLines, RowNote, read_piece
from paddle_ground.data.sampling import SPLIT_NAMES
from paddle_ground.data.staging import Staging
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

_EXAMPLES = 3


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
            for piece, note, lines in _sweep(paths, pieces, part if is_course else None):
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


def _sweep(
    paths: Sequence[Path], pieces: Iterable[int], course_part: int | None
) -> Iterator[tuple[int, RowNote, RowLines]]:
    """Go through pieces in order; or for a course, which no trainer may shuffle, in a drawn one.

    Pieces are drawn, then the samples of each, so that no more than one piece is in memory.
    """
    if course_part is None:
        for piece in sorted(pieces):
            for note, lines in read_piece(paths[piece]):
                yield piece, note, lines
        return
    generator = np.random.default_rng(course_part)
    for piece in generator.permutation(sorted(pieces)).tolist():
        found = list(read_piece(paths[piece]))
        for place in generator.permutation(len(found)).tolist():
            yield piece, *found[place]


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
        self._counts = Counter(dict.fromkeys(("kept", "boxes", "empty", "crowd_boxes"), 0))
        self._examples: dict[str, list[str]] = {}
        self._images: set[str] = set()
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
        counts = dict(self._counts)
        if counts["kept"] != len(self._images):
            counts["images"] = len(self._images)
        examples = {reason: tuple(places) for reason, places in sorted(self._examples.items())}
        return SplitResult(self._split, counts, examples)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def add(self, row: RowKey, note: RowNote, lines: RowLines, dropped: str) -> None:
        """Add a sample with its truth, or what its row was left out for."""
        for reason, where in note.skipped:
            self._skip(reason, where)
        if dropped:
            if row not in self._dropped:
                self._skip(dropped, note.images[0])
            self._dropped.add(row)
        elif note.images:
            self._add_sample(lines.sample)
            if lines.image:
                self._add_truth(lines)
            self._images.update(note.images)
            self._count(note.counts)

    def add_again(self, lines: RowLines) -> None:
        """Repeat a sample that is there with its truth."""
        self._add_sample(lines.sample)
        self._count({"kept": 1, "repeated": 1})

    def _count(self, counts: Mapping[str, int]) -> None:
        # Not Counter.update, which asks what it was given.
        for name, number in counts.items():
            self._counts[name] += number

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

    def _skip(self, reason: str, where: str) -> None:
        self._counts[f"skipped_{reason}"] += 1
        places = self._examples.setdefault(reason, [])
        if len(places) < _EXAMPLES:
            places.append(where)
