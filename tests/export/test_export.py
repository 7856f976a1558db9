"""Exports: a merged adapter answers as the unmerged one, shards hold what the run held, the card tells it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent))
from small_exports import PRESETS, adapter_of, logits_of

from paddle_ground.backend.loading import load_model
from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.errors import ConfigError, ModelError
from paddle_ground.export.shards import parse_size
from paddle_ground.export.write import ExportOptions, export


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {preset: build_tiny_model(root / preset, preset, seed=3) for preset in PRESETS}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_merged_adapter_gives_the_unmerged_models_logits(
    models: dict[str, Path], tmp_path: Path, preset: str
) -> None:
    base = models[preset]
    targets = [".*qkv_proj.*", ".*up_gate_proj.*", ".*o_proj.*", ".*down_proj.*", ".*attn.proj.*"]
    unmerged, run = adapter_of(tmp_path / "run", base, targets)
    report = export(ExportOptions(run, tmp_path / "out"))
    assert report.merged
    merged, plain = load_model(tmp_path / "out"), load_model(base)
    assert float(np.abs(logits_of(plain.model, plain) - unmerged).max()) > 1e-2, "the adapter does something"
    np.testing.assert_allclose(logits_of(merged.model, merged), unmerged, atol=2e-5)


def test_shards_hold_what_the_model_held(models: dict[str, Path], tmp_path: Path) -> None:
    report = export(ExportOptions(models["test"], tmp_path / "out", max_shard_size="100KB"))
    whole = load_file(models["test"] / "model.safetensors")
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert len(report.weight_files) > 2
    found: dict[str, Any] = {}
    for name in report.weight_files:
        part = load_file(tmp_path / "out" / name)
        assert all(index["weight_map"][key] == name for key in part)
        assert len(part) == 1 or sum(value.nbytes for value in part.values()) <= 100_000
        found.update(part)
    assert found.keys() == whole.keys() - {"lm_head.weight"}
    for key, value in found.items():
        np.testing.assert_array_equal(value, whole[key])
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in found.values())


def test_bfloat16_halves_the_file_and_is_said_in_the_config(models: dict[str, Path], tmp_path: Path) -> None:
    export(ExportOptions(models["test"], tmp_path / "out", dtype="bfloat16"))
    before, after = (
        load_file(models["test"] / "model.safetensors"),
        load_file(tmp_path / "out" / "model.safetensors"),
    )
    for key, value in after.items():
        assert value.dtype == ml_dtypes.bfloat16
        np.testing.assert_allclose(value.astype(np.float32), before[key], rtol=2**-8)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["torch_dtype"] == "bfloat16"
    load_model(tmp_path / "out")


def test_the_config_says_what_the_weights_are_in_whatever_the_base_says(
    models: dict[str, Path], tmp_path: Path
) -> None:
    """Published bases say bfloat16; training in float32 leaves float32, which loaders would cut off."""
    base, run = (shutil.copytree(models["test"], tmp_path / name) for name in ("base", "run"))
    config = json.loads((base / "config.json").read_text())
    config |= {"torch_dtype": "bfloat16", "text_config": {**config["text_config"], "dtype": "bfloat16"}}
    (base / "config.json").write_text(json.dumps(config))
    (run / "resolved.yaml").write_text(f"model_name_or_path: {base}\n")
    export(ExportOptions(run, tmp_path / "out"))
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (written["torch_dtype"], written["text_config"]["dtype"]) == ("float32", "float32")
    export(ExportOptions(tmp_path / "out", tmp_path / "half", dtype="bfloat16"))
    export(ExportOptions(tmp_path / "half", tmp_path / "again"))
    assert json.loads((tmp_path / "again" / "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_the_trainers_own_keys_stay_out_of_the_config_and_limits_go_along(
    models: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for path in models["test"].iterdir():
        (run / path.name).write_bytes(path.read_bytes())
    config = json.loads((run / "config.json").read_text())
    config |= {"paddleformers_version": "1.2.0", "pp_seg_method": "x", "use_cache": False}
    config["muon_configs"] = {"muon_ffn_split": True}
    config["text_config"] |= {"architectures": ["Other"], "tensor_model_parallel_size": -1}
    (run / "config.json").write_text(json.dumps(config))
    grounding = {
        "coordinate_space": "relative_1000", "answer_format": "json", "prompt": "Find: a | b\nin it",
        "min_pixels": 4096, "max_pixels": 9216, "class_names": ["cat | dog"],
    }  # fmt: skip
    (run / "grounding.json").write_text(json.dumps(grounding))
    (run / "resolved.yaml").write_text(
        "fine_tuning: full\nlearning_rate: 1.0e-5\nmodel_name_or_path: Qwen/Some-VL\n"
    )
    (run / "data.json").write_text(
        json.dumps([{"path": "/home/me/train.jsonl", "bytes": 5, "sha256": "ab12"}])
    )
    (tmp_path / "metrics.json").write_text('{"ap50": 0.25, "note": "x"}')
    export(ExportOptions(run, tmp_path / "out", metrics=tmp_path / "metrics.json"))
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert not {"paddleformers_version", "pp_seg_method", "use_cache", "muon_configs"} & written.keys()
    assert not {"architectures", "tensor_model_parallel_size"} & written["text_config"].keys()
    processor = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
    assert processor["size"]["longest_edge"] == processor["max_pixels"] == 9216
    card = (tmp_path / "out" / "README.md").read_text()
    for text in (
        'base_model: "Qwen/Some-VL"',
        "| ap50 | 0.25 |",
        "`ab12`",
        "train.jsonl",
        "cat \\| dog",
        "| detection prompt | `Find: a \\| b in it` |",
        "json",
        "paddle-ground ground out picture.jpg 'the red cup'",
    ):
        assert text in card
    assert "/home/me" not in card
    assert str(tmp_path) not in card


@pytest.mark.parametrize("preset", PRESETS)
def test_tokenizer_template_and_grounding_go_along_as_they_are(
    models: dict[str, Path], tmp_path: Path, preset: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(models[preset], run)
    (run / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    (run / "grounding.json").write_text('{"answer_format": "tokens"}', encoding="utf-8")
    (run / "optimizer.pdopt").write_bytes(b"of the training")
    export(ExportOptions(run, tmp_path / "out"))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "grounding.json"):
        assert (tmp_path / "out" / name).read_bytes() == (run / name).read_bytes(), name
    assert not (tmp_path / "out" / "optimizer.pdopt").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: (run / "model.safetensors").unlink(), "model.safetensors is missing"),
        (
            lambda run: (run / "lora_config.json").write_text('{"base_model_name_or_path": "Qwen/X"}'),
            "--base",
        ),
        (lambda run: (run / "tokenizer.json").unlink(), "no tokenizer.json"),
        (
            lambda run: (run / "generation_config.json").write_text('{"eos_token_id": ['),
            "generation_config.json: cannot be read as JSON",
        ),
        (lambda run: (run / "preprocessor_config.json").write_text("{"), "preprocessor_config.json: cannot"),
    ],
    ids=["weights", "base", "tokenizer", "generation", "processor"],
)
def test_what_is_missing_is_named_and_nothing_stays(
    models: dict[str, Path], tmp_path: Path, change: Any, message: str
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for path in models["test"].iterdir():
        (run / path.name).write_bytes(path.read_bytes())
    change(run)
    with pytest.raises(ModelError, match=message):
        export(ExportOptions(run, tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_adapter_of_another_model_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    _, run = adapter_of(tmp_path / "run", models["test"], [".*o_proj.*"])
    path = next(run.glob("peft_model*.safetensors"))
    weights = {name.replace("layers.1", "layers.7"): value for name, value in load_file(path).items()}
    save_file(weights, path)
    (run / "peft_model.safetensors.index.json").unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"layers that .* lacks, first layers\.7"):
        export(ExportOptions(run, tmp_path / "out"))


def test_a_folder_that_holds_something_is_not_written_into(models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="holds something"):
        export(ExportOptions(models["test"], tmp_path))


def test_sizes() -> None:
    assert [parse_size(t) for t in ("5GB", "500 mb", "2GiB", "7")] == [5 * 10**9, 5 * 10**8, 2 << 30, 7]
    for text in ("", "0", "five", "5TB", "-1GB"):
        with pytest.raises(ConfigError, match="no size"):
            parse_size(text)
