"""All images of a data set, each looked at once: which are copies, and which are in another split too.

Takes samples' image paths, gives facts and problems. Per image it keeps numbers in arrays and no text.
Knows no box.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np

from paddle_ground.data.check.images import ImageFacts, inspect_image
from paddle_ground.data.check.lines import read_line_at
from paddle_ground.data.check.looks import LOOK_BYTES, similar_pairs
from paddle_ground.data.check.problems import Problem
from paddle_ground.errors import RecordError
from paddle_ground.records import resolve_image

_TASK = 16  # Images that a thread takes at a time.
Place = tuple[int, int, int, str]
"""Line number, offset of the line, which of its images, and the path as the sample names it."""
Pending = tuple[int, "Future[list[ImageFacts]] | None", int]
"""An image's number, and where its facts will be: at a place of a task; None for one seen earlier."""


class Gallery:
    """Looks at images and remembers them.

    Args:
        pool: Threads that read and decode.
        decode: Decode every image.
    """

    def __init__(self, pool: Executor, decode: bool) -> None:
        self._pool, self._decode = pool, decode
        self._paths: list[Path] = []
        self._numbers: dict[int, int] = {}
        self._files, self._indices = array("h"), array("i")
        self._lines, self._offsets = array("q"), array("q")
        self.widths, self.heights, self._contents = array("i"), array("i"), array("Q")
        self._looked, self._looks = array("b"), bytearray()
        self.images_looked_at = 0

    def open_file(self, path: Path) -> int:
        """Begin a further samples file; gives its number, 0 for the one that is checked."""
        self._paths.append(path)
        self._numbers = {}
        return len(self._paths) - 1

    def submit(self, places: Iterable[Place]) -> list[Pending]:
        """Have the images that are new looked at, and number them all."""
        file, path = len(self._paths) - 1, self._paths[-1]
        found: list[Pending] = []
        tasks: list[Path | None] = []
        new: list[int] = []
        for place in places:
            key = _hash(place[-1])
            number = self._numbers.get(key)
            if number is None:
                number = self._numbers[key] = len(self._lines)
                self._add(file, place)
                new.append(len(found))
                tasks.append(_resolved(path, place[-1]))
            found.append((number, None, 0))
        for start in range(0, len(tasks), _TASK):
            future = self._pool.submit(_inspect_all, tasks[start : start + _TASK], self._decode)
            for step, at in enumerate(new[start : start + _TASK]):
                found[at] = (found[at][0], future, step)
        return found

    def result(self, pending: Pending) -> ImageFacts:
        """Wait for the facts about an image; an image seen earlier has its flaws told already."""
        number, future, step = pending
        if future is None:
            return ImageFacts((self.widths[number], self.heights[number]), self._contents[number])
        facts = future.result()[step]
        self._settle(number, facts)
        return facts

    def _add(self, file: int, place: Place) -> None:
        self._files.append(file)
        self._lines.append(place[0])
        self._offsets.append(place[1])
        self._indices.append(place[2])
        for column in (self.widths, self.heights, self._contents, self._looked):
            column.append(0)
        if self._decode:
            self._looks.extend(bytes(LOOK_BYTES))

    def _settle(self, number: int, facts: ImageFacts) -> None:
        self.images_looked_at += 1
        self.widths[number], self.heights[number] = facts.size_wh
        self._contents[number] = facts.content
        if facts.look:
            self._looked[number] = 1
            self._looks[number * LOOK_BYTES : (number + 1) * LOOK_BYTES] = facts.look

    def copies(self) -> Iterator[Problem]:
        """Find the same bytes under several names, and in several files."""
        contents = np.array(self._contents, dtype=np.uint64)
        order = np.argsort(contents, kind="stable")
        order = order[contents[order] != 0]
        borders = np.flatnonzero(np.diff(contents[order])) + 1
        for group in np.split(order, borders):
            if len(group) > 1:
                yield from self._name(group.tolist(), "image_repeated", "leak", "the same bytes as")

    def look_alikes(self) -> Iterator[Problem]:
        """Find images that look the same, without those whose bytes are the same."""
        looked = np.flatnonzero(np.array(self._looked))
        looks = np.frombuffer(self._looks, dtype=np.uint8).reshape(-1, LOOK_BYTES)[looked]
        # Own images last, so that each of them can be found like one of another file.
        files = np.array(self._files)[looked]
        order = np.argsort(files == 0, kind="stable")
        for first, later in similar_pairs(looks[order]):
            pair = [int(looked[order[later]]), int(looked[order[first]])]
            if self._contents[pair[0]] != self._contents[pair[1]] and self._files[pair[0]] == 0:
                yield from self._name(pair, "image_alike", "leak_alike", "looks like")

    def _name(self, group: Sequence[int], own_code: str, leak_code: str, words: str) -> Iterator[Problem]:
        """Word a group of alike images, those of the checked file first."""
        own = [number for number in group if self._files[number] == 0]
        others = [number for number in group if self._files[number] != 0]
        if not own:
            return
        if others:
            other = others[0]
            text = f"{self._path(own[0])}: {words} {self._paths[self._files[other]].name}"
            message = f"{text}:{self._lines[other]} ({self._path(other)})"
            yield Problem(leak_code, self._paths[0], self._lines[own[0]], message)
        first, *rest = sorted(own, key=lambda number: self._lines[number])
        for number in rest:
            message = f"{self._path(number)}: {words} {self._path(first)} of line {self._lines[first]}"
            yield Problem(own_code, self._paths[0], self._lines[number], message)

    def _path(self, number: int) -> str:
        """Read an image's path again from its line."""
        path = self._paths[self._files[number]]
        line = read_line_at(path, self._offsets[number], self._lines[number])
        return line.sample.images[self._indices[number]] if line.sample else "an image"


def _hash(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _resolved(samples: Path, image: str) -> Path | None:
    try:
        return resolve_image(samples, image)
    except (RecordError, ValueError):
        return None


def _inspect_all(paths: Sequence[Path | None], decode: bool) -> list[ImageFacts]:
    outside = ImageFacts(flaws=(("image_outside", "the path leads out of the folder"),))
    return [outside if path is None else inspect_image(path, decode) for path in paths]
