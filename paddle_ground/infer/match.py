"""See whether samples suit a model: same coordinates, same answer format, same prompt.

Takes a samples file's `.meta.json` and a model's `grounding.json`; gives nothing, or the reason why not.
Knows neither images nor weights.
"""

from __future__ import annotations

import logging
from pathlib import Path

from paddle_ground.errors import ModelError
from paddle_ground.records import GroundingConfig, meta_path, read_meta, samples_space
from paddle_ground.spaces import CoordinateSpace

LOGGER = logging.getLogger(__name__)


def check_match(samples_path: Path, trained: GroundingConfig | None, space: CoordinateSpace) -> None:
    """Refuse samples that speak other coordinates or answers than the model was tuned on.

    Says aloud where the samples don't tell, or their prompt differs.

    Args:
        samples_path: samples.jsonl; its meta file is looked for beside it.
        trained: How the model was tuned; none for a checkpoint that doesn't say, which is taken for one as
            published: its family's coordinates, either answer format.
        space: What it speaks.

    Raises:
        ModelError: They don't match.
        RecordError: The samples' meta file is wrong.
    """
    path = meta_path(samples_path)
    if not path.is_file():
        LOGGER.warning("%s: not there, so nothing tells whether these samples suit the model", path)
        return
    meta = read_meta(path)
    if meta.coordinate_space != space.name:
        raise _mismatch(path, "coordinate space", meta.coordinate_space, space.name)
    ours = samples_space(meta)
    if ours != space:
        raise _mismatch(path, "resizing of the images", str(ours.resize), str(space.resize))
    if trained is None:
        return
    if meta.answer_format != trained.answer_format:
        raise _mismatch(path, "answer format", meta.answer_format, trained.answer_format)
    if meta.prompt != trained.prompt:
        LOGGER.warning("%s: asks %r, but the model was tuned on %r", path, meta.prompt, trained.prompt)


def _mismatch(path: Path, what: str, samples: str, model: str) -> ModelError:
    return ModelError(
        f"{path}: {what} is {samples!r}, but the model was tuned on {model!r}; "
        "prepare the samples for this model, or name a model that was tuned on them"
    )
