"""Find a place for the name of each box: inside the picture, by its box, clear of other names.

Takes rectangles and sizes in whole pixels, gives rectangles. Knows no text and no picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rect:
    """Whole pixels; right and bottom are the first ones outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Columns covered."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows covered."""
        return self.bottom - self.top

    @property
    def area(self) -> int:
        """Pixels covered."""
        return self.width * self.height

    def inclusive(self) -> tuple[int, int, int, int]:
        """Give the corners as Pillow draws them: the last pixel belongs to the rectangle."""
        return self.left, self.top, self.right - 1, self.bottom - 1

    def overlap(self, other: Rect) -> int:
        """Count the pixels that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0) * max(height, 0)


def place_tags(
    boxes: Sequence[Rect], tag_sizes_wh: Sequence[tuple[int, int]], picture_wh: tuple[int, int]
) -> list[Rect]:
    """Place one tag a box.

    Tried in this order: above the box, inside its top, below it, inside its bottom, each flush with its
    left and its right side, then beside it, then further up and down. The first place that hides nothing
    wins; else the one that hides least: names count most, then boxes, small ones more than large ones.
    Small boxes choose first, since they have fewest good places.

    Args:
        boxes: In the picture.
        tag_sizes_wh: Width and height of each tag.
        picture_wh: No tag leaves it, unless the tag is larger than the picture.

    Returns:
        One rectangle a box, in the order of `boxes`.
    """
    placed: list[Rect | None] = [None] * len(boxes)
    taken: list[Rect] = []
    for index in sorted(range(len(boxes)), key=lambda index: boxes[index].area):
        best = min(
            (
                (_cost(place, taken, boxes), rank, place)
                for rank, place in enumerate(_places(boxes[index], tag_sizes_wh[index], picture_wh))
            ),
            key=lambda option: option[:2],
        )[2]
        placed[index] = best
        taken.append(best)
    return [place for place in placed if place is not None]


def _places(box: Rect, size_wh: tuple[int, int], picture_wh: tuple[int, int]) -> list[Rect]:
    width, height = size_wh
    by_height = [box.top - height, box.top, box.bottom, box.bottom - height]
    middle = (box.top + box.bottom - height) // 2
    further = [box.top - 2 * height, box.bottom + height, box.top - 3 * height, box.bottom + 2 * height]
    corners = [
        *((left, top) for top in by_height for left in (box.left, box.right - width)),
        *((left, top) for top in (middle, box.top) for left in (box.right, box.left - width)),
        *((left, top) for top in further for left in (box.left, box.right - width)),
    ]
    return [_inside(left, top, size_wh, picture_wh) for left, top in corners]


def _inside(left: int, top: int, size_wh: tuple[int, int], picture_wh: tuple[int, int]) -> Rect:
    width, height = size_wh
    left = max(0, min(left, picture_wh[0] - width))
    top = max(0, min(top, picture_wh[1] - height))
    return Rect(left, top, left + width, top + height)


def _cost(place: Rect, taken: Sequence[Rect], boxes: Sequence[Rect]) -> float:
    """Weigh what a tag here would hide; 1 is a tag's worth of names, or the whole of a box."""
    hidden_names = sum(place.overlap(tag) for tag in taken) / max(place.area, 1)
    hidden_boxes = sum(place.overlap(box) / max(box.area, 1) for box in boxes)
    # A few per cent of a large box are no loss, and should not drive its tag away.
    return 4 * hidden_names + max(hidden_boxes - 0.12, 0.0)
