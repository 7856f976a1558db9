"""How many tokens PaddleFormers will make of a sample, and which samples it will skip for that.

Takes `SampleView`s and a model folder, gives lengths and problems. Tokens of text come from the model's
own tokenizer, tokens of images from its processor's settings, arranged as PaddleFormers' template of the
model's family does (`template_backend: custom`, `truncation_strategy: delete`); a test compares the
counts with PaddleFormers' own data set. Neither paddle nor transformers is loaded.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.answers import fill_marks
from paddle_ground.data.check.options import STOCK_MAX_PIXELS, STOCK_MIN_PIXELS, CheckOptions
from paddle_ground.data.check.problems import Problem
from paddle_ground.data.check.view import SampleCheck, SampleView
from paddle_ground.errors import AnswerError, ModelError, RecordError
from paddle_ground.families import DEFAULT, family_of
from paddle_ground.records import Sample, read_grounding
from paddle_ground.records.samples import BOX_MARK, IMAGE_MARK, REF_MARK

_PAD = "<|image_pad|>"
_IMAGE = f"<|vision_start|>{_PAD}<|vision_end|>"
_END = "<|im_end|>\n"
_BATCH = 256


@dataclass(frozen=True, slots=True)
class VisionSettings:
    """How a model's processor cuts images, and what stands before it in training.

    Attributes:
        factor: Pixels a side of one visual token.
        shortest_edge: Smallest area for the processor, in pixels (its own name for it).
        longest_edge: Largest area for the processor.
        min_pixels: Area below which PaddleFormers enlarges an image first.
        max_pixels: Area above which it shrinks it first.
    """

    factor: int
    shortest_edge: int
    longest_edge: int
    min_pixels: int = STOCK_MIN_PIXELS
    max_pixels: int = STOCK_MAX_PIXELS

    def tokens(self, size_wh: tuple[int, int]) -> int:
        """Count the visual tokens of an image (without the two around them)."""
        width, height = self._regularized(*size_wh)
        # Qwen2-VL's smart resize; `round` rounds halves to even there as well.
        columns, rows = round(width / self.factor), round(height / self.factor)
        area = columns * rows * self.factor**2
        if area > self.longest_edge:
            shrink = math.sqrt(width * height / self.longest_edge)
            columns = max(1, math.floor(width / shrink / self.factor))
            rows = max(1, math.floor(height / shrink / self.factor))
        elif area < self.shortest_edge:
            grow = math.sqrt(self.shortest_edge / (width * height))
            columns = math.ceil(width * grow / self.factor)
            rows = math.ceil(height * grow / self.factor)
        return columns * rows

    def _regularized(self, width: int, height: int) -> tuple[int, int]:
        """Follow PaddleFormers' `_preprocess_image`: areas between two limits, sides cut to whole pixels."""
        if width * height > self.max_pixels:
            shrink = math.sqrt(self.max_pixels / (width * height))
            width, height = max(1, int(width * shrink)), max(1, int(height * shrink))
        if width * height < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (width * height))
            width, height = int(width * grow), int(height * grow)
        return width, height


