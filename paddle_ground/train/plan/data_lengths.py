"""How many tokens the samples of a run have: counted as `check` counts them, or estimated.

Takes samples files and a model; gives a length a sample. At most some thousands of samples are read, evenly
spread over the files. Knows no memory and no time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from paddle_ground.data.check.images import ImageFacts
from paddle_ground.data.check.lengths import LengthCheck
from paddle_ground.data.check.options import CheckOptions
from paddle_ground.data.check.view import SampleView
from paddle_ground.errors import ModelError, RecordError
from paddle_ground.families import DEFAULT, family_of
from paddle_ground.records import Sample, resolve_image
from paddle_ground.records.samples import sample_from_line
from paddle_ground.resize import STOCK_MAX_PIXELS, STOCK_MIN_PIXELS, read_resize

MOST = 4000
"""Samples that are read at most."""
_CHARACTERS_A_TOKEN = 2  # Low: digits of boxes are tokens of their own.
_TURN_TOKENS = 5
_UNKNOWN_SHARE = 0.8

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DataLengths:
    """Token counts of a data set.

    Attributes:
        samples: In all files; 0 where they are unknown.
        lengths: Shape (read,): tokens of the samples that were read.
        image_tokens: Shape (read,): visual ones among them.
        how: How they were found, for a reader.
        measured: They were counted with the model's own tokenizer.
    """

    samples: int = 0
    lengths: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    image_tokens: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    how: str = "no data found: every row is taken to be full"
    measured: bool = False

    def kept(self, max_seq_len: int) -> Ints:
        """Give the lengths that are trained on; PaddleFormers skips the longer ones."""
        return self.lengths[self.lengths <= max_seq_len]

    def image_share(self) -> float:
        """Give the share of tokens that are visual, 0..1."""
        total = int(self.lengths.sum())
        return float(self.image_tokens.sum()) / total if total else _UNKNOWN_SHARE

    def percentile(self, percent: float) -> int:
        """Give a length that so many percent of the samples do not exceed."""
        return int(np.percentile(self.lengths, percent)) if len(self.lengths) else 0


def measure_lengths(
    paths: Sequence[Path],
    model: str,
    max_seq_len: int,
    max_pixels: int | None,
    min_pixels: int | None = None,
) -> DataLengths:
    """Measure the samples of a run.

    Args:
        paths: Samples files; those that are missing are passed over.
        model: Folder of the model; where it has no tokenizer, lengths are estimated by characters.
        max_seq_len: Of the YAML.
        max_pixels: `grounding.image_max_pixels`. Left out, it is PaddleFormers' own, whatever an earlier
            tuning of the model did.
        min_pixels: `grounding.image_min_pixels`, likewise.

    Raises:
        RecordError: A line that is read is wrong.
    """
    limits = min_pixels or STOCK_MIN_PIXELS, max_pixels or STOCK_MAX_PIXELS
    found = [path for path in paths if path.is_file()]
    samples = sum(_lines(path) for path in found)
    if not samples:
        return DataLengths()
    counter: LengthCheck | None = None
    try:
        options = CheckOptions(Path(model), max_seq_len=max_seq_len, max_pixels=max_pixels)
        own = LengthCheck(Path(model), options)
        own.resize = read_resize(model, *limits)
        counter = own
    except ModelError:
        pass
    resize = (family_of(model) or DEFAULT).resize(*limits) if counter is None else counter.resize
    lengths, images = array("q"), array("q")
    for path, sample in _read(found, -(-samples // MOST)):
        try:
            sizes = [_size(path, image) for image in sample.images]
        except (OSError, RecordError, UnidentifiedImageError):
            continue  # `check` tells about these.
        visual = sum(resize.tokens(size) for size in sizes)
        if counter is None:
            lengths.append(visual + _estimate(sample))
        else:
            view = SampleView(path, 0, sample, (), tuple(ImageFacts(size) for size in sizes))
            list(counter.look(view))
        images.append(visual)
    if counter is not None:
        list(counter.finish())
        lengths = array("q", counter.lengths)
    how = "the model's own tokenizer" if counter else "an estimate by characters: the model is not local"
    return DataLengths(
        samples,
        np.array(lengths, dtype=np.int64),
        np.array(images, dtype=np.int64),
        f"{how}, {len(lengths)} of {samples} samples",
        counter is not None,
    )


def _lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(bool(line.strip()) for line in stream)


def _read(paths: Sequence[Path], step: int) -> Iterator[tuple[Path, Sample]]:
    number = 0
    for path in paths:
        for place, line in _texts(path):
            if number % step == 0:
                yield path, sample_from_line(line, f"{path}:{place}")
            number += 1


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            yield from ((place, line) for place, line in enumerate(stream, 1) if line.strip())
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: is not UTF-8 ({error.reason}); save it as UTF-8") from error


def _size(samples: Path, image: str) -> tuple[int, int]:
    with Image.open(resolve_image(samples, image)) as opened:
        return (opened.width, opened.height)


def _estimate(sample: Sample) -> int:
    # A box is written with about 11 tokens of marks, digits and commas, none of them in the content yet.
    text = sum(len(message.content) for message in sample.messages) // _CHARACTERS_A_TOKEN
    return text + _TURN_TOKENS * len(sample.messages) + 18 * len(sample.boxes)
