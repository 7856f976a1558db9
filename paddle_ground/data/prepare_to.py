"""Any format in, any format out, in one go: `prepare` into a hidden folder, `convert` out of it.

Takes `PrepareOptions` and the name of a writer, gives the folder in that format. A run that was stopped goes
on where it ended; the hidden folder goes once the result is there.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from paddle_ground.data.options import PrepareOptions
from paddle_ground.data.pieces import Progress
from paddle_ground.data.prepare import PrepareReport, prepare
from paddle_ground.data.writers import ConvertReport, check_target, convert
from paddle_ground.data.writers.register import folder_name
from paddle_ground.errors import PaddleGroundError, UnwritableError


def prepare_to(
    options: PrepareOptions, to: str, preparing: Progress | None = None, converting: Progress | None = None
) -> tuple[PrepareReport, ConvertReport]:
    """Prepare a data set and write it in another format.

    Args:
        options: As for `prepare`; the output folder must be new or empty, or LLaMA-Factory's.
        to: A name in `paddle_ground.data.writers.WRITER_NAMES`.
        preparing: Told of each image that was prepared.
        converting: Told of each image that was written.

    Raises:
        ConfigError: An option is out of its range, or nobody knows the format.
        DataError: The source can't be read or the output can't be written.
    """
    out = Path(options.output_dir)
    source = options.source if options.source is not None else Path(options.dataset_repo)
    name = folder_name(source.resolve().name)
    check_target(out, to, name)
    # Hidden, and beside it: on the same file system images are linked and stored once.
    work = out.absolute().parent / f".{out.absolute().name}.prepared"
    report = prepare(replace(options, output_dir=work), preparing)
    try:
        converted = convert(work, out, to, name=name, progress=converting)
    except PaddleGroundError as error:
        # What the format can't hold it will not hold next time; a full disk is another matter.
        if not isinstance(error, UnwritableError):
            shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work, ignore_errors=True)
    return report, converted
