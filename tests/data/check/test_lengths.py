"""Token counts, skipped samples and packs are those of PaddleFormers' own data set."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.data.check import CheckOptions, check
from paddle_ground.data.check.lengths import training_resize
from paddle_ground.data.check.padding import measure_padding, pack
from paddle_ground.errors import ModelError
from paddle_ground.records import GroundingConfig, write_grounding

Planted = Any


def training_batches(samples_path: Path, model_dir: Path, **settings: Any) -> list[list[int]]:
    """Let PaddleFormers read the file; give the token count of each sequence, pack by pack."""
    pytest.importorskip("paddle")
    from paddleformers.datasets.loader import create_dataset
    from paddleformers.datasets.template.template import get_template_and_fix_tokenizer
    from paddleformers.transformers import AutoProcessor, AutoTokenizer

    config = {
        "tokenizer": AutoTokenizer.from_pretrained(str(model_dir)),
        "processor": AutoProcessor.from_pretrained(str(model_dir), use_fast=None),
        "template": "qwen3_vl_nothink",
        "template_backend": "custom",
        "tool_format": None,
        "default_system": None,
        "stage": "VL-SFT",
        "dataset_type": "iterator",
        "mix_strategy": "concat",
        "random_shuffle": False,
        "packing": False,
        "truncation_strategy": "delete",
        "binpacking": True,
        "is_valid": True,
        "random_seed": 0,
        "num_replicas": 1,
        "rank": 0,
        "num_samples_each_epoch": 100,
    } | settings
    config["template_instance"] = get_template_and_fix_tokenizer(config)
    dataset = create_dataset(
        task_group=str(samples_path), task_group_prob="1.0", sub_dataset_type="messages", **config
    )
    return [[len(sequence.token_ids) for sequence in pack] for pack in dataset]


@pytest.fixture
def varied(planted: Planted) -> Planted:
    """Samples of all kinds: a system turn, two questions, two images, JSON, Chinese, odd sizes."""
    planted.truth_lines = None
    first = planted.record(1)
    first["messages"].insert(0, {"role": "system", "content": "You find things."})
    planted.record(2)["messages"] += [
        {"role": "user", "content": "还有别的吗？"},
        {"role": "assistant", "content": "没有"},
    ]
    second = planted.record(3)
    second["messages"][0]["content"] = "<image>First, and <image> second."
    second["images"].append("images/large.jpg")
    planted.record(4)["messages"][1]["content"] = '```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "cat"}]\n```'
    planted.record(4)["objects"] = {"ref": [], "bbox": []}
    sizes = {
        "large.jpg": (1100, 810), "thin.png": (33, 700), "tiny.png": (19, 17), "odd.png": (333, 77),
        # PaddleFormers knows no side below 28, and none 200 times the other.
        "low.png": (900, 9), "line.png": (6000, 20), "pole.png": (20, 6000),
    }  # fmt: skip
    for seed, (name, size_wh) in enumerate(sizes.items()):
        from PIL import Image

        noise = np.random.default_rng(seed).integers(0, 256, (*size_wh[::-1], 3), dtype=np.uint8)
        Image.fromarray(noise).save(planted.folder / "images" / name)
        record = copy.deepcopy(planted.record(5))
        record["images"] = [f"images/{name}"]
        planted.lines.append(record)
    return planted


def lengths_of(planted: Planted, model_dir: Path, **options: Any) -> list[int]:
    planted.options |= {"model_dir": model_dir, **options}
    return planted.check().numbers.lengths.tolist()


def test_lengths_are_those_of_training(varied: Planted, model_dir: Path) -> None:
    lengths = lengths_of(varied, model_dir)
    sequences = training_batches(varied.path, model_dir, max_seq_len=8192)
    # The data set gives its last sequence twice when it doesn't pack.
    assert [pack[0] for pack in sequences[:-1]] == lengths
    assert len(set(lengths)) > 5


def test_lengths_of_a_family_with_a_system_turn_of_its_own(varied: Planted, tmp_path: Path) -> None:
    model_dir = build_tiny_model(tmp_path / "qwen2_5", "test_qwen2_5_vl")
    lengths = lengths_of(varied, model_dir)
    sequences = training_batches(varied.path, model_dir, max_seq_len=8192, template="qwen2_vl")
    assert [pack[0] for pack in sequences[:-1]] == lengths


def test_those_too_long_are_the_ones_that_training_skips(varied: Planted, model_dir: Path) -> None:
    lengths = lengths_of(varied, model_dir)
    limit = sorted(lengths)[6]  # One fits exactly.
    varied.options["max_seq_len"] = limit
    too_long = [problem.line for problem in varied.check().problems if problem.code == "too_long"]
    sequences = training_batches(varied.path, model_dir, max_seq_len=limit)
    kept = [pack[0] for pack in sequences[:-1]]
    assert kept == [length for length in lengths if length <= limit]
    assert too_long == [line for line, length in enumerate(lengths, 1) if length > limit]
    assert len(too_long) == len(lengths) - len(kept) > 0


def test_packs_are_those_of_training(varied: Planted, model_dir: Path) -> None:
    lengths = lengths_of(varied, model_dir)
    limit = max(lengths) + 100
    packs = training_batches(varied.path, model_dir, max_seq_len=limit, packing=True)
    assert pack(np.array(lengths), limit) == len(packs) < len(lengths)
    padding = measure_padding(np.array(lengths), limit, batch_size=2)
    assert padding is not None
    assert padding.packed == pytest.approx(1 - sum(lengths) / (len(packs) * limit))


def test_packing_of_thousands_carries_the_last_pack_on() -> None:
    from types import SimpleNamespace

    data_utils = pytest.importorskip("paddleformers.datasets.data_utils")
    lengths = np.random.default_rng(3).integers(20, 700, 2300)
    packs = 0
    carried: list[Any] = []
    for start in range(0, len(lengths), 1000):
        part = [(SimpleNamespace(), int(length)) for length in lengths[start : start + 1000]]
        found, carried = data_utils.calculate_matched_group(
            carried + part, 1024, is_finished=len(part) < 1000
        )
        packs += len(found)
    assert pack(lengths, 1024) == packs


def test_padding_by_hand() -> None:
    padding = measure_padding(np.array([10, 30, 20, 20, 999]), max_seq_len=40, batch_size=2)
    assert padding is not None
    # Batches of 2 x 30 and 2 x 20 hold 80; packs (30), (20 + 20), (10 with 30) hold 80 in 2 x 40.
    assert (padding.unpacked, padding.packed, padding.samples_a_pack) == (1 - 80 / 100, 0.0, 2.0)


def test_the_pixel_limit_of_the_run_counts_then_the_model_s_then_the_stock_one(
    tmp_path: Path, model_dir: Path
) -> None:
    assert training_resize(model_dir).image_max_pixels == 768 * 768
    (tmp_path / "preprocessor_config.json").write_text((model_dir / "preprocessor_config.json").read_text())
    write_grounding(tmp_path, GroundingConfig("relative_1000", "tokens", "Find.", 1024, 1234))
    assert training_resize(tmp_path).image_max_pixels == 1234
    assert training_resize(tmp_path, 999).image_max_pixels == 999


def test_a_folder_without_a_model_is_refused(planted: Planted, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"preprocessor_config\.json; name a complete model folder"):
        check(planted.write(), CheckOptions(model_dir=tmp_path))
