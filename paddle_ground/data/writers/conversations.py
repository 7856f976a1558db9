"""Prepared data as ms-swift's and LLaMA-Factory's conversations.

Takes a split, gives their JSON. ms-swift gets marks, names and exact pixel boxes (`bbox_type: real`), and
makes of them what its model wants; LLaMA-Factory knows no boxes, and gets the answers' text as the model is
to write it.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paddle_ground.answers import AnswerFormat, fill_marks
from paddle_ground.data.writers.losses import ConversationLosses
from paddle_ground.data.writers.pairs import exact_pairs
from paddle_ground.files import atomic_writer
from paddle_ground.records import Sample, read_samples
from paddle_ground.records.samples import BOX_MARK, REF_MARK

if TYPE_CHECKING:
    from paddle_ground.data.writers import Images, Split

# LLaMA-Factory's own tags; a system turn stands in front of the others.
_FROM = {"user": "human", "assistant": "gpt", "system": "system"}


def write_swift(split: Split, out: Path, images: Images) -> Counter[str]:
    """Write `<split>.jsonl` in ms-swift's grounding format, and images/."""
    counts: Counter[str] = Counter()
    losses = ConversationLosses(split.samples_path)
    with atomic_writer(out / f"{split.name}.jsonl") as stream:
        for sample, row in exact_pairs(split):
            line: dict[str, Any] = {
                "messages": [{"role": turn.role, "content": turn.content} for turn in row.turns],
                "images": list(sample.images),
            }
            if row.refs or len(row.boxes_xyxy_px):
                boxes = np.round(row.boxes_xyxy_px, 3).tolist()
                line["objects"] = {"ref": list(row.refs), "bbox": boxes, "bbox_type": "real"}
                if len(sample.images) > 1:
                    line["objects"]["image_id"] = row.box_images.tolist()
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            _put(split, sample, out, images)
            counts.update(samples=1, boxes=len(row.boxes_xyxy_px))
            losses.add(sample)
    return counts + losses.counts()


def write_llamafactory(split: Split, out: Path, images: Images) -> Counter[str]:
    """Write `<split>.json` in ShareGPT's form, and images/; see `register` for its entry."""
    counts: Counter[str] = Counter()
    losses = ConversationLosses(split.samples_path)
    with atomic_writer(out / f"{split.name}.json") as stream:
        stream.write("[")
        between = "\n"
        for sample in read_samples(split.samples_path):
            stream.write(between + json.dumps(_sharegpt(sample, images.prefix), ensure_ascii=False))
            between = ",\n"
            _put(split, sample, out, images)
            counts.update(samples=1, boxes=len(sample.boxes))
            losses.add(sample)
        stream.write("\n]\n")
    return counts + losses.counts()


def _sharegpt(sample: Sample, prefix: str) -> dict[str, Any]:
    refs, boxes = iter(sample.refs), iter(sample.boxes)
    turns = []
    for message in sample.messages:
        own = [next(refs) for _ in range(message.content.count(REF_MARK))]
        corners = [next(boxes) for _ in range(message.content.count(BOX_MARK))]
        text = fill_marks(message.content, own, corners, AnswerFormat.TOKENS)
        turns.append({"from": _FROM[message.role], "value": text})
    return {"conversations": turns, "images": [prefix + name for name in sample.images]}


def _put(split: Split, sample: Sample, out: Path, images: Images) -> None:
    for name in sample.images:
        images.put(split.samples_path, name, out / name)
