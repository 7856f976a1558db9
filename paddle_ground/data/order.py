"""In which order an answer names its boxes.

Takes boxes and the name of an order, gives places. Any order that can be read off the image can be
learnt; a random one teaches a model to guess which box comes next.
"""

from __future__ import annotations

import hashlib
from typing import get_args

import numpy as np

from paddle_ground.boxes import FloatArray, IntArray, box_areas
from paddle_ground.data.choices import BoxOrder

BOX_ORDERS: tuple[BoxOrder, ...] = get_args(BoxOrder)
"""position: top to bottom, then left to right, by the box's first corner, in the model's own integers;
size: the largest first; class: by class id, then by position; source: as annotated; random: drawn anew
for each image and prompt, the same for the same seed."""


def order_boxes(
    order: BoxOrder,
    numbers: IntArray,
    boxes_xyxy_px: FloatArray,
    categories: IntArray | None,
    seed: str = "",
    images: IntArray | None = None,
) -> IntArray:
    """Give the places of boxes in an order.

    Args:
        order: One of `BOX_ORDERS`; what is equal in "size" or "class" is ordered by position.
        numbers: Shape (N, 4), the boxes in the model's integers.
        boxes_xyxy_px: Shape (N, 4), the same in pixels.
        categories: Shape (N,), class ids; None where they don't matter.
        seed: What a random order depends on.
        images: Shape (N,), ascending: which image each box is of, where they are of several. Each image's
            boxes then are ordered on their own; not at random.

    Returns:
        Shape (N,), each place once.
    """
    if order == "source":
        return np.arange(len(numbers))
    if order == "random":
        return np.array(draw_order(len(numbers), seed), dtype=np.int64)
    ids = np.zeros(len(numbers), np.int64) if categories is None else categories
    by_position = (ids, numbers[:, 2], numbers[:, 3], numbers[:, 0], numbers[:, 1])
    if order == "position":
        keys: tuple[FloatArray | IntArray, ...] = by_position
    else:
        keys = (*by_position, -box_areas(boxes_xyxy_px) if order == "size" else ids)
    places: IntArray = np.lexsort(keys if images is None else (*keys, images))
    return places


def draw_order(count: int, seed: str) -> list[int]:
    """Give that many places in a random order, the same for the same seed."""
    digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
    places: list[int] = np.random.default_rng(int.from_bytes(digest, "little")).permutation(count).tolist()
    return places
