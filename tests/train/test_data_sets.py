"""Several data sets with weights: read as PaddleFormers reads them, with the shares that were asked for."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paddle_ground.backend.data_sets import DataSet, common_meta, data_sets, shares, strategy_problems
from paddle_ground.errors import ConfigError, TrainError
from paddle_ground.records import (
    Message,
    Sample,
    SamplesMeta,
    meta_path,
    read_grounding,
    read_meta,
    write_meta,
    write_samples,
)
from paddle_ground.train.config import load_config
from paddle_ground.train.launch import check_paths

sys.path.insert(0, str(Path(__file__).parent))
from parallel_runs import CONFIG, Runs, write_squares

META = SamplesMeta("set", "1", "relative_1000", "tokens", "a", (), {}, "")


def write_set(folder: Path, label: str, count: int, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    turns = (Message("user", "find"), Message("assistant", label))
    path = folder / "train.jsonl"
    write_samples(path, [Sample(turns, ())] * count)
    write_meta(meta_path(path), replace(META, class_names=(label,), **changes))
    return path


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ()),
        ({"train_dataset_path": "a.jsonl"}, (DataSet(Path("a.jsonl"), "messages", 1.0),)),
        (
            # Spaces are dropped, a number behind # is one of samples, and what has no weight is left out.
            {
                "train_dataset_path": "a.jsonl, b.jsonl#50, c.jsonl", "train_dataset_prob": "0.7, 0.3, 0",
                "train_dataset_type": "messages,messages,erniekit",
            },
            (DataSet(Path("a.jsonl"), "messages", 0.7), DataSet(Path("b.jsonl"), "messages", 0.3, 50)),
        ),
    ],
)  # fmt: skip
def test_the_keys_are_read_as_paddleformers_reads_them(values: dict[str, str], expected: Any) -> None:
    assert data_sets(values, "train") == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"train_dataset_path": "a,b"},
            '`train_dataset_prob`: 1 values for 2 data sets .* write one each, "1.0,1.0"',
        ),
        (
            {"train_dataset_path": "a,b", "train_dataset_prob": "1,1", "train_dataset_type": "messages"},
            "dataset_type",
        ),
        ({"train_dataset_path": "a#x"}, "a#x: expected a number of samples behind #"),
        ({"train_dataset_path": "a", "train_dataset_prob": "much"}, "'much' is no weight"),
        ({"train_dataset_path": "a", "train_dataset_prob": "nan"}, "'nan' is no weight"),
        ({"train_dataset_path": "a,b", "train_dataset_prob": "0,0"}, "no data set has any weight"),
    ],
)
def test_lists_that_do_not_belong_together_are_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        data_sets(values, "train")


TWO = {"train_dataset_path": "a,b", "train_dataset_prob": "0.7,0.3"}


@pytest.mark.parametrize(
    ("more", "key", "is_error"),
    [
        ({}, "train_dataset_prob", True),
        ({"mix_strategy": "interleave"}, "mix_strategy", True),
        ({"mix_strategy": "random", "max_steps": 9}, "num_samples_each_epoch", False),
        ({"mix_strategy": "random", "num_samples_each_epoch": 100}, "max_steps", True),
        (
            {"train_dataset_path": "my data/a,b", "mix_strategy": "interleave_over"},
            "train_dataset_path",
            True,
        ),
    ],
)
def test_weights_that_would_not_be_trained_are_told(more: dict[str, str], key: str, is_error: bool) -> None:
    assert [(found[0], found[2]) for found in strategy_problems({**TWO, **more})] == [(key, is_error)]


@pytest.mark.parametrize(
    "more",
    [
        {"mix_strategy": "interleave_over"},
        {"mix_strategy": "random", "num_samples_each_epoch": 100, "max_steps": 9},
        {"train_dataset_prob": "1,1"},
    ],
)
def test_weights_that_are_trained_are_not(more: dict[str, Any]) -> None:
    assert list(strategy_problems({**TWO, **more})) == []


@pytest.mark.parametrize(
    ("strategy", "tolerance"),
    [("random", 0.01), ("interleave_over", 0.04), ("interleave_under", 0.08), ("concat", 0)],
)
def test_paddleformers_own_mixing_gives_the_shares_that_are_told(
    tmp_path: Path, strategy: str, tolerance: float
) -> None:
    pytest.importorskip("paddle")
    from paddleformers.datasets.reader.mix_datasets import create_dataset_instance
    from paddleformers.datasets.reader.multi_source_datasets import MultiSourceDataset

    sizes = (300, 900)
    values: dict[str, Any] = {
        "train_dataset_path": ",".join(
            str(write_set(tmp_path / label, label, size)) for label, size in zip("xy", sizes, strict=True)
        ),
        "train_dataset_prob": "0.7,0.3", "train_dataset_type": "messages,messages",
    }  # fmt: skip
    config = {
        "task_group": values["train_dataset_path"], "task_group_prob": values["train_dataset_prob"],
        "sub_dataset_type": values["train_dataset_type"], "random_seed": 23, "random_shuffle": True,
        "num_samples_each_epoch": 1000, "mix_strategy": strategy, "template_backend": "custom",
    }  # fmt: skip
    mixed = create_dataset_instance(strategy, MultiSourceDataset(**config), **config)
    seen = Counter(record["messages"][-1]["content"] for record in mixed)
    expected = shares(data_sets(values, "train"), strategy, sizes)
    total = sum(seen.values())
    assert [seen["x"] / total, seen["y"] / total] == pytest.approx(expected, abs=tolerance)
    if strategy != "concat":
        assert expected == pytest.approx((0.7, 0.3))


def test_metas_that_agree_are_one(tmp_path: Path) -> None:
    paths = [write_set(tmp_path / str(i), label, 1) for i, label in enumerate(("cat", "dog", "cat"))]
    joined = common_meta([DataSet(path, "messages", 1.0) for path in paths])
    assert joined is not None
    assert joined.class_names == ("cat", "dog")
    bare = tmp_path / "bare.jsonl"
    bare.touch()
    assert common_meta([DataSet(bare, "messages", 1.0)]) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"coordinate_space": "absolute_resized"},
            r"the coordinate space is relative_1000 in .* and absolute_resized",
        ),
        ({"answer_format": "json"}, r"the answer format is tokens in .* and json in .* one model learns one"),
        ({"settings": {"max_pixels": "4096"}}, r"the pixel limit max_pixels is not said in .* and 4096 in"),
    ],
)
def test_data_sets_that_speak_differently_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    paths = [write_set(tmp_path / "a", "cat", 2), write_set(tmp_path / "b", "cat", 2, **changes)]
    with pytest.raises(ConfigError, match=message):
        common_meta([DataSet(path, "messages", 1.0) for path in paths])
    words = [
        f"train_dataset_path={paths[0]},{paths[1]}", "train_dataset_prob='1,1'", "eval_dataset_path=",
        "train_dataset_type='messages,messages'", f"model_name_or_path={tmp_path}", f"output_dir={tmp_path}",
    ]  # fmt: skip
    with pytest.raises(TrainError, match=message):
        check_paths(load_config(CONFIG, words))


@pytest.mark.heavy
def test_two_data_sets_are_trained_together(tmp_path: Path) -> None:
    """Each from its own folder of images, with the class names of both."""
    pytest.importorskip("paddle")
    from paddle_ground.infer import Engine
    from paddle_ground.train.rehearse import rehearse

    runs = Runs(tmp_path)
    other = write_squares(tmp_path / "other", 10)
    write_meta(meta_path(other), replace(read_meta(meta_path(other)), class_names=("square", "block")))
    words = (
        f"train_dataset_path={runs.data},{other}", "train_dataset_prob='0.7,0.3'",
        "train_dataset_type='messages,messages'", "mix_strategy=interleave_over",
    )  # fmt: skip
    report = runs("mixed", *words)
    assert read_grounding(report.output_dir).class_names == ("square", "block")
    log = report.log_path.read_text(encoding="utf-8")
    assert "Target prob: 0.700" in log
    assert "Target prob: 0.300" in log
    found = rehearse(
        CONFIG, [*runs.words("rehearsed", 4)[1:], *words], load=Engine.load,
        merge=lambda run, out: None, on_step=lambda *_: None,
    )  # fmt: skip
    assert found.problems == ()
