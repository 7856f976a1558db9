"""What a training prints, read on the way: the bar, the log, the report."""

from __future__ import annotations

from pathlib import Path

import pytest
import tqdm as tqdm_module

from paddle_ground.train.config import load_config
from paddle_ground.train.follow import LoaderDiedError, TrainReport, follow

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "tiny" / "demo.yaml"

LINES = [
    "[INFO] -   Total optimization steps = 1,200\n",
    "[WARNING] - paddle_ground: checkpoint-60 is passed over: its whole.json can't be read\n",
    "[INFO] - loss: 5.0, learning_rate: 0.0005, global_step: 41, interval_runtime: 1.3, "
    "interval_samples_per_second: 24.5, interval_steps_per_second: 0.8, tokens_per_second: 1888.3, ppl: 2\n",
    "[INFO] - eval_loss: 4.5, eval_runtime: 1.3883, progress_or_epoch: 0.2128\n",
    "[INFO] - loss: 4.0, learning_rate: 0.0005, global_step: 42, interval_runtime: 1.3\n",
]


class Bar:
    """Stands in for tqdm's."""

    made: list[Bar]
    said: list[str]

    def __init__(self, total: int | None, initial: int, desc: str, unit: str) -> None:
        self.total, self.n, self.shown = total, initial, [""]
        Bar.made.append(self)

    @staticmethod
    def write(text: str) -> None:
        Bar.said.append(text)

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        self.shown.append(text)

    def update(self, steps: int) -> None:
        self.n += steps

    def close(self) -> None: ...


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> type[Bar]:
    Bar.made, Bar.said = [], []
    monkeypatch.setattr(tqdm_module, "tqdm", Bar)
    return Bar


def report(tmp_path: Path) -> TrainReport:
    return TrainReport(tmp_path, tmp_path / "train.log")


def test_the_bar_shows_loss_and_rates_and_starts_where_the_run_goes_on(
    tmp_path: Path, bar: type[Bar]
) -> None:
    found = report(tmp_path)
    follow(LINES, found, load_config(CONFIG), None)
    assert bar.said == ["checkpoint-60 is passed over: its whole.json can't be read"]
    assert found.passed_over == bar.said
    (drawn,) = bar.made
    assert drawn.shown[1:] == ["loss=5.0000, 1888 tokens/s, 24.5 samples/s", "loss=4.0000"]
    # The time that is left is reckoned from the steps of this run, towards the trainer's own end.
    assert (drawn.total, drawn.n) == (1200, 42)
    assert found.losses == [(41, 5.0), (42, 4.0)]
    assert found.eval_losses == [4.5]


def test_the_log_of_a_run_that_goes_on_grows(tmp_path: Path) -> None:
    for _ in range(2):
        follow(LINES, report(tmp_path), load_config(CONFIG), lambda *_: None)
    text = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert text.count("===== started 20") == 2
    assert text.count(LINES[-1]) == 2


def test_a_dead_loader_ends_the_run_with_its_cause(tmp_path: Path) -> None:
    lines = [
        "PIL.UnidentifiedImageError: cannot identify image file 'a.png'\n",
        "ValueError: [MapSFTDataset] Failed to retrieve valid data after 10 attempts.\n",
    ]
    with pytest.raises(LoaderDiedError, match="cannot identify image file"):
        follow(lines, report(tmp_path), load_config(CONFIG), lambda *_: None)
