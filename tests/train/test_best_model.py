"""The best model by a grounding metric: kept whole, whatever interrupts, and the run that gains no more."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from paddle_ground.backend import best_model
from paddle_ground.backend.best_model import Best, BestModel, read_best, settle, without_gain
from paddle_ground.backend.settings import GroundingSettings
from paddle_ground.errors import ConfigError
from paddle_ground.files import write_text

sys.path.insert(0, str(Path(__file__).parent))
from parallel_runs import Runs, losses


class Killed(Exception):
    """Stands for a kill at this very moment."""


def keeper(run: Path, weight: Callable[[], str] = lambda: "w") -> BestModel:
    def save(folder: Path) -> None:
        folder.mkdir()
        (folder / "model.safetensors").write_text(weight(), encoding="utf-8")

    return BestModel(run, "eval_f1", save, together=lambda: None, is_first=True)


def weights_of(run: Path) -> str:
    return (run / "best" / "model.safetensors").read_text(encoding="utf-8")


def test_only_a_better_model_takes_the_place(tmp_path: Path) -> None:
    step = iter("abcd")
    kept = keeper(tmp_path, lambda: next(step))
    kept.begin(0)
    assert kept.offer({"eval_f1": 0.1, "eval_ap50": 0.3}, 0)
    assert not kept.offer({"eval_f1": 0.1}, 2)
    assert not kept.offer({"eval_f1": math.nan}, 3)
    assert kept.offer({"eval_f1": 0.2}, 4)
    assert weights_of(tmp_path) == "b"
    assert read_best(tmp_path / "best") == Best("eval_f1", 0.2, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best"]


def test_a_run_that_goes_on_knows_its_best_and_a_new_one_forgets_it(tmp_path: Path) -> None:
    first = keeper(tmp_path)
    first.begin(0)
    first.offer({"eval_f1": 0.5}, 8)
    again = keeper(tmp_path)
    again.begin(4)
    assert again.best == Best("eval_f1", 0.5, 8)
    assert not again.offer({"eval_f1": 0.5}, 8)
    other = BestModel(tmp_path, "eval_ap50", lambda _: None, lambda: None, True)
    other.begin(4)
    assert other.best is None  # Another metric is not compared with this one.
    anew = keeper(tmp_path)
    anew.begin(0)
    assert anew.best is None
    assert not (tmp_path / "best").exists()


def moments(run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Kill a swap before each of its changes to the disk."""
    for number in range(1, 8):
        left = number

        def count() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        def rename(self: Path, target: Path, stock: Callable[..., Path] = Path.rename) -> Path:
            count()
            return stock(self, target)

        def remove(
            path: Path, ignore_errors: bool = False, stock: Callable[..., None] = shutil.rmtree
        ) -> None:
            count()
            stock(path, ignore_errors=ignore_errors)

        def write(path: Path, text: str, stock: Callable[..., None] = write_text) -> None:
            count()
            stock(path, text)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", rename)
            patch.setattr(shutil, "rmtree", remove)
            patch.setattr(best_model, "write_text", write)
            yield f"moment {number}"


def test_a_kill_at_any_moment_leaves_a_whole_best_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = set()
    for name in moments(tmp_path, monkeypatch):
        run = tmp_path / name
        run.mkdir()
        kept = keeper(run, lambda: "old")
        try:
            kept.offer({"eval_f1": 0.1}, 2)
            kept._save = keeper(run, lambda: "new")._save
            kept.offer({"eval_f1": 0.2}, 4)
        except Killed:
            pass
        outcomes.add(after_the_kill(run))
    assert outcomes >= {None, Best("eval_f1", 0.1, 2), Best("eval_f1", 0.2, 4)}


def after_the_kill(run: Path) -> Best | None:
    """What the next start finds, looked at with nothing patched."""
    script = (
        "import sys; from pathlib import Path; from paddle_ground.backend.best_model import settle; "
        "settle(Path(sys.argv[1]), keep=True)"
    )
    subprocess.run([sys.executable, "-c", script, str(run)], check=True)
    found = read_best(run / "best")
    assert sorted(path.name for path in run.iterdir()) == (["best"] if found else [])
    if found is not None:
        assert weights_of(run) == {0.1: "old", 0.2: "new"}[found.value]
    return found


def test_settling_an_orderly_folder_changes_nothing(tmp_path: Path) -> None:
    kept = keeper(tmp_path)
    kept.offer({"eval_f1": 0.1}, 2)
    before = (tmp_path / "best" / "best.json").read_text(encoding="utf-8")
    settle(tmp_path, keep=True)
    assert (tmp_path / "best" / "best.json").read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 0),
        ([0.5], 0),
        ([0.1, 0.2], 0),
        ([0.2, 0.2, 0.2], 2),
        ([0.1, 0.3, 0.2, 0.3], 2),
        ([math.nan, 0.0], 0),
    ],
)
def test_gain_means_more_than_ever_before(values: list[float], expected: int) -> None:
    assert without_gain(values) == expected


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"keep_best": "eval_loss", "evaluate_every": 2},
            "`grounding.keep_best` is 'eval_loss'; expected eval_ap50",
        ),
        ({"keep_best": "eval_f1"}, "needs evaluations; set `grounding.evaluate_every`"),
        ({"stop_after": 3, "evaluate_every": 2}, "needs a metric to follow; set `grounding.keep_best`"),
        ({"stop_after": 0}, "`grounding.stop_after` is 0"),
        ({"lora_targets": "q_proj"}, "expected a list"),
    ],
)
def test_a_setting_that_needs_another_one_says_so(section: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GroundingSettings.from_mapping(section)


SECTION = (
    "{image_max_pixels: 4096, evaluate_every: 2, evaluate_samples: 2, keep_best: eval_f1, stop_after: 2}"
)


@pytest.mark.heavy
@pytest.mark.parametrize("parts", [1, 2])
def test_a_run_that_gains_no_more_stops_and_stays_stopped(tmp_path: Path, parts: int) -> None:
    """A model of random weights never finds anything: its first evaluation stays the best one."""
    pytest.importorskip("paddle")
    from paddle_ground.infer import Engine

    runs = Runs(tmp_path)
    given = (f"tensor_model_parallel_size={parts}",)
    stopped = runs("stopped", *given, f"grounding={SECTION}")
    assert [step for step, _ in stopped.losses] == [1, 2, 3, 4]
    plain = runs("plain", *given, "grounding={image_max_pixels: 4096}")
    np.testing.assert_array_equal(losses(stopped), losses(plain)[:4])
    assert stopped.best == stopped.output_dir / "best"
    assert json.loads((stopped.best / "best.json").read_text(encoding="utf-8"))["step"] == 0
    assert (stopped.best / "grounding.json").is_file()
    from safetensors.numpy import load_file

    start = load_file(next((tmp_path / "model").glob("*.safetensors")))
    kept = {k: v for path in stopped.best.glob("*.safetensors") for k, v in load_file(path).items()}
    assert all(np.array_equal(kept[name], start[name]) for name in start)
    Engine.load(stopped.best)
    again = runs("stopped", *given, f"grounding={SECTION}")
    assert again.losses == []


@pytest.mark.heavy
def test_the_best_adapter_is_kept_too(tmp_path: Path) -> None:
    pytest.importorskip("paddle")
    given = ("fine_tuning=lora", "lora=true", "lora_rank=4", f"grounding={SECTION}")
    best = Runs(tmp_path)("adapter", *given).best
    assert best is not None
    assert list(best.glob("peft_model*.safetensors"))
    assert (best / "lora_config.json").is_file()
