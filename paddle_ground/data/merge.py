"""Puts pieces together: samples, truth and meta of each split, no image twice.

Takes the piece files of a staging folder, gives the output files beside them. The same image file in
two rows, under whatever ids, is kept once: val before train, so that nothing that is trained on is
in val, and then the earlier row. Knows nothing of how pieces were made.
"""

from __future__ import annotations

import filecmp
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from paddle_ground.data.pieces import RowLines, RowNote, read_notes, read_piece
from paddle_ground.data.sampling import SPLIT_NAMES, VAL
from paddle_ground.data.staging import Staging
from paddle_ground.files import atomic_writer
from paddle_ground.records import (
    Category,
    SamplesMeta,
    TruthWriter,
    meta_path,
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
    staging: Staging, numbers: Sequence[int], class_names: Sequence[str], make_meta: MakeMeta
) -> tuple[SplitResult, ...]:
    """Write the files of all splits into the staging folder.

    Args:
        staging: Where the pieces are.
        numbers: Those of the pieces, in the order of the source.
        class_names: By category id.
        make_meta: Completes a meta.

    Returns:
        One result a split, train first.
    """
    paths = [staging.piece(number) for number in numbers]
    duplicates = _find_duplicates(paths, staging.folder)
    splits = sorted({note.split for path in paths for note in read_notes(path)})
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(_SplitWriter(staging.folder, SPLIT_NAMES[split], class_names))
            for split in splits
        }
        for path in paths:
            for note, lines in read_piece(path):
                writers[note.split].add(note, lines, note.image in duplicates)
    for image in sorted(duplicates):
        (staging.folder / image).unlink(missing_ok=True)
    for writer in writers.values():
        write_meta(meta_path(writer.path), make_meta(writer.result.counts, writer.sha256))
    return tuple(writer.result for writer in writers.values())


class _SplitWriter:
    """Writes one split's samples and truth side by side."""

    def __init__(self, folder: Path, split: str, class_names: Sequence[str]) -> None:
        self.path = folder / f"{split}.jsonl"
        self._split = split
        self._categories = [Category(number, name) for number, name in enumerate(class_names)]
        self._stack = ExitStack()
        self._digest = hashlib.sha256()
        # Kept, and what a reader of the numbers looks for even where it is zero.
        self._counts = Counter(dict.fromkeys(("kept", "boxes", "empty", "crowd_boxes"), 0))
        self._examples: dict[str, list[str]] = {}

    def __enter__(self) -> _SplitWriter:
        self._samples = self._stack.enter_context(atomic_writer(self.path))
        self._truth = self._stack.enter_context(TruthWriter(truth_path(self.path), self._categories))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def result(self) -> SplitResult:
        examples = {reason: tuple(places) for reason, places in sorted(self._examples.items())}
        return SplitResult(self._split, dict(self._counts), examples)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def add(self, note: RowNote, lines: RowLines, is_duplicate: bool) -> None:
        for reason, where in note.skipped:
            self._skip(reason, where)
        if is_duplicate:
            self._skip("duplicate_image", note.image)
        elif note.image:
            self._samples.write(lines.sample + "\n")
            self._digest.update(f"{lines.sample}\n".encode())
            self._truth.add_image(lines.image)
            if lines.boxes:
                self._truth.add_box(lines.boxes.replace("\t", ",\n"))
            self._counts.update(note.counts)

    def _skip(self, reason: str, where: str) -> None:
        self._counts[f"skipped_{reason}"] += 1
        places = self._examples.setdefault(reason, [])
        if len(places) < _EXAMPLES:
            places.append(where)


def _find_duplicates(paths: Iterable[Path], folder: Path) -> set[str]:
    """Find the image files to leave out, because another one has the same bytes."""
    first: dict[str, tuple[int, int, str]] = {}
    alike: dict[str, list[tuple[int, int, str]]] = {}
    order = 0
    for path in paths:
        for note in read_notes(path):
            order += 1
            if not note.image:
                continue
            found = (0 if note.split == VAL else 1, order, note.image)
            if note.content in first:
                alike.setdefault(note.content, [first[note.content]]).append(found)
            else:
                first[note.content] = found
    duplicates: set[str] = set()
    for group in alike.values():
        kept: list[str] = []
        for _, _, image in sorted(group):
            if any(_same_bytes(folder / image, folder / other) for other in kept):
                duplicates.add(image)
            else:
                kept.append(image)
    return duplicates


def _same_bytes(path: Path, kept: Path) -> bool:
    # Equal length and checksum say "very likely"; the bytes say so for sure. A file that is gone was
    # found a duplicate by a run that was stopped after that.
    return not path.exists() or filecmp.cmp(path, kept, shallow=False)
