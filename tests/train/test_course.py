"""A course that would be shuffled is refused before a run starts, with the keys to set."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddle_ground.errors import TrainError
from paddle_ground.records import Message, Sample, SamplesMeta, meta_path, write_meta, write_samples
from paddle_ground.train.config import load_config
from paddle_ground.train.launch import check_paths

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "tiny" / "demo.yaml"


@pytest.fixture
def problems(tmp_path: Path):
    """Function that gives what `train` says to a samples file with these settings and overrides."""

    def check(settings: dict[str, str], *overrides: str) -> str:
        (tmp_path / "x.jpg").touch()
        for split in ("train", "val"):
            path = tmp_path / f"{split}.jsonl"
            write_samples(
                path, [Sample((Message("user", "<image>a"), Message("assistant", "b")), ("x.jpg",))]
            )
            meta = SamplesMeta("set", "1", "relative_1000", "tokens", "a", (), {}, "", settings)
            write_meta(meta_path(path), meta)
        lines = [
            f"{kind}_dataset_path={tmp_path / name}.jsonl"
            for kind, name in (("train", "train"), ("eval", "val"))
        ]
        # Without a model there is always something to say.
        lines += ["model_name_or_path=./none", f"output_dir={tmp_path / 'out'}", *overrides]
        with pytest.raises(TrainError) as caught:
            check_paths(load_config(CONFIG, lines))
        return str(caught.value)

    return check


def test_a_shuffled_course_is_refused(problems):
    said = problems({"curriculum.parts": "3"})
    assert "train.jsonl is a course of 3 parts" in said
    assert "set random_shuffle: false and dataloader_shuffle: false" in said
    # The order of val is nobody's concern.
    assert "val.jsonl" not in said
    assert "set dataloader_shuffle: false" in problems({"curriculum.parts": "3"}, "random_shuffle=false")
    assert "set random_shuffle: false" in problems({"curriculum.parts": "3"}, "dataset_type=iterable")


def test_a_course_in_its_order_and_other_data_are_not(problems):
    off = ("random_shuffle=false", "dataloader_shuffle=false")
    assert "course" not in problems({"curriculum.parts": "3"}, *off)
    assert "course" not in problems(
        {"curriculum.parts": "3"}, "dataset_type=iterable", "random_shuffle=false"
    )
    assert "course" not in problems({"augment.copies": "1"})
