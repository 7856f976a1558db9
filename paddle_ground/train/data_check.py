"""Check the samples that a run will read, before it is started.

Takes samples files; gives one line for each problem. Upstream symptom: PaddleFormers puts another
sample, drawn at random, in the place of one whose image is missing, and says so in a log only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from paddle_ground.errors import RecordError
from paddle_ground.records import read_samples, resolve_image

_NAMED = 3


def sample_problems(samples_path: str | os.PathLike[str]) -> Iterator[str]:
    """Give what is wrong with a samples file.

    Args:
        samples_path: A samples file in the messages format.

    Yields:
        One line for the first record that cannot be read, or for all images that are missing:
        how many, and the first three with file and line.
    """
    missing: list[str] = []
    count = 0
    try:
        for number, sample in enumerate(read_samples(samples_path), start=1):
            for image in sample.images:
                path = resolve_image(samples_path, image)
                if path.is_file():
                    continue
                count += 1
                if len(missing) < _NAMED:
                    missing.append(f"{Path(samples_path)}:{number}: {image}")
    except RecordError as error:
        yield str(error)
        return
    if count:
        more = f" and {count - len(missing)} more" if count > len(missing) else ""
        yield f"{count} images do not exist ({', '.join(missing)}{more}); prepare the data again"
