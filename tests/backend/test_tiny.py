"""The builder of small models: real layout, same seed same bytes, whole or not at all."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from paddle_ground.backend import tiny
from paddle_ground.backend.shapes import parameter_shapes
from paddle_ground.backend.tiny import TextShape, TinyPreset, VisionShape, build_tiny_model
from paddle_ground.errors import DataError, ModelError

# Text hidden, layers, heads, intermediate, tied; vision depth, hidden, intermediate, DeepStack layers;
# parameters in all and in the vision tower, counted in HF transformers on the published models' shapes.
PUBLISHED = {
    "2B": (2048, 28, 16, 6144, True, 24, 1024, 4096, (5, 11, 17), 2_127_532_032, 406_957_056),
    "4B": (2560, 36, 32, 9728, True, 24, 1024, 4096, (5, 11, 17), 4_437_815_808, 415_347_712),
    "8B": (4096, 36, 32, 12288, False, 27, 1152, 4304, (8, 16, 24), 8_767_123_696, 576_388_336),
}


def published_config(name: str) -> dict[str, Any]:
    hidden, layers, heads, wide, tied, depth, vision_hidden, vision_wide, deepstack, _, _ = PUBLISHED[name]
    return {
        "tie_word_embeddings": tied,
        "text_config": {
            "vocab_size": 151_936,
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": wide,
        },
        "vision_config": {
            "depth": depth,
            "hidden_size": vision_hidden,
            "intermediate_size": vision_wide,
            "deepstack_visual_indexes": list(deepstack),
            "in_channels": 3,
            "patch_size": 16,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            "num_position_embeddings": 2304,
            "out_hidden_size": hidden,
        },
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_shapes_add_up_to_the_published_models(name: str) -> None:
    shapes = dict(parameter_shapes(published_config(name)))
    vision = sum(math.prod(shape) for key, shape in shapes.items() if key.startswith("model.visual."))
    assert sum(math.prod(shape) for shape in shapes.values()) == PUBLISHED[name][-2]
    assert vision == PUBLISHED[name][-1]


def test_file_holds_exactly_the_listed_parameters(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "model", "test")
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    assert {name: weight.shape for name, weight in weights.items()} == dict(parameter_shapes(config))
    assert all(weight.dtype == np.float32 and np.isfinite(weight).all() for weight in weights.values())


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    one = build_tiny_model(tmp_path / "one", "test", corpus=["a striped kite"], seed=3)
    two = build_tiny_model(tmp_path / "two", "test", corpus=["a striped kite"], seed=3)
    other = build_tiny_model(tmp_path / "other", "test", corpus=["a striped kite"], seed=4)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir())
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names)
    assert (one / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


def test_corpus_shortens_its_own_words(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    plain = build_tiny_model(tmp_path / "plain", "test")
    taught = build_tiny_model(tmp_path / "taught", "test", corpus=["zeppelin quagga"] * 4)
    counts = [
        len(Tokenizer.from_file(str(folder / "tokenizer.json")).encode("zeppelin quagga").ids)
        for folder in (plain, taught)
    ]
    assert counts[1] == 2 < counts[0]


def test_special_tokens_are_single_ids_inside_the_embedding(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    from paddle_ground.backend.tokenizer import ADDED_TOKENS, SPECIAL_TOKENS

    folder = build_tiny_model(tmp_path / "model", "test")
    config = json.loads((folder / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = [tokenizer.encode(token).ids for token in (*SPECIAL_TOKENS, *ADDED_TOKENS)]
    assert all(len(found) == 1 for found in ids)
    flat = [found[0] for found in ids]
    # One block, in Qwen3's order, behind the ordinary vocabulary.
    assert flat == list(range(flat[0], flat[0] + len(flat)))
    assert flat[-1] < config["text_config"]["vocab_size"]
    assert config["image_token_id"] == tokenizer.token_to_id("<|image_pad|>")
    # Digits stand alone, as in Qwen's pre-tokenizer: coordinates are spelled digit by digit.
    assert tokenizer.encode("(123,456)").tokens == ["(", "1", "2", "3", ",", "4", "5", "6", ")"]


def test_position_table_is_two_dimensional_sine_cosine() -> None:
    table = tiny.sine_cosine_table(16, 8)
    rows, columns = table[:, :4].reshape(4, 4, 4), table[:, 4:].reshape(4, 4, 4)
    # The first half tells the row only, the second half the column only.
    np.testing.assert_array_equal(rows, rows[:, :1].repeat(4, axis=1))
    np.testing.assert_array_equal(columns, columns[:1].repeat(4, axis=0))
    assert len(np.unique(table, axis=0)) == 16


@pytest.mark.parametrize(
    ("preset", "words"),
    [
        ("huge", "expected one of demo, "),
        (TinyPreset(text=TextShape(mrope_section=(8, 8, 7))), "mrope_section"),
        (TinyPreset(text=TextShape(num_key_value_heads=3)), "num_key_value_heads"),
        (TinyPreset(vision=VisionShape(num_position_embeddings=60)), "num_position_embeddings"),
        (TinyPreset(text=TextShape(vocab_size=200)), "vocab_size"),
    ],
)
def test_bad_presets_are_refused_and_leave_nothing(
    tmp_path: Path, preset: str | TinyPreset, words: str
) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        build_tiny_model(tmp_path / "model", preset)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ModelError, match="new or empty folder"):
        build_tiny_model(tmp_path, "test")
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_nothing_half_written_when_the_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tiny, "_write_weights", full)
    with pytest.raises(OSError, match="No space left"):
        build_tiny_model(tmp_path / "model", "test")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match="cannot write here"):
        build_tiny_model(tmp_path / "file" / "model", "test")
