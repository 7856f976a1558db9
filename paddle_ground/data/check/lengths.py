"""How many tokens PaddleFormers will make of a sample, and which samples it will skip for that.

Takes `SampleView`s and a model folder, gives lengths and problems. Tokens of text come from the model's
own tokenizer, tokens of images from its processor's settings, arranged as PaddleFormers' template of the
model's family does (`template_backend: custom`, `truncation_strategy: delete`); a test compares the
counts with PaddleFormers' own data set. Neither paddle nor transformers is loaded.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paddle_ground.answers import fill_marks
from paddle_ground.data.check.options import CheckOptions
from paddle_ground.data.check.problems import Problem
from paddle_ground.data.check.view import SampleCheck, SampleView
from paddle_ground.errors import AnswerError, ModelError, RecordError
from paddle_ground.families import DEFAULT, family_of
from paddle_ground.records import Sample, read_grounding
from paddle_ground.records.samples import BOX_MARK, IMAGE_MARK, REF_MARK
from paddle_ground.resize import STOCK_MAX_PIXELS, STOCK_MIN_PIXELS, Resize, read_resize

_PAD = "<|image_pad|>"
_IMAGE = f"<|vision_start|>{_PAD}<|vision_end|>"
_END = "<|im_end|>\n"
_BATCH = 256


class LengthCheck(SampleCheck):
    """Counts tokens, and finds what is longer than max_seq_len.

    Raises:
        ModelError: The folder lacks a tokenizer or a processor.
    """

    def __init__(self, model_dir: Path, options: CheckOptions) -> None:
        self.resize = training_resize(model_dir, options.max_pixels)
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
            image.size_wh[0] * image.size_wh[1] > self.resize.image_max_pixels for image in view.images
        )
        texts = _pieces(view.sample, self._default_system)
        if texts is None:
            return
        # One pad stands in each text already.
        images = sum(self.resize.tokens(image.size_wh) - 1 for image in view.images)
        self._waiting.append((view, texts, images))
        if len(self._waiting) >= _BATCH:
            yield from self._count()

    def finish(self) -> Iterator[Problem]:
        """Count the rest."""
        yield from self._count()
        if self._shrunk and self._path is not None:
            side = math.isqrt(self.resize.image_max_pixels)
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


def training_resize(model_dir: Path, max_pixels: int | None = None) -> Resize:
    """Tell how a model's training images are resized.

    Args:
        model_dir: The model's folder.
        max_pixels: Of the training YAML; None for the model's `grounding.json`, else PaddleFormers' own.

    Raises:
        ModelError: There is no readable processor config.
    """
    least = STOCK_MIN_PIXELS
    try:
        grounding = read_grounding(model_dir)
        least, max_pixels = grounding.min_pixels, max_pixels or grounding.max_pixels
    except RecordError:
        pass  # A model that was not tuned by us.
    return read_resize(model_dir, least, max_pixels or STOCK_MAX_PIXELS)


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
