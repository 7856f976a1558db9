"""What a run logged, read and drawn."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from paddle_ground.cli import app
from paddle_ground.errors import TrainError
from paddle_ground.train.curves import draw_curves, read_curves, smoothed


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of 40 steps with two evaluations, one of which it was killed after and made again."""
    entries: list[dict[str, float]] = [
        {
            "step": step, "time": 1.0, "loss": 4 / step, "learning_rate": 1e-3, "global_norm": 1.0 + step,
            "tokens_per_second": 900.0,
        }
        for step in range(1, 41)
    ]  # fmt: skip
    entries[20:20] = [{"step": 20, "eval_loss": 0.5}, {"step": 20, "eval_ap50": 0.1, "eval_f1": 0.2}]
    entries += [{"step": 40, "eval_loss": 0.3}, {"step": 40, "eval_ap50": 0.4, "eval_f1": 0.5}]
    lines = "".join(json.dumps(entry) + "\n" for entry in entries)
    (tmp_path / "log.jsonl").write_text(lines + '{"step": 41, "lo', encoding="utf-8")
    (tmp_path / "best").mkdir()
    best = {"metric": "eval_f1", "value": 0.5, "step": 40}
    (tmp_path / "best" / "best.json").write_text(json.dumps(best), encoding="utf-8")
    return tmp_path


def test_each_number_is_a_series_over_its_own_steps(run: Path) -> None:
    curves = read_curves(run)
    assert curves.get("loss").steps == tuple(range(1, 41))
    assert curves.get("loss").values[3] == 1.0
    assert curves.get("eval_f1").steps == (20, 40)
    assert curves.get("nothing").steps == ()
    assert curves.best is not None
    assert (curves.best.metric, curves.best.step) == ("eval_f1", 40)


def test_smoothing_is_pandas_exponential_mean() -> None:
    pandas = pytest.importorskip("pandas")
    values = np.random.default_rng(0).normal(size=50).tolist()
    expected = pandas.Series(values).ewm(halflife=7).mean().tolist()
    assert smoothed(values, 7) == pytest.approx(expected)
    assert smoothed([math.nan, 2.0, math.inf], 3)[1:] == [2.0, 2.0]


def test_a_panel_is_drawn_for_what_was_logged(run: Path, tmp_path: Path) -> None:
    everything = Image.open(draw_curves(read_curves(run), tmp_path / "all.png", 5)).size
    only = tmp_path / "only"
    only.mkdir()
    (only / "log.jsonl").write_text('{"step": 1, "loss": NaN}\n{"step": 2, "loss": 2.0}\n', encoding="utf-8")
    one = Image.open(draw_curves(read_curves(only), tmp_path / "one.png", 5)).size
    assert everything[1] == pytest.approx(5 * one[1], abs=5)


def test_the_command_draws_into_the_run_and_prints_numbers(run: Path) -> None:
    shown = CliRunner().invoke(app, ["curves", str(run)])
    assert shown.exit_code == 0
    assert "40 logged steps, up to step 40" in shown.stdout
    assert (run / "curves.png").is_file()
    numbers = json.loads(CliRunner().invoke(app, ["curves", str(run), "--json"]).stdout)
    assert numbers["eval_ap50"] == [[20, 0.1], [40, 0.4]]


def test_what_is_no_number_is_null_in_json(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(
        '{"step": 1, "loss": NaN}\n{"step": 2, "loss": 2.0}\n', encoding="utf-8"
    )
    text = CliRunner().invoke(app, ["curves", str(tmp_path), "--json"]).stdout
    assert json.loads(text, parse_constant=pytest.fail) == {"loss": [[1, None], [2, 2.0]]}


def test_a_folder_without_a_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"log\.jsonl: no logged step; name the output_dir"):
        read_curves(tmp_path)
