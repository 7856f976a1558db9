"""Small models that stand in for large ones: of the same family, parted in the same way, tied alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddle_ground.backend.tiny import PRESETS, build_tiny_model
from paddle_ground.errors import TrainError
from paddle_ground.train.config import load_config
from paddle_ground.train.small_model import shapes_like

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize(
    ("config", "model_type", "key_heads", "tied"),
    [
        ("qwen3_vl/2b_sft", "qwen3_vl", 2, True),
        ("qwen3_vl/8b_sft_tp4", "qwen3_vl", 4, False),
        ("qwen2_5_vl/3b_sft", "qwen2_5_vl", 2, True),
        ("qwen2_5_vl/7b_sft_tp4", "qwen2_5_vl", 4, False),
    ],
)
def test_shapes_are_those_of_the_named_model(
    tmp_path: Path, config: str, model_type: str, key_heads: int, tied: bool
) -> None:
    shapes = shapes_like(load_config(CONFIGS / f"{config}.yaml"))
    assert (shapes.model_type, shapes.text.num_key_value_heads) == (model_type, key_heads)
    assert shapes.text.tie_word_embeddings is tied
    assert (build_tiny_model(tmp_path / "model", shapes) / "model.safetensors").is_file()


def test_a_folder_tells_what_its_name_does_not(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "mine", PRESETS["test_qwen2_5_vl"])
    config = load_config(CONFIGS / "qwen3_vl/8b_sft_tp4.yaml", [f"model_name_or_path={folder}"])
    with pytest.raises(TrainError, match=r"is 4; it must divide Qwen2\.5-VL's 2 key heads: use 1 or 2$"):
        shapes_like(config)


def test_a_name_of_our_own_is_taken_for_the_default_family() -> None:
    config = load_config(CONFIGS / "qwen3_vl/2b_sft.yaml", ["model_name_or_path=hub/mine-4b"])
    shapes = shapes_like(config)
    assert (shapes.model_type, shapes.text.tie_word_embeddings) == ("qwen3_vl", True)
    with pytest.raises(TrainError, match=r"is 3; it must divide Qwen3-VL's 8 key heads: use 1, 2, 4 or 8$"):
        shapes_like(load_config(config.path, ["model_name_or_path=x", "tensor_model_parallel_size=3"]))
