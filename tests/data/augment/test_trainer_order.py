"""That a course is trained in the order of its file, by PaddleFormers' own data classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paddle_ground.records import Message, Sample, write_samples


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples file with numbered questions."""
    path = tmp_path_factory.mktemp("course") / "train.jsonl"
    turns = [(Message("user", f"<image>{place}"), Message("assistant", "none")) for place in range(60)]
    write_samples(path, [Sample(messages, ("x.jpg",)) for messages in turns])
    return path


def trained_order(path: Path, random_shuffle: bool) -> list[list[int]]:
    """Let PaddleFormers read the file as its SFT workflow does, for two epochs."""
    from paddleformers.datasets.reader.mix_datasets import create_dataset_instance
    from paddleformers.datasets.reader.multi_source_datasets import MultiSourceDataset

    config: dict[str, Any] = {
        "task_group": str(path),
        "task_group_prob": "1.0",
        "sub_dataset_type": "messages",
        "random_seed": 23,
        "random_shuffle": random_shuffle,
        "num_samples_each_epoch": 100,
        "mix_strategy": "concat",
        "template_backend": "custom",
    }
    mixed = create_dataset_instance("concat", MultiSourceDataset(**config), **config, reverse=True)
    epochs = [[sample["messages"][0]["content"] for sample in mixed] for _ in range(2)]
    return [[int(content.removeprefix("<image>")) for content in epoch] for epoch in epochs]


def test_file_order_is_kept_only_without_random_shuffle(course):
    assert trained_order(course, random_shuffle=False) == [list(range(60))] * 2
    for epoch in trained_order(course, random_shuffle=True):
        assert sorted(epoch) == list(range(60))
        assert epoch != list(range(60))


def test_a_map_data_set_needs_dataloader_shuffle_off_too():
    from paddleformers.trainer.training_args import TrainingArguments
    from paddleformers.utils.batch_sampler import MappingBatchSampler

    # What the trainer passes on when nobody says otherwise.
    assert TrainingArguments.__dataclass_fields__["dataloader_shuffle"].default is True
    orders = [
        [index for batch in MappingBatchSampler(range(60), shuffle=shuffle, batch_size=4) for index in batch]
        for shuffle in (False, True)
    ]
    assert orders[0] == list(range(60))
    assert orders[1] != orders[0]
