"""Plans of several data sets: weights decide what an epoch holds, as in PaddleFormers' own mixing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_ground.backend.data_sets import data_sets
from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.errors import ConfigError
from paddle_ground.records import Message, Sample, write_samples
from paddle_ground.train.config import load_config
from paddle_ground.train.plan.data_lengths import DataLengths
from paddle_ground.train.plan.mixture import epoch_counts, mix_lengths
from paddle_ground.train.plan.verdict import Machine, make_plan

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "tiny" / "demo.yaml"
SIZES = {"short": 300, "long": 90}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two sets, one with answers five times as long."""
    folder = tmp_path_factory.mktemp("sets")
    found = {}
    for name, count in SIZES.items():
        answer = "none " * (10 if name == "long" else 2)
        turns = (Message("user", "Where is it?"), Message("assistant", answer.strip()))
        found[name] = folder / f"{name}.jsonl"
        write_samples(found[name], [Sample(turns, ())] * count)
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model") / "m", "test", ["Where is it? none"], 0)


def keys(sets: dict[str, Path], weights: str, strategy: str) -> dict[str, Any]:
    return {
        "train_dataset_path": ",".join(map(str, sets.values())), "train_dataset_prob": weights,
        "train_dataset_type": "messages,messages", "mix_strategy": strategy, "seed": 23,
        "num_samples_each_epoch": 1000,
    }  # fmt: skip


@pytest.mark.parametrize(("weights", "seed"), [("0.7,0.3", 23), ("0.1,0.9", 0), ("2,1", 23)])
@pytest.mark.parametrize("strategy", ["interleave_over", "interleave_under", "random", "concat"])
def test_an_epoch_holds_what_paddleformers_draws(
    sets: dict[str, Path], weights: str, seed: int, strategy: str
) -> None:
    pytest.importorskip("paddle")
    from paddleformers.datasets.reader.mix_datasets import create_dataset_instance
    from paddleformers.datasets.reader.multi_source_datasets import MultiSourceDataset

    values = {**keys(sets, weights, strategy), "seed": seed}
    config = {
        "task_group": values["train_dataset_path"], "task_group_prob": weights,
        "sub_dataset_type": values["train_dataset_type"], "random_seed": seed, "random_shuffle": True,
        "num_samples_each_epoch": 1000, "mix_strategy": strategy, "template_backend": "custom",
    }  # fmt: skip
    mixed = list(create_dataset_instance(strategy, MultiSourceDataset(**config), **config))
    short = sum(len(record["messages"][-1]["content"]) < 20 for record in mixed)
    counted = epoch_counts(data_sets(values, "train"), list(SIZES.values()), values)
    assert counted == (short, len(mixed) - short)


def test_a_set_that_is_hardly_drawn_is_estimated(sets: dict[str, Path]) -> None:
    values = keys(sets, "1,0.000001", "interleave_over")
    counted = epoch_counts(data_sets(values, "train"), list(SIZES.values()), values)
    assert counted == (pytest.approx(90_000_000, rel=1e-3), 90)


def test_steps_and_tokens_follow_the_weights(sets: dict[str, Path], model: Path) -> None:
    def planned(weights: str) -> tuple[int, float, float]:
        values = keys(sets, weights, "interleave_over")
        words = [
            f"model_name_or_path={model}", "max_steps=-1", "per_device_train_batch_size=10",
            *(f"{key}={value}" for key, value in values.items()),
        ]  # fmt: skip
        plan = make_plan(load_config(CONFIG, words), Machine(1))
        assert plan.time.steps is not None
        counted = epoch_counts(data_sets(values, "train"), list(SIZES.values()), values)
        assert plan.data.samples == sum(counted)
        assert plan.time.steps == -(-sum(counted) // 10)
        lengths = np.unique(plan.data.lengths)
        mean = (counted[0] * lengths[0] + counted[1] * lengths[1]) / sum(counted)
        assert plan.data.lengths.mean() == pytest.approx(mean, rel=0.01)
        return plan.time.steps, plan.data.lengths.mean(), plan.schedule.epochs or 0.0

    few_long, many_long = planned("0.9,0.1"), planned("0.3,0.7")
    assert few_long[1] < many_long[1]
    assert few_long[2] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("word", "strategy"),
    [
        ("seed=abc", "interleave_over"), ("num_samples_each_epoch=many", "random"),
        ("num_train_epochs=three", "concat"), ("num_train_epochs=.inf", "concat"),
        ("per_device_train_batch_size=.inf", "concat"),
    ],
)  # fmt: skip
def test_a_key_that_is_no_number_is_named(
    sets: dict[str, Path], model: Path, word: str, strategy: str
) -> None:
    words = [f"{key}={value}" for key, value in keys(sets, "1,1", strategy).items()]
    config = load_config(CONFIG, [f"model_name_or_path={model}", "max_steps=-1", *words, word])
    with pytest.raises(ConfigError, match=rf"`{word.partition('=')[0]}` is .*expected a"):
        make_plan(config, Machine(1))


def test_without_data_a_mixture_is_planned_as_full_rows(sets: dict[str, Path], model: Path) -> None:
    words = [f"{key}={value}" for key, value in keys(sets, "1,1", "interleave_over").items()]
    config = load_config(CONFIG, [*words, "train_dataset_path=", f"model_name_or_path={model}"])
    assert make_plan(config, Machine(1)).data.samples == 0


def test_a_part_of_a_file_is_planned_as_that(sets: dict[str, Path], model: Path) -> None:
    words = [
        f"model_name_or_path={model}", f"train_dataset_path={sets['short']}#50", "max_steps=-1",
        "per_device_train_batch_size=10",
    ]  # fmt: skip
    plan = make_plan(load_config(CONFIG, words), Machine(1))
    assert (plan.time.steps, plan.data.samples) == (5, 50)


def test_mixing_keeps_the_longest_sample() -> None:
    rare = DataLengths(10, np.array([5, 900, 5] + [5] * 7), np.zeros(10, np.int64), "counted", True)
    common = DataLengths(1000, np.full(1000, 50), np.full(1000, 10), "counted", True)
    mixed = mix_lengths([rare, common], (1, 1_000_000))
    assert int(mixed.lengths.max()) == 900
    assert mixed.samples == 1_000_001
    assert mixed.image_share() == pytest.approx(0.2, rel=0.01)
    assert mix_lengths([DataLengths(), common], (0, 7)).samples == 7
    assert mix_lengths([DataLengths()], (0,)).samples == 0
