"""The exception tree. Takes nothing, gives types, knows no other module.

    PaddleGroundError            everything this package raises on purpose
    |-- BoxError                 numbers that are no boxes, an unknown coordinate space
    |-- AnswerError              text that can't be rendered or an unknown answer format
    |-- RecordError              a line or a file that breaks one of the contracts in `records`
    |-- DataError                a source data set or an output folder that can't be used
    |   |-- DownloadError        a data set or model that can't be fetched
    |   |-- UnwritableError      a folder or file that can't be written
    |   `-- LostWorkerError      a machine or process that went away while others count on it
    |-- ConfigError              a wrong option, YAML key or combination of them
    |-- ModelError               a checkpoint that can't be built, loaded or matched to its data
    |-- TrainError               a training run that can't start or that stopped
    |-- EvaluationError          predictions and truth that can't be compared
    `-- MissingExtraError        an optional dependency that is not installed

Each message is one line: where (`file:line`), what was found, what was expected, the way out.
The command line prints that line and exits with 2.
"""

from __future__ import annotations


class PaddleGroundError(Exception):
    """The root: catch this to catch everything that this package raises on purpose."""


class BoxError(PaddleGroundError):
    """Numbers that are not boxes, or a coordinate space that nobody knows."""


class AnswerError(PaddleGroundError):
    """An answer that can't be rendered, or an answer format that nobody knows."""


class RecordError(PaddleGroundError):
    """A line or a file that breaks one of the contracts in `paddle_ground.records`."""


class DataError(PaddleGroundError):
    """A source data set that can't be read, or an output that can't be written."""


class DownloadError(DataError):
    """A data set or a model that can't be fetched."""


class UnwritableError(DataError):
    """A place that can't be written: a wrong path, no permission, a full disk."""


class LostWorkerError(DataError):
    """A worker process that ended without a result; what others did can be used again."""


class ConfigError(PaddleGroundError):
    """An option, a YAML key or a combination of them that can't work."""


class ModelError(PaddleGroundError):
    """A checkpoint that can't be built, loaded, or matched to its data."""


class TrainError(PaddleGroundError):
    """A training run that can't start, or that stopped before its end."""


class EvaluationError(PaddleGroundError):
    """Predictions and truth that can't be compared with each other."""


class MissingExtraError(PaddleGroundError):
    """An optional dependency that is not installed.

    Args:
        feature: What the user asked for, to open the message.
        package: The package that is missing.
        extra: The extra of `paddle_ground` that brings it.
    """

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the package `{package}`; install it with `pip install 'paddle_ground[{extra}]'`"
        )
        self.feature = feature
        self.package = package
        self.extra = extra