class LengthCheck(SampleCheck):
    """Counts tokens, and finds what is longer than max_seq_len.

    Raises:
        ModelError: The folder lacks a tokenizer or a processor.
    """

    def __init__(self, model_dir: Path, options: CheckOptions) -> None:
        self.settings = read_settings(model_dir, options.max_pixels)
        self._tokenizer = _tokenizer(model_dir)
        self._default_system = (family_of(model_dir) or DEFAULT).default_system
        self._max_seq_len = options.max_seq_len
        self.lengths = array("l")
        self._waiting: list[tuple[SampleView, list[str], int]] = []
        self._shrunk = 0
        self._path: Path | None = None

    def look(self, view: SampleView) -> Iterator[Problem]:
        """Count one sample's tokens, a batch at a time."""
        self._path = view.path
        if any(min(image.size_wh) < 1 for image in view.images):
            return  # Its image is a problem of its own.
        self._shrunk += sum(
            image.size_wh[0] * image.size_wh[1] > self.settings.max_pixels for image in view.images
        )
        texts = _pieces(view.sample, self._default_system)
        if texts is None:
            return
        # One pad stands in each text already.
        images = sum(self.settings.tokens(image.size_wh) - 1 for image in view.images)
        self._waiting.append((view, texts, images))
        if len(self._waiting) >= _BATCH:
            yield from self._count()

    def finish(self) -> Iterator[Problem]:
        """Count the rest."""
        yield from self._count()
        if self._shrunk and self._path is not None:
            side = math.isqrt(self.settings.max_pixels)
            message = f"{self._shrunk} images are above {side} x {side} pixels of area"
            yield Problem("image_shrunk", self._path, 0, message)

    def _count(self) -> Iterator[Problem]:
        texts = [text for _, pieces, _ in self._waiting for text in pieces]
        counts = iter([len(e.ids) for e in self._tokenizer.encode_batch(texts, add_special_tokens=False)])
        for view, pieces, images in self._waiting:
            length = images + sum(next(counts) for _ in pieces)
            self.lengths.append(length)
            if length > self._max_seq_len:
                patches = images + len(view.images)
                message = f"{length} tokens ({patches} of images), max_seq_len is {self._max_seq_len}"
                yield view.problem("too_long", message)
        self._waiting = []


def read_settings(model_dir: Path, max_pixels: int | None = None) -> VisionSettings:
    """Read how a model's images are cut.

    Args:
        model_dir: The model's folder.
        max_pixels: Of the training YAML; None for the model's `grounding.json`, else PaddleFormers' own.

    Raises:
        ModelError: There is no readable processor config.
    """
    config: Any = _read_json(model_dir / "preprocessor_config.json")
    if config is None:
        config = (_read_json(model_dir / "processor_config.json") or {}).get("image_processor")
    try:
        size = dict(config.get("size") or {})
        smallest = int(size.get("shortest_edge") or config["min_pixels"])
        largest = int(size.get("longest_edge") or config["max_pixels"])
        factor = int(config["patch_size"]) * int(config["merge_size"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{model_dir}: no image settings in preprocessor_config.json; name a complete model folder"
        ) from error
    least = STOCK_MIN_PIXELS
    try:
        grounding = read_grounding(model_dir)
        least, max_pixels = grounding.min_pixels, max_pixels or grounding.max_pixels
    except RecordError:
        pass  # A model that was not tuned by us.
    return VisionSettings(factor, smallest, largest, least, max_pixels or STOCK_MAX_PIXELS)


def _pieces(sample: Sample, default_system: str | None) -> list[str] | None:
    """Write a sample as the texts that PaddleFormers hands to the tokenizer one by one."""
    messages = list(sample.messages)
    texts = []
    ref = box = 0
    # Told apart before the marks are filled in; it has none that anybody uses.
    system = messages.pop(0).content if messages[0].role == "system" else default_system
    if system is not None:
        texts.append(f"<|im_start|>system\n{system}{_END}")
    for message in messages:
        refs, boxes = message.content.count(REF_MARK), message.content.count(BOX_MARK)
        try:
            text = fill_marks(message.content, sample.refs[ref : ref + refs], sample.boxes[box : box + boxes])
        except AnswerError:
            return None
        ref, box = ref + refs, box + boxes
        text = text.replace(IMAGE_MARK, _IMAGE)
        if message.role == "user":
            texts.append(f"<|im_start|>user\n{text}{_END}<|im_start|>assistant\n")
        else:
            texts += [text, _END]  # The separator, or behind the last turn the suffix: they are the same.
    return texts


def _tokenizer(model_dir: Path) -> Any:
    from tokenizers import Tokenizer

    path = model_dir / "tokenizer.json"
    if not path.is_file():
        raise ModelError(f"{path}: no such file; name a model folder with its fast tokenizer")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # The Rust library raises plain `Exception`.
        raise ModelError(f"{path}: no tokenizer ({error}); name a complete model folder") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
