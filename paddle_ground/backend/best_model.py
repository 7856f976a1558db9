"""The best model so far by a grounding metric, and the end of a run that gains no more.

Takes the metrics of each evaluation inside training; gives `best` in the run's folder, a whole model or
adapter with `best.json`, swapped in by renaming, and says when to stop. A run that goes on knows both again
from the files. Knows no model and evaluates nothing.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.backend.settings import BEST_FOLDER
from paddle_ground.files import write_text

BEST_FILE = "best.json"
_NEW, _OLD = f"{BEST_FOLDER}.part", f"{BEST_FOLDER}.old"


@dataclass(frozen=True, slots=True)
class Best:
    """A model's place in the run.

    Attributes:
        metric: Its name, `eval_ap50` for example.
        value: What the model reached; larger is better.
        step: After which it did.
    """

    metric: str
    value: float
    step: int


class BestModel:
    """Keeps the best model of a run.

    Args:
        run: The run's folder.
        metric: What to compare.
        save: Writes the model into a folder; called by every process of the run.
        together: Waits for the other processes.
        is_first: Whether this process renames and deletes.
    """

    def __init__(
        self,
        run: Path,
        metric: str,
        save: Callable[[Path], None],
        together: Callable[[], None],
        is_first: bool,
    ) -> None:
        self._run, self._metric, self._save = run, metric, save
        self._together, self._is_first = together, is_first
        self.best: Best | None = None

    def begin(self, step: int) -> None:
        """Take up what an earlier part of the run left; a new run clears it away.

        Args:
            step: The checkpoint's; 0 for a new run.
        """
        if self._is_first:
            settle(self._run, keep=step > 0)
        self._together()
        self.best = read_best(self._run / BEST_FOLDER)
        if self.best is not None and self.best.metric != self._metric:
            self.best = None

    def offer(self, metrics: Mapping[str, float], step: int) -> bool:
        """Keep the model if it is better than any before; tell whether it was.

        Args:
            metrics: By name; every process must give the same.
            step: Now.
        """
        value = metrics[self._metric]
        if math.isnan(value) or (self.best is not None and value <= self.best.value):
            return False
        new = self._run / _NEW
        if self._is_first and new.exists():
            shutil.rmtree(new)
        self._together()
        self._save(new)
        self._together()
        self.best = Best(self._metric, value, step)
        if self._is_first:
            entry = {"metric": self._metric, "value": value, "step": step, "metrics": dict(metrics)}
            write_text(new / BEST_FILE, json.dumps(entry, indent=1) + "\n")
            _swap(self._run)
        self._together()
        return True


def read_best(folder: Path) -> Best | None:
    """Read what a `best` folder holds; none where it is missing or not whole."""
    try:
        entry: dict[str, Any] = json.loads((folder / BEST_FILE).read_text(encoding="utf-8"))
        return Best(str(entry["metric"]), float(entry["value"]), int(entry["step"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def settle(run: Path, keep: bool) -> None:
    """Bring the folders of a killed run in order: a whole `best`, or none.

    Args:
        run: The run's folder.
        keep: Whether an earlier best model counts.
    """
    new, old, best = run / _NEW, run / _OLD, run / BEST_FOLDER
    if keep and read_best(new) is not None:  # It was whole, and on the way to its name.
        _swap(run)
    elif keep and not best.exists() and old.exists():
        old.rename(best)
    stale = (new, old) if keep or read_best(best) is None else (new, old, best)
    for folder in stale:
        shutil.rmtree(folder, ignore_errors=True)


def _swap(run: Path) -> None:
    new, old, best = run / _NEW, run / _OLD, run / BEST_FOLDER
    shutil.rmtree(old, ignore_errors=True)
    if best.exists():
        best.rename(old)
    new.rename(best)
    shutil.rmtree(old, ignore_errors=True)


def without_gain(values: Sequence[float]) -> int:
    """Count the evaluations since the one with the best value, the first such one.

    Args:
        values: In the order of the steps.
    """
    if not values:
        return 0
    known = [-math.inf if math.isnan(value) else value for value in values]
    return len(known) - 1 - known.index(max(known))
