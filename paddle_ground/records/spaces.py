"""Which numbers a samples file speaks: from its meta to a coordinate space.

Takes a `SamplesMeta`, gives a `CoordinateSpace`. Knows no file.
"""

from __future__ import annotations

from paddle_ground.errors import BoxError, RecordError
from paddle_ground.records.meta import SamplesMeta
from paddle_ground.resize import Resize
from paddle_ground.spaces import ABSOLUTE_RESIZED, CoordinateSpace, coordinate_space


def samples_space(meta: SamplesMeta) -> CoordinateSpace:
    """Give the coordinate space of a file's samples.

    Args:
        meta: Of the file. Of absolute pixels its settings say of which image they are.

    Raises:
        RecordError: Nobody knows the space, or the settings don't say enough.
    """
    name = meta.coordinate_space
    try:
        return coordinate_space(
            name, Resize.from_settings(meta.settings) if name == ABSOLUTE_RESIZED else None
        )
    except BoxError as error:
        raise RecordError(str(error)) from error
