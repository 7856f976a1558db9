"""Run all checks over a samples file: read, look at the images, check each sample, sum up.

Takes a path and options, gives a `CheckReport`. Reads the file once, a batch at a time; while one batch
is checked, threads read the images of the next. Knows no single check.
"""

from __future__ import annotations

import os
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from paddle_ground.data.check.beside import Beside, check_model, read_beside
from paddle_ground.data.check.gallery import Gallery, Pending
from paddle_ground.data.check.lines import Line, read_lines
from paddle_ground.data.check.numbers import Ints, Numbers
from paddle_ground.data.check.options import CheckOptions
from paddle_ground.data.check.padding import measure_padding
from paddle_ground.data.check.problems import Problem
from paddle_ground.data.check.registry import Checks, make_checks
from paddle_ground.data.check.report import CheckReport, sorted_problems
from paddle_ground.data.check.space import space_of
from paddle_ground.data.check.targets import read_targets
from paddle_ground.data.check.view import SampleView
from paddle_ground.errors import DataError

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and of all files."""

_BATCH = 128
_AHEAD = 3
_SPLITS = ("train", "val", "valid", "validation", "dev", "test", "eval")


def check(
    path: str | os.PathLike[str], options: CheckOptions, progress: Progress | None = None
) -> CheckReport:
    """Check a samples file and everything that it names.

    Args:
        path: A samples file in the messages format.
        options: What to check.
        progress: Called now and then.

    Returns:
        All problems and numbers. Nothing is written.

    Raises:
        DataError: The file, or one to compare with, can't be read at all.
        ModelError: The model's folder can't be used.
    """
    started = time.perf_counter()
    samples = Path(path)
    others = _others(samples, options)
    for file in (samples, *others):
        if not file.is_file():
            raise DataError(f"{file}: no such file; name a samples file (JSONL)")
    beside = read_beside(samples)
    checks = make_checks(samples, options, beside)
    workers = options.workers or os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    try:
        run = _Run(samples, others, Gallery(pool, options.decode), checks, progress)
        problems = [*beside.problems, *_model_problems(samples, beside, options), *run.problems()]
        numbers = _numbers(run, checks, options)
    finally:
        # Also when the user stops it: what has not begun is dropped.
        pool.shutdown(wait=True, cancel_futures=True)
    return CheckReport(
        path=samples,
        numbers=numbers,
        problems=sorted_problems(problems),
        offsets=np.array(run.offsets, dtype=np.int64).reshape(-1, 2),
        images_looked_at=run.gallery.images_looked_at,
        seconds=time.perf_counter() - started,
        compared_with=others,
        space=space_of(beside.meta),
    )


@dataclass
class _Run:
    """One pass over the file and those to compare with."""

    path: Path
    others: tuple[Path, ...]
    gallery: Gallery
    checks: Checks
    progress: Progress | None

    def __post_init__(self) -> None:
        self.offsets = array("q")  # Line number and offset of each valid line.
        self.lines = self.samples = self.images = 0
        self._total = sum(file.stat().st_size for file in (self.path, *self.others))
        self._before = 0

    def problems(self) -> Iterator[Problem]:
        """Look at everything."""
        self.gallery.open_file(self.path)
        for line, pending in self._with_images(self.path):
            self.lines += 1
            for code, message in line.flaws:
                yield Problem(code, self.path, line.number, message)
            if line.sample is not None:
                yield from self._sample(line, pending)
        self.images = self.gallery.images_looked_at
        if not self.samples:
            yield Problem("no_samples", self.path, 0, f"{self.lines} lines, none of them a sample")
        for one in self.checks.all:
            yield from one.finish()
        for other in self.others:
            self.gallery.open_file(other)
            for _, pending in self._with_images(other):
                for one_pending in pending:
                    self.gallery.result(one_pending)
        yield from self.gallery.copies()
        yield from self.gallery.look_alikes()

    def _sample(self, line: Line, pending: list[Pending]) -> Iterator[Problem]:
        assert line.sample is not None
        self.samples += 1
        self.offsets.extend((line.number, line.offset))
        images = tuple(self.gallery.result(one) for one in pending)
        for name, facts in zip(line.sample.images, images, strict=True):
            for code, message in facts.flaws:
                yield Problem(code, self.path, line.number, f"{name}: {message}")
        view = SampleView(self.path, line.number, line.sample, read_targets(line.sample), images)
        for one in self.checks.all:
            yield from one.look(view)

    def _with_images(self, path: Path) -> Iterator[tuple[Line, list[Pending]]]:
        """Read lines, their images already on the way, a few batches ahead."""
        lines = read_lines(path)
        waiting: deque[list[tuple[Line, list[Pending]]]] = deque()
        while batch := list(islice(lines, _BATCH)):
            waiting.append(self._submit(batch))
            if len(waiting) > _AHEAD:
                yield from waiting.popleft()
                self._tell(batch[-1].offset)
        for ready in waiting:
            yield from ready
        self._before += path.stat().st_size
        self._tell(0)

    def _submit(self, batch: list[Line]) -> list[tuple[Line, list[Pending]]]:
        places = [
            (line.number, line.offset, index, image)
            for line in batch
            if line.sample is not None
            for index, image in enumerate(line.sample.images)
        ]
        pending = iter(self.gallery.submit(places))
        return [
            (line, list(islice(pending, len(line.sample.images) if line.sample else 0))) for line in batch
        ]

    def _tell(self, offset: int) -> None:
        if self.progress is not None:
            self.progress(self._before + offset, self._total)


def _others(path: Path, options: CheckOptions) -> tuple[Path, ...]:
    """Find the files to compare with: those that were named, and the other splits beside this one."""
    siblings = [path.with_name(f"{split}{path.suffix}") for split in _SPLITS if path.stem in _SPLITS]
    found = [*options.against, *(file for file in siblings if file.is_file())]
    unique = {file.resolve(): file for file in reversed(found)}
    unique.pop(path.resolve(), None)
    return tuple(sorted(unique.values(), key=str))


def _model_problems(path: Path, beside: Beside, options: CheckOptions) -> Iterator[Problem]:
    if options.model_dir is not None and beside.meta is not None:
        yield from check_model(path, beside.meta, options.model_dir)


def _numbers(run: _Run, checks: Checks, options: CheckOptions) -> Numbers:
    counts = checks.tally.boxes_a_sample
    lengths: Ints = np.array(checks.lengths.lengths if checks.lengths else (), dtype=np.int64)
    sides = np.column_stack([run.gallery.widths, run.gallery.heights])[: run.images].astype(np.int64)
    return Numbers(
        lines=run.lines,
        samples=run.samples,
        images=run.images,
        boxes=int(counts.sum()),
        without_boxes=checks.tally.without_boxes,
        labels=dict(checks.labels.counts.most_common()),
        box_sides=checks.tally.box_sides,
        boxes_a_sample=counts,
        image_sides=sides[(sides > 0).all(axis=1)],
        lengths=lengths,
        max_seq_len=options.max_seq_len if checks.lengths else 0,
        padding=measure_padding(lengths, options.max_seq_len, options.batch_size),
    )
