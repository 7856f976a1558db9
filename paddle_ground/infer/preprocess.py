"""Turn requests into what the model reads, by the very code that training uses.

Takes `Request`s; gives token ids and image patches, one by one (`Prompt`) and as a batch padded on the
left (`PromptBatch`). The chat template and the image path are PaddleFormers' own, so a question looks
the same here as it did in training (a test compares the token ids). Knows no model and no answer.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddle_ground.errors import RecordError
from paddle_ground.infer.request import Request, open_image
from paddle_ground.records.samples import IMAGE_MARK


@dataclass(frozen=True, slots=True)
class PixelLimits:
    """Areas in pixels between which an image is brought before the model's own resizing."""

    min_pixels: int
    max_pixels: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request, ready for the model.

    Attributes:
        token_ids: Shape (L,), image tokens repeated.
        patches: Shape (P, values of a patch), float32: all images of the request; (0, 0) without one.
        grids_thw: Shape (images, 3): frames, rows and columns of patches.
        size_wh: Width and height of the first image, in stored pixels; zeros without one.
        more_sizes_wh: Of the further ones.
    """

    token_ids: NDArray[np.int64]
    patches: NDArray[np.float32]
    grids_thw: NDArray[np.int64]
    size_wh: tuple[int, int]
    more_sizes_wh: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """Prompts side by side, padded on the left so that all end in the last column.

    Attributes:
        token_ids: Shape (B, L).
        mask: Shape (B, L), 1 for a token and 0 for padding.
        patches: Shape (all patches, values of a patch); (0, 0) where no prompt has an image.
        grids_thw: Shape (all images, 3).
    """

    token_ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    patches: NDArray[np.float32]
    grids_thw: NDArray[np.int64]


class Preprocessor:
    """Makes prompts for one model.

    Args:
        processor: PaddleFormers' processor of the model, for this preprocessor alone: the limits are
            set on it, where PaddleFormers' training code looks for them.
        limits: Areas between which images are brought first, as in training.
        template: PaddleFormers' chat template, the family's for models that answer at once.
    """

    def __init__(self, processor: Any, limits: PixelLimits, template: str) -> None:
        from paddleformers.datasets.template.template import TEMPLATES

        processor.image_min_pixels = limits.min_pixels
        processor.image_max_pixels = limits.max_pixels
        self._processor = processor
        self._template = TEMPLATES[template]
        self._plugin = copy.copy(self._template.mm_plugin)
        # Training hands over paths; here pictures are open already, and bad ones were refused.
        self._plugin._img_download = lambda image: image

    def prepare(self, request: Request) -> Prompt:
        """Make one prompt.

        Raises:
            DataError: An image can't be read.
            RecordError: Marks and images, refs or boxes don't match, or a turn's role is out of place.
        """
        images = [open_image(source) for source in request.images]
        turns, system = self._turns(request)
        inputs = self._plugin.get_mm_inputs(images, [], [], self._processor)
        turns = self._plugin.process_messages(turns, images, [], [], inputs, self._processor)
        # The template wants pairs of turns; the answer's place is left empty.
        turns.append({"role": "assistant", "content": ""})
        token_ids, _ = self._template.encode_oneturn(self._processor.tokenizer, turns, system)
        if not images:
            nothing, no_grid = np.zeros((0, 0), np.float32), np.zeros((0, 3), np.int64)
            return Prompt(np.asarray(token_ids, np.int64), nothing, no_grid, (0, 0))
        return Prompt(
            token_ids=np.asarray(token_ids, np.int64),
            patches=np.asarray(inputs["pixel_values"].numpy(), np.float32),
            grids_thw=np.asarray(inputs["image_grid_thw"].numpy(), np.int64),
            size_wh=images[0].size,
            more_sizes_wh=tuple(image.size for image in images[1:]),
        )

    def _turns(self, request: Request) -> tuple[list[dict[str, str]], str | None]:
        earlier = list(request.earlier)
        system = earlier.pop(0).content if earlier and earlier[0].role == "system" else None
        marked = sum(turn.content.count(IMAGE_MARK) for turn in earlier) + request.prompt.count(IMAGE_MARK)
        missing = len(request.images) - marked
        if missing < 0:
            raise RecordError(
                f"{marked} {IMAGE_MARK} marks but {len(request.images)} images; drop a mark or add an image"
            )
        if any(turn.role == "system" for turn in earlier):
            raise RecordError("a system turn after the first turn; put it in front or drop it")
        turns = [{"role": turn.role, "content": turn.content} for turn in earlier]
        turns.append({"role": "user", "content": IMAGE_MARK * missing + request.prompt})
        objects = {"ref": list(request.refs), "bbox": [list(box) for box in request.boxes]}
        return self._template.grounding_plugin.process_messages(turns, objects), system


def collate(prompts: Sequence[Prompt], pad_token_id: int) -> PromptBatch:
    """Put prompts side by side.

    Args:
        prompts: At least one.
        pad_token_id: What stands in front of the shorter ones; the mask hides it.
    """
    length = max(len(prompt.token_ids) for prompt in prompts)
    token_ids = np.full((len(prompts), length), pad_token_id, np.int64)
    mask = np.zeros((len(prompts), length), np.int64)
    for row, prompt in enumerate(prompts):
        token_ids[row, length - len(prompt.token_ids) :] = prompt.token_ids
        mask[row, length - len(prompt.token_ids) :] = 1
    return PromptBatch(
        token_ids=token_ids,
        mask=mask,
        patches=np.concatenate([p.patches for p in prompts if len(p.patches)] or [prompts[0].patches]),
        grids_thw=np.concatenate([prompt.grids_thw for prompt in prompts]),
    )
