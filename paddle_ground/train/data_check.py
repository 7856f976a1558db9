"""Check the samples that a run will read, before it is started.

Takes samples files and the YAML's keys; gives one line for each problem. Upstream symptoms: PaddleFormers
puts another sample, drawn at random, in the place of one whose image is missing, and says so in a log
only; and it shuffles a file whose order was the point.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from paddle_ground.errors import RecordError
from paddle_ground.records import meta_path, read_meta, read_samples, resolve_image

_NAMED = 3


def sample_problems(samples_path: str | os.PathLike[str]) -> Iterator[str]:
    """Give what is wrong with a samples file.

    Args:
        samples_path: A samples file in the messages format.

    Yields:
        One line for the first record that cannot be read, or for all images that are missing:
        how many, and the first three with file and line; one where there is no sample at all.
    """
    missing: list[str] = []
    count = number = 0
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
    if not number:
        yield f"{Path(samples_path)}: holds no sample; prepare the data again"
    if count:
        more = f" and {count - len(missing)} more" if count > len(missing) else ""
        yield f"{count} images do not exist ({', '.join(missing)}{more}); prepare the data again"


def order_problems(samples_path: str | os.PathLike[str], keys: Mapping[str, Any]) -> Iterator[str]:
    """Tell where a course (`prepare --curriculum`) would be trained in another order than its file's.

    Args:
        samples_path: A samples file to train on; one without a meta file is no course.
        keys: Of the training YAML.

    Yields:
        One line, with the keys to set.
    """
    try:
        parts = read_meta(meta_path(samples_path)).settings.get("curriculum.parts")
    except RecordError:
        return
    needed = ["random_shuffle"]
    # Only a map data set is drawn from by the loader's own sampler.
    if str(keys.get("dataset_type", "")) == "map":
        needed.append("dataloader_shuffle")
    shuffled = [f"{key}: false" for key in needed if keys.get(key, True) is not False]
    if parts and shuffled:
        yield (
            f"{samples_path} is a course of {parts} parts, to be trained in the order of the file; "
            f"set {' and '.join(shuffled)}"
        )
