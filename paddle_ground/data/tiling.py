"""Cuts images that are larger than a tile into overlapping tiles, in train and in val.

Takes a picture, gives its tiles, or itself where it is no larger. A model that sees a picture of many
megapixels at the trainer's resolution does not see its small objects at all; in a tile it does. The
grid and the defaults are those of SAHI's `slice_coco` (Akyon et al. 2022): the last tile of a row or
column is moved back so that it ends at the border, and an object belongs to a tile that holds a tenth
of its area. Unlike there, what a tile holds of the other objects stays in the truth as a crowd box.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from paddle_ground.data.augment.picture import Picture
from paddle_ground.data.augment.rows import Visibility, Window
from paddle_ground.errors import ConfigError

_LEAST_TILE_PX = 32


@dataclass(frozen=True, slots=True)
class TileOptions:
    """How images are tiled.

    Attributes:
        tile_px: Width and height of a tile in pixels; an image is cut along a side that is longer.
        overlap: How much of a tile's side neighbours share at least, 0 to less than 1. An object no
            larger than that is whole in some tile.
        min_visible: The least share of an object's area that a tile must hold for it to be answered.
        keep_empty: The share of training tiles without any part of an object that is kept, 0..1. Of
            val all are kept, so that false alarms count as they would in use.

    Raises:
        ConfigError: A number is out of its range.
    """

    tile_px: int = 640
    overlap: float = 0.2
    min_visible: float = 0.1
    keep_empty: float = 0.2

    def __post_init__(self) -> None:
        """Refuse numbers out of their range."""
        if self.tile_px < _LEAST_TILE_PX:
            raise ConfigError(f"tile is {self.tile_px} pixels; it must be {_LEAST_TILE_PX} or more")
        if not 0 <= self.overlap <= 0.9:
            raise ConfigError(f"tile_overlap is {self.overlap:g} of a tile's side; it must be 0 to 0.9")
        for name, value in (("tile_min_visible", self.min_visible), ("tile_keep_empty", self.keep_empty)):
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value:g}; it must be 0 to 1")


def tile_windows(size_wh: tuple[int, int], options: TileOptions) -> list[Window]:
    """Lay a grid of tiles over an image, row by row; one that is the image if it is no larger."""
    columns, rows = (_starts(side, options) for side in size_wh)
    width, height = (min(side, options.tile_px) for side in size_wh)
    return [(x, y, x + width, y + height) for y in rows for x in columns]


def _starts(side: int, options: TileOptions) -> list[int]:
    last = side - options.tile_px
    if last <= 0:
        return [0]
    step = options.tile_px - int(options.tile_px * options.overlap)
    return [*range(0, last, step), last]


class Tiling:
    """The stage that cuts large pictures into tiles, named `_t<x>x<y>` after their upper left corner."""

    def __init__(self, options: TileOptions) -> None:
        """Take the options."""
        self._options = options
        self._visibility = Visibility(options.min_visible)

    def fresh(self) -> Tiling:
        """Give itself: it remembers nothing."""
        return self

    def __call__(self, picture: Picture) -> Iterator[Picture]:
        """Yield the tiles that are kept, or the picture as it is where it is no larger than one.

        Raises:
            DataError: It can't be decoded.
        """
        windows = tile_windows(picture.size_wh, self._options)
        if len(windows) == 1:
            yield picture
            return
        for window in windows:
            tile = replace(picture, suffix=f"{picture.suffix}_t{window[0]}x{window[1]}")
            size = (window[2] - window[0], window[3] - window[1])
            # Boxes that are none are told of once, in the first tile.
            tile = tile.through(window, size, self._visibility, keep_unusable=window[:2] == (0, 0))
            if self._is_kept(tile, picture):
                yield tile

    def _is_kept(self, tile: Picture, whole: Picture) -> bool:
        if whole.row.referrals:
            return bool(tile.row.referrals)
        if tile.has_object or tile.split != "train":
            return True
        # A tile with a sliver of an object is neither empty nor an example of anything.
        is_empty = len(tile.row.boxes_xyxy_px) == 0
        return is_empty and tile.generator("empty").random() < self._options.keep_empty
