"""Count what a run of `predict` does, and show it.

Takes predictions as they are written; gives a progress bar and a `PredictReport`. Knows no file.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.records import Prediction


@dataclass(frozen=True, slots=True)
class PredictReport:
    """What a run of `predict` did.

    Attributes:
        output_path: Where the predictions are.
        samples: How many samples were asked for.
        resumed: How many of them an earlier run had answered.
        statuses: How many of this run's answers were "ok", "repaired", "failed", "error".
        tokens: How many tokens this run generated.
        seconds: How long it took, images read and prepared included, the model's loading not.
    """

    output_path: Path
    samples: int
    resumed: int
    statuses: dict[str, int]
    tokens: int
    seconds: float

    @property
    def answered(self) -> int:
        """How many samples this run answered, errors included."""
        return sum(self.statuses.values())

    @property
    def images_per_second(self) -> float:
        """Samples answered a second; 0 where there was nothing left to do."""
        return self.answered / self.seconds if self.seconds > 0 else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens generated a second; 0 where there was nothing left to do."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


class Tally:
    """Counts a run's answers and shows them as a bar on stderr.

    Args:
        total: Samples asked for.
        done: The indices that an earlier run answered.
        visible: Whether to draw the bar.
    """

    def __init__(self, total: int, done: Collection[int], visible: bool) -> None:
        self._total, self._resumed = total, sum(index < total for index in done)
        self._visible = visible
        self._statuses: Counter[str] = Counter()
        self._tokens = 0

    def __enter__(self) -> Tally:
        """Start the clock and draw the bar."""
        from tqdm import tqdm

        self._start = time.perf_counter()
        self._bar: Any = tqdm(
            total=self._total, initial=self._resumed, unit="image", desc="predict", disable=not self._visible
        )
        return self

    def count(self, prediction: Prediction) -> None:
        """Add one answer."""
        self._statuses[prediction.status] += 1
        self._tokens += prediction.tokens
        rate = self._tokens / (time.perf_counter() - self._start)
        self._bar.set_postfix_str(f"{rate:.0f} tokens/s", refresh=False)
        self._bar.update()

    def __exit__(self, *_: object) -> None:
        """Stop the clock; the bar stays as it stands."""
        self._seconds = time.perf_counter() - self._start
        self._bar.close()

    def report(self, output_path: Path) -> PredictReport:
        """Sum up; only after the block."""
        return PredictReport(
            output_path=output_path,
            samples=self._total,
            resumed=self._resumed,
            statuses=dict(self._statuses),
            tokens=self._tokens,
            seconds=self._seconds,
        )
