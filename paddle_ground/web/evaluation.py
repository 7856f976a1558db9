"""An evaluation that the page starts: predict, eval and report, in a folder below the one of `--runs`.

Takes a model, a samples file and a limit; gives the commands, how far they are, and what came out. The
folder's name says what is evaluated, so that the same evaluation goes on where it was stopped. Knows no page.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paddle_ground.data.readers.inside import find_inside
from paddle_ground.errors import ConfigError, DataError
from paddle_ground.files import write_text
from paddle_ground.records import truth_path
from paddle_ground.web.work import Step

FOLDER = "evaluations"
REPORT = "index.html"
_ABOUT, _PREDICTIONS, _METRICS = "evaluation.json", "predictions.jsonl", "metrics.json"
_NAME = re.compile(r"(?!\.+$)[\w.-]{1,200}")  # dots alone are a way up


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is evaluated on what.

    Attributes:
        model: Its name, as the page lists it.
        samples: The file's path, as the page lists it.
        limit: So many samples at most; none for all.
    """

    model: str
    samples: str
    limit: int | None = None

    @property
    def name(self) -> str:
        """Name its folder: no two evaluations have one."""
        digest = hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:6]
        first = f"-first-{self.limit}" if self.limit else ""
        return f"{_slug(self.model)}-{_slug(self.samples.removesuffix('.jsonl'))}{first}-{digest}"


@dataclass(frozen=True, slots=True)
class EvaluationFiles:
    """Where an evaluation lies.

    Attributes:
        folder: Its own.
        model: The model's folder.
        samples: The samples file.
        limit: As in `Evaluation`.
    """

    folder: Path
    model: Path
    samples: Path
    limit: int | None

    @property
    def steps(self) -> list[Step]:
        """Give the commands; samples without exact boxes are scored, and have no report."""
        samples, folder = str(self.samples), str(self.folder)
        predictions = str(self.folder / _PREDICTIONS)
        some = ["--limit", str(self.limit)] if self.limit else []
        part = ["--only-predicted"] if self.limit else []
        steps = [
            Step("predict", ("predict", samples, str(self.model), "--output", predictions, *some)),
            Step("eval", ("eval", predictions, samples, "--output", folder, *part)),
        ]
        if truth_path(self.samples).is_file():
            report = ("report", predictions, "--truth", samples, "--output", folder, *part)
            steps.append(Step("report", report))
        return steps

    def prepare(self, evaluation: Evaluation, anew: bool) -> None:
        """Say what the folder is about, and take away what another end of it would contradict.

        Args:
            evaluation: Is said.
            anew: Whether earlier answers go as well.
        """
        answers = [_PREDICTIONS, Path(_PREDICTIONS).with_suffix(".run.json").name] if anew else []
        for name in (_METRICS, REPORT, *answers):
            (self.folder / name).unlink(missing_ok=True)
        write_text(self.folder / _ABOUT, json.dumps(asdict(evaluation), ensure_ascii=False) + "\n")

    def total(self) -> int:
        """Count the samples that are to be answered."""
        lines = _lines(self.samples)
        return min(lines, self.limit) if self.limit else lines

    def answered(self) -> int:
        """Count the samples that were answered."""
        return _lines(self.folder / _PREDICTIONS)


def list_evaluations(root: Path) -> list[Evaluation]:
    """List what was evaluated to its end, the last one first.

    Args:
        root: The folder of `--runs`.
    """
    found = []
    for path in (root / FOLDER).glob(f"*/{_METRICS}"):
        about = _read(path.with_name(_ABOUT))
        try:
            one = Evaluation(str(about["model"]), str(about["samples"]), about["limit"])
            # A folder that was moved or edited is none of ours.
            if one.name == path.parent.name:
                found.append((path.stat().st_mtime, one.name, one))
        except (OSError, KeyError, TypeError):
            continue
    return [one for _, _, one in sorted(found, key=lambda known: known[:2], reverse=True)]


def find_file(root: Path, name: str | None, file: str) -> Path:
    """Find a file of an evaluation.

    Args:
        root: The folder of `--runs`.
        name: The evaluation's, from anybody.
        file: Its name.

    Raises:
        ConfigError: There is no such evaluation, or it has no such file.
    """
    if not name or not _NAME.fullmatch(name):
        raise ConfigError("no such evaluation; choose one of the list")
    try:
        return find_inside(root, f"{FOLDER}/{name}/{file}", [root], "evaluation")
    except DataError:
        raise ConfigError(f"{name}: no {file} there; start the evaluation again") from None


def metrics_path(root: Path, name: str) -> Path:
    """Find the metrics of an evaluation; see `find_file`."""
    return find_file(root, name, _METRICS)


def headline(root: Path, name: str) -> list[tuple[str, str]]:
    """Give the metrics that count most.

    Args:
        root: The folder of `--runs`.
        name: The evaluation's.

    Returns:
        Key of the page's words, and the number as it is shown.

    Raises:
        ConfigError: It has no metrics, or they can't be read.
    """
    found = _read(metrics_path(root, name))
    rates = found.get("rates") or {}
    if isinstance(rates, dict) and rates.get("phrases"):
        found["referring_acc_50"] = rates.get("referring_acc_50")
    rows = [(f"metric_{key}", f"{100 * found[key]:.1f} %") for key in _SHARES if _is_number(found.get(key))]
    rows += [(f"metric_{key}", f"{found[key]:.1f}") for key in _TEXT_SCORES if _is_number(found.get(key))]
    rows += [(f"metric_{key}", f"{found[key]:.0f}") for key in _COUNTS if _is_number(found.get(key))]
    if not rows:
        raise ConfigError(f"{name}: its metrics can't be read; start the evaluation again")
    return rows


_SHARES = (
    "ap", "ap50", "ap75", "f1_50", "precision_50", "recall_50", "mean_iou", "referring_acc_50", "parse_rate",
)  # fmt: skip
_TEXT_SCORES = ("bleu_4", "rouge_1", "rouge_2", "rouge_l")
_COUNTS = ("images", "truth_boxes", "predicted_boxes", "answers")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lines(path: Path) -> int:
    try:
        with path.open("rb") as stream:
            return sum(1 for line in stream if line.strip())
    except OSError:
        return 0


def _slug(name: str) -> str:
    last = re.sub(r"[^\w.-]+", "-", name).strip("-.")[-60:]
    # A folder's name has 255 bytes, of which two of these, a limit and a digest have to make do.
    return last.encode()[-100:].decode(errors="ignore") or "model"
