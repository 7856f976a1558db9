"""What the model is really fed and trained on, written down for a reader.

Takes the trainer, by wrapping its step; leaves the first samples as text, part by part, each part with
whether the loss counts it. Tokens are decoded from the batch itself, behind template, placeholders,
truncation and packing, so that the text is what was trained and not what should have been. Knows no data
set and no template.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from paddle_ground.files import write_text

VARIABLE = "PADDLE_GROUND_TRAINED_TEXT"
"""Environment variable: the file that the first samples are written to; nothing is done without it."""
NUMBER = 3
_IGNORED = -100
_PADDING_RUN = re.compile(r"(<\|(?:image|video)_pad\|>)\1+")

Part = tuple[str, bool]


def write_first_samples() -> None:
    """Wrap the trainer's step, if the environment asks for it. Calling it again changes nothing."""
    target = os.environ.get(VARIABLE)
    from paddleformers.trainer import Trainer

    stock = Trainer.training_step
    if not target or getattr(stock, "_paddle_ground_text", False):
        return
    kept: list[list[Part]] = []

    @functools.wraps(stock)
    def training_step(self: Any, model: Any, inputs: Any, *rest: Any, **kwargs: Any) -> Any:
        if len(kept) < NUMBER and self.args.process_index == 0:
            kept.extend(_samples(inputs, self.tokenizer))
            del kept[NUMBER:]
            write_text(Path(target), json.dumps(kept, ensure_ascii=False, indent=1) + "\n")
        return stock(self, model, inputs, *rest, **kwargs)

    training_step._paddle_ground_text = True  # type: ignore[attr-defined]
    Trainer.training_step = training_step


def _samples(inputs: Any, tokenizer: Any) -> Iterator[list[Part]]:
    """Yield the samples of a batch; a packed row is parted where its row indices part it."""
    rows = inputs.get("attn_mask_startend_row_indices")
    ends = None if rows is None else rows.numpy().reshape(len(rows), rows.shape[2], -1)[..., 0]
    labels = inputs["labels"].numpy()
    for index, ids in enumerate(inputs["input_ids"].numpy()):
        start = 0
        while start < len(ids):
            end = len(ids) if ends is None else int(ends[index][start])
            own = slice(start, max(end, start + 1))
            if (labels[index][own] != _IGNORED).any():
                yield parts(ids[own].tolist(), labels[index][own].tolist(), tokenizer)
            start = own.stop


def parts(token_ids: Sequence[int], labels: Sequence[int], tokenizer: Any) -> list[Part]:
    """Part a sample's text by whether the loss counts it.

    Args:
        token_ids: Of one sample.
        labels: As many; each is the token that the model must write next, or -100.
        tokenizer: Its `decode` is used.

    Returns:
        Texts in order; joined, they are the whole sample. Runs of image tokens are written as one
        with their number.
    """
    trained = [False, *(label != _IGNORED for label in labels[:-1])]
    found: list[Part] = []
    start = 0
    for at in range(1, len(token_ids) + 1):
        if at == len(token_ids) or trained[at] != trained[start]:
            text = tokenizer.decode(list(token_ids[start:at]), skip_special_tokens=False)
            found.append((_PADDING_RUN.sub(_with_number, text), trained[start]))
            start = at
    return found


def _with_number(run: re.Match[str]) -> str:
    return f"{run[1]} x {len(run[0]) // len(run[1])} "
