"""What an engine is asked, and what it answers: requests, images, answers.

Takes paths or PIL images and the user's words. Knows no model, no coordinate and no file of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from PIL import Image, UnidentifiedImageError

from paddle_ground.errors import DataError
from paddle_ground.records import Message, Sample

ImageSource: TypeAlias = "str | Path | Image.Image"
"""An image file, or a picture that is already open."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question, nearly always about an image.

    Attributes:
        image: The picture; None for a question in words alone. Its pixels are taken as they are stored:
            an EXIF rotation is not applied, because training does not apply one either, and boxes are
            in the pixels of the file.
        prompt: What the user asks. `<image>` marks say where pictures stand; pictures that have no
            mark stand in front, in order.
        more_images: Further pictures of the same question.
        earlier: The turns before, oldest first; a leading "system" turn is the system prompt.
        refs: What fills the `<ref-object>` marks of all these turns, in order.
        boxes: What fills their `<bbox>` marks, in order, in the model's coordinate space.
    """

    image: ImageSource | None
    prompt: str
    more_images: tuple[ImageSource, ...] = ()
    earlier: tuple[Message, ...] = ()
    refs: tuple[str, ...] = ()
    boxes: tuple[tuple[int, int, int, int], ...] = ()

    @property
    def images(self) -> tuple[ImageSource, ...]:
        """All pictures, in order."""
        return self.more_images if self.image is None else (self.image, *self.more_images)

    @classmethod
    def from_sample(cls, sample: Sample, images: tuple[ImageSource, ...]) -> Request:
        """Ask what a sample asks: all of its turns up to the answer that a model should give.

        Args:
            sample: The record; its last assistant turn, if it ends with one, is left out.
            images: Its pictures, found and in order.

        Raises:
            DataError: It has no picture, or no user turn at the place of the question.
        """
        if not images:
            raise DataError("the sample has no image; grounding needs one")
        turns = sample.messages[:-1] if sample.messages[-1].role == "assistant" else sample.messages
        if not turns or turns[-1].role != "user":
            raise DataError("the sample does not end with a user turn and its answer; nothing to ask")
        return cls(
            image=images[0],
            prompt=turns[-1].content,
            more_images=images[1:],
            earlier=turns[:-1],
            refs=sample.refs,
            boxes=sample.boxes,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said.

    Attributes:
        text: As generated, special and end tokens included.
        token_ids: The same as ids.
        seconds: This answer's share of the time that its batches took.
        finish_reason: "stop" at an end token, "length" where `max_new_tokens` cut it off, "loop" where
            a guard ended an answer that went round in circles.
        size_wh: Width and height of the request's first image, in stored pixels; zeros without one.
        prompt_tokens: Length of the question, image tokens included.
        logprobs: The natural logarithm of each token's probability among those that were allowed; 0 for
            a token that a grammar forced. () where nobody counted.
    """

    text: str
    token_ids: tuple[int, ...]
    seconds: float
    finish_reason: str
    size_wh: tuple[int, int]
    prompt_tokens: int
    logprobs: tuple[float, ...] = ()


def open_image(source: ImageSource) -> Image.Image:
    """Open a picture and decode it whole, its mode and orientation as stored.

    Raises:
        DataError: There is no such file, or it is no whole image that PIL can read.
    """
    if isinstance(source, Image.Image):
        return source
    path = Path(source)
    try:
        with path.open("rb") as stream:
            image: Image.Image = Image.open(stream)
            image.load()
            return image
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such image; put it there or drop its line") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: in no image format that can be read; replace it") from error
    except Exception as error:  # PIL's decoders raise nearly everything at one input or another
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not a whole image that can be read ({reason}); replace it") from error
