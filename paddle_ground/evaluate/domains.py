"""Sets of data to be scored apart: the one that was trained for, and others where forgetting would show.

Takes what the command line says, gives `Domain`s, measures them and writes their files. Prints nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paddle_ground.errors import EvaluationError
from paddle_ground.evaluate.compare import (
    COMPARE_NAME,
    RESAMPLES,
    Comparison,
    compare_files,
    render_comparison,
)
from paddle_ground.evaluate.curve_pictures import draw_curves
from paddle_ground.evaluate.detection import DetectionMetrics
from paddle_ground.evaluate.report import CLASSES_SHOWN, render_report
from paddle_ground.evaluate.run import METRICS_NAME, evaluate_files
from paddle_ground.records import truth_path

_NAME = re.compile(r"[\w-][\w.-]*")


@dataclass(frozen=True, slots=True)
class Domain:
    """One set of data.

    Attributes:
        name: "" for the set that was trained for.
        predictions: One file, or two: A and B.
        samples: The samples that were predicted, or their truth.
    """

    name: str
    predictions: tuple[Path, ...]
    samples: Path

    @property
    def truth(self) -> Path:
        """The truth of the samples."""
        return truth_path(self.samples) if self.samples.suffix == ".jsonl" else self.samples


@dataclass(frozen=True, slots=True)
class Scoring:
    """How to score.

    Attributes:
        iou_threshold: From which on a box counts as found.
        resamples: Drawings of the bootstrap.
        seed: Of the bootstrap.
        classes: How many classes a table shows.
        only_predicted: Leave out images without a prediction; for one predictions file.
    """

    iou_threshold: float = 0.5
    resamples: int = RESAMPLES
    seed: int = 0
    classes: int = CLASSES_SHOWN
    only_predicted: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out for one set.

    Attributes:
        domain: The set.
        metrics: Of each predictions file.
        comparison: Of the two files, if there are two.
        written: Files that were written.
    """

    domain: Domain
    metrics: tuple[DetectionMetrics, ...]
    comparison: Comparison | None
    written: tuple[Path, ...]

    def to_json(self) -> dict[str, object]:
        """Give metrics as `metrics.json` holds them; for two files "a", "b" and "comparison"."""
        if self.comparison is None:
            return self.metrics[0].to_json()
        a, b = (metrics.to_json() for metrics in self.metrics)
        return {"a": a, "b": b, "comparison": self.comparison.to_json()}

    def rows(self) -> list[tuple[str, DetectionMetrics]]:
        """Name each file's metrics for `render_table`."""
        name = self.domain.name or "in domain"
        if self.comparison is None:
            return [(name, self.metrics[0])]
        return [(f"{name}: {letter}", one) for letter, one in zip("AB", self.metrics, strict=True)]

    def render(self, classes: int) -> str:
        """Lay out everything about this set."""
        parts = [f"== {self.domain.name} (out of domain) =="] if self.domain.name else []
        if self.comparison is None:
            parts.append(render_report(self.domain.predictions[0].stem, self.metrics[0], classes))
        else:
            a, b = self.domain.predictions
            parts.append(f"A = {a}\nB = {b}")
            parts.append(render_comparison(self.comparison))
        parts.append("\n".join(f"wrote {path}" for path in self.written))
        return "\n\n".join(parts)


def parse_domain(text: str, files: int) -> Domain:
    """Read NAME=PREDICTIONS:SAMPLES, or NAME=A:B:SAMPLES where two models are compared.

    Args:
        text: What was given.
        files: How many predictions files there must be, 1 or 2.

    Raises:
        EvaluationError: It reads otherwise.
    """
    name, is_given, rest = text.partition("=")
    paths = [Path(part) for part in rest.split(":") if part]
    if not is_given or not _NAME.fullmatch(name) or len(paths) != files + 1:
        form = "NAME=PREDICTIONS:SAMPLES" if files == 1 else "NAME=A:B:SAMPLES"
        raise EvaluationError(
            f"--out-of-domain {text!r}: expected {form}, with a name of letters, digits, dots and dashes"
        )
    return Domain(name, tuple(paths[:-1]), paths[-1])


def measure(domain: Domain, output: Path, scoring: Scoring) -> Measured:
    """Score one set and write metrics.json and curves; for two files into `a` and `b`, with compare.json.

    Raises:
        PaddleGroundError: See `evaluate_files` and `compare_files`.
    """
    folders = [output] if len(domain.predictions) == 1 else [output / "a", output / "b"]
    metrics: list[DetectionMetrics] = []
    written: list[Path] = []
    for predictions, folder in zip(domain.predictions, folders, strict=True):
        metrics.append(
            evaluate_files(predictions, domain.truth, folder, scoring.iou_threshold, scoring.only_predicted)
        )
        written += [folder / METRICS_NAME, *draw_curves(metrics[-1].curves, folder)]
    comparison = _compare(domain.predictions, domain.truth, output, scoring)
    written += [output / COMPARE_NAME] if comparison else []
    return Measured(domain, tuple(metrics), comparison, tuple(written))


def _compare(predictions: Sequence[Path], truth: Path, output: Path, scoring: Scoring) -> Comparison | None:
    if len(predictions) != 2:
        return None
    a, b = predictions
    return compare_files(
        a, b, truth, output, scoring.iou_threshold, resamples=scoring.resamples, seed=scoring.seed
    )
