"""Options -> the expander that `prepare` puts between a source and its records.

A row goes through the stages one after the other: tiles, then the parts of a curriculum, then altered
copies. Its image is decoded once at most, and encoded once for each variant that was changed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from paddle_ground.data.augment.picture import Picture, Pixels, Stage
from paddle_ground.data.augment.stage import Augmentation, AugmentOptions
from paddle_ground.data.curriculum import Curriculum, CurriculumOptions
from paddle_ground.data.expand import Expander, ImageBytes, Unchanged, Variant, content_key
from paddle_ground.data.source import SourceRow
from paddle_ground.data.tiling import TileOptions, Tiling
from paddle_ground.errors import DataError


def expander(
    augment: AugmentOptions | None = None,
    tile: TileOptions | None = None,
    curriculum: CurriculumOptions | None = None,
    *,
    seed: int,
    class_names: Sequence[str],
) -> Expander:
    """Make an expander.

    Args:
        augment: How to vary training images; None for not at all.
        tile: How to cut large images; None for not at all.
        curriculum: How to go from objects to whole images; None for whole images only.
        seed: Of everything that is drawn, 0 or more.
        class_names: By category id.
    """
    stages: list[Stage] = []
    if tile is not None:
        stages.append(Tiling(tile))
    if curriculum is not None:
        stages.append(Curriculum(curriculum))
    if augment is not None:
        stages.append(Augmentation(augment, class_names))
    return Staged(stages, seed) if stages else Unchanged()


def expander_settings(
    augment: AugmentOptions | None, tile: TileOptions | None, curriculum: CurriculumOptions | None
) -> dict[str, str]:
    """Name every option that the output depends on, for the meta file; nothing for what is not used."""
    named = {"augment": augment, "tile": tile, "curriculum": curriculum}
    return {
        f"{name}.{field}": repr(value)
        for name, options in named.items()
        if options is not None
        for field, value in asdict(options).items()
    }


class Staged:
    """The expander that sends each row through a chain of stages."""

    def __init__(self, stages: Sequence[Stage], seed: int) -> None:
        """Take the stages in their order, and the seed."""
        self._stages = tuple(stages)
        self._seed = seed

    def fresh(self) -> Staged:
        """Give one with stages that have seen no picture."""
        return Staged([stage.fresh() for stage in self._stages], self._seed)

    def expand(
        self, row: SourceRow, data: ImageBytes, size_wh: tuple[int, int], split: str
    ) -> Iterator[Variant]:
        """Yield what the stages make of a row; see `Expander.expand`."""
        # By content and id, not by place: the same on every machine, in every order, and where a data
        # set grows.
        seed = (self._seed, zlib.crc32(data), len(data), row.image_id & 0xFFFF_FFFF_FFFF_FFFF)
        picture = Picture(row, size_wh, Pixels(data=data), split, (content_key(data),), seed=seed)
        try:
            yield from map(_variant, self._run(picture, self._stages))
        except DataError as error:
            raise DataError(f"{row.where}: {error}; replace it, or pass --bad-images skip") from error

    def _run(self, picture: Picture, stages: tuple[Stage, ...]) -> Iterator[Picture]:
        if not stages:
            yield picture
            return
        for result in stages[0](picture):
            yield from self._run(result, stages[1:])


def _variant(picture: Picture) -> Variant:
    row = picture.row
    if picture.suffix:
        data = picture.pixels.data
        place = f"{row.where}{picture.suffix}"
        row = replace(row, where=place, size_wh=picture.size_wh, read_image=lambda: data)
    return Variant(row, picture.pixels.data, picture.suffix, picture.part, picture.sources)
