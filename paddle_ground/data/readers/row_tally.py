"""What the first reading of conversation files gathers: names, units, what was left out, a fingerprint.

Takes rows one at a time, gives counts. Images are looked at for their size and presence only, and only
once the first rows have told where they are. Knows no file format.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from dataclasses import dataclass
from itertools import islice

import numpy as np

from paddle_ground.answers import AnswerFormat, AnswerRegion, render
from paddle_ground.data.dialogue import ANY_OBJECT, grounding_content
from paddle_ground.data.readers.annotation_files import AnnotationFile
from paddle_ground.data.readers.box_units import UnitEvidence, weigh_units
from paddle_ground.data.readers.pictures import Pictures
from paddle_ground.data.readers.turns import Dialogue, means_empty
from paddle_ground.errors import AnswerError
from paddle_ground.files import sha256_file
from paddle_ground.records.samples import BOX_MARK, REF_MARK

MAX_NAMES = 1000
"""With more different names than this they are free text, and no classes."""

_FEW_NAMES = 20  # A small data set may well name every box differently.
_FIRST_ROWS = 64
_WEIGHED_ROWS = 400


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What is known of a row: as in `ChunkFacts`; `usable` is -1 where the data set has to tell."""

    image_id: int
    boxes: int
    usable: int


def image_number(images: tuple[str, ...]) -> int:
    """Give a number for images by their names: the same in every row that shows the same images."""
    return zlib.crc32("\n".join(images).encode("utf-8", errors="replace"))


class RowTally:
    """Counts rows, file by file.

    Attributes:
        evidence: For the units of boxes that stood in texts.
        pixel_evidence: The same for boxes that the format says are pixels.
        text_boxes: Boxes that stood in texts.
        has_lists: Whether some of those stood in JSON lists; box tokens are thousandths by convention.
        groundings: Answers that are nothing but boxes.
        texts: Answers in words.
    """

    def __init__(self) -> None:
        """Begin with nothing; `add_file` comes before any row."""
        self._pictures: Pictures
        self._waiting: list[Dialogue] | None = []
        self._digest = hashlib.sha256()
        self._seen: set[int] = set()
        self._names: Counter[str] = Counter()
        self._left_out: dict[str, tuple[int, str]] = {}
        self._weighed = 0
        self.evidence = UnitEvidence()
        self.pixel_evidence = UnitEvidence()
        self.text_boxes = self.groundings = self.texts = 0
        self.has_lists = False

    def add_file(self, file: AnnotationFile, pictures: Pictures) -> None:
        """Take note of a file, and of the images that its rows name; the file before is finished."""
        self._pictures, self._waiting = pictures, []
        self._seen.clear()  # Another file may mean another image by the same name.
        said = f"{file.name} {file.split} {sha256_file(file.path)}\n"
        self._digest.update(said.encode("utf-8", errors="replace"))

    def leave_out(self, kind: str, where: str) -> None:
        """Take note of a row that can't be used."""
        count, first = self._left_out.get(kind, (0, where))
        self._left_out[kind] = (count + 1, first)

    def add(self, row: Dialogue) -> RowFacts:
        """Count a row."""
        if row.from_text:
            self.text_boxes += len(row.boxes)
            self.has_lists |= row.from_text == "json"
        usable = self._count_answers(row)
        if self._waiting is None:
            self._look_at(row)
        else:
            self._waiting.append(row)
            if len(self._waiting) == _FIRST_ROWS:
                self.finish()
        return RowFacts(image_number(row.images), len(row.boxes), usable)

    def finish(self) -> None:
        """Look at the images of those rows of the file that waited until it was known where images are."""
        waiting, self._waiting = self._waiting or [], None
        self._pictures.settle(name for row in waiting for name in row.images)
        for row in waiting:
            self._look_at(row)

    def class_names(self) -> tuple[str, ...]:
        """Give the names of boxes, most frequent first, or `ANY_OBJECT` where they are free text."""
        names = [name for name, _ in sorted(self._names.items(), key=lambda item: (-item[1], item[0]))]
        is_free = len(names) > _FEW_NAMES and len(names) * 2 > self._names.total()
        if not names or len(names) > MAX_NAMES or is_free:
            return (ANY_OBJECT,)
        return tuple(names)

    def left_out_notes(self) -> list[str]:
        """Say what was left out, a line a kind."""
        return [
            f"rows: {count} left out, {kind} (the first: {where})"
            for kind, (count, where) in sorted(self._left_out.items())
        ]

    def fingerprint(self, *further: object) -> str:
        """Give a hash of the files, their images' sizes in bytes, and what was found out."""
        self._digest.update(repr(further).encode())
        return self._digest.hexdigest()

    def _count_answers(self, row: Dialogue) -> int:
        """Count answers by kind, and give how many boxes the row can answer with: words count as one."""
        refs, usable, is_unsure = iter(row.refs), 0, False
        for turn in row.turns:
            own = list(islice(refs, turn.content.count(REF_MARK)))
            boxes = turn.content.count(BOX_MARK)
            if turn.role != "assistant":
                continue
            usable += boxes
            if turn.content == grounding_content(boxes):
                self.groundings += 1
                self._add_names(own)
            elif means_empty(turn.content):
                is_unsure = True
            else:
                self.texts += 1
                usable += not boxes
        return -1 if is_unsure and not usable else usable

    def _add_names(self, names: list[str]) -> None:
        for name in names:
            if name in self._names or (len(self._names) <= MAX_NAMES and _is_writable(name)):
                self._names[name] += 1

    def _look_at(self, row: Dialogue) -> None:
        for name in row.images:
            key = hash(name)
            if key not in self._seen:
                self._seen.add(key)
                self._digest.update(
                    f"{name} {self._pictures.stamp(name)}\n".encode("utf-8", errors="replace")
                )
        is_asked = row.from_text or row.units == "pixels"
        if not row.boxes or not is_asked or self._weighed >= _WEIGHED_ROWS:
            return
        self._weighed += 1
        sizes = [self._pictures.size_wh(name, "") or (np.nan, np.nan) for name in row.images]
        own = [sizes[image] if 0 <= image < len(sizes) else (np.nan, np.nan) for image in row.box_images]
        found = weigh_units(np.array(row.boxes, dtype=np.float64), np.array(own, dtype=np.float64))
        if row.from_text:
            self.evidence += found
        else:
            self.pixel_evidence += found


def _is_writable(name: str) -> bool:
    try:
        render([AnswerRegion(name, (0, 0, 1, 1))], AnswerFormat.TOKENS)
    except AnswerError:
        return False
    return name.isprintable()
