"""Prepared data as it is, in another folder: PaddleFormers messages with meta and truth.

Takes a split, gives the same files; images go by their names.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from paddle_ground.files import atomic_writer
from paddle_ground.records import meta_path, read_samples, truth_path

if TYPE_CHECKING:
    from paddle_ground.data.writers import Images, Split


def write_paddle(split: Split, out: Path, images: Images) -> Counter[str]:
    """Write `<split>.jsonl` and what stands beside it, byte for byte."""
    counts: Counter[str] = Counter()
    for sample in read_samples(split.samples_path):
        for name in sample.images:
            images.put(split.samples_path, name, out / name)
        counts.update(samples=1, boxes=len(sample.boxes))
    target = out / f"{split.name}.jsonl"
    pairs = [(find(split.samples_path), find(target)) for find in (truth_path, meta_path)]
    for source, copy in [pair for pair in pairs if pair[0].is_file()] + [(split.samples_path, target)]:
        with atomic_writer(copy, binary=True) as stream:
            stream.write(source.read_bytes())
    return counts
