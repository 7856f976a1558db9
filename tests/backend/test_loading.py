"""Loading: everything or one clear line; nothing random, nothing unpickled, nothing left behind."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from paddle_ground.backend.checkpoint import end_token_ids, inspect_checkpoint
from paddle_ground.backend.loading import load_model
from paddle_ground.errors import ModelError


@pytest.fixture
def copy(model_dir: Path, tmp_path: Path) -> Path:
    """A model folder to spoil."""
    return Path(shutil.copytree(model_dir, tmp_path / "copy"))


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def values_of(folder: Path) -> dict[str, Any]:
    """Every parameter under the name that PaddleFormers saves it by, as one loaded model holds it."""
    loaded = load_model(folder)
    saved = folder.parent / "resaved"
    loaded.model.save_pretrained(str(saved))
    return {k: v for path in saved.glob("*.safetensors") for k, v in load_file(path).items()}


def write_bfloat16(path: Path, halves: dict[str, Any]) -> None:
    """Write safetensors by hand: numpy has no bfloat16. Header length, header, data."""
    header, end = {}, 0
    for name, half in halves.items():
        header[name] = {"dtype": "BF16", "shape": half.shape, "data_offsets": [end, end + half.nbytes]}
        end += half.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(h.tobytes() for h in halves.values()))


def test_all_weights_come_from_the_file_and_the_folder_stays_as_it_was(copy: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in copy.iterdir()}
    os.chmod(copy, 0o555)
    try:
        found = values_of(copy)
    finally:
        os.chmod(copy, 0o755)
    assert {path.name: path.stat().st_mtime_ns for path in copy.iterdir()} == before
    for name, weight in load_file(copy / "model.safetensors").items():
        np.testing.assert_array_equal(found[name], weight, err_msg=name)


def test_bfloat16_weights_load_as_published_models_have_them(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    halves = {name: (weight.view(np.uint32) >> 16).astype(np.uint16) for name, weight in weights.items()}
    write_bfloat16(copy / "model.safetensors", halves)
    found = values_of(copy)
    for name, half in halves.items():
        expected = (half.astype(np.uint32) << 16).view(np.float32)
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


def test_shards_load_and_a_stray_file_beside_them_does_not_matter(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    names = sorted(weights)
    halves = {
        "model-00001-of-00002.safetensors": names[::2],
        "model-00002-of-00002.safetensors": names[1::2],
    }
    for file, part in halves.items():
        save_file({name: weights[name] for name in part}, copy / file)
    # The folder's earlier single file, with other values: a rest of an older save.
    save_file({name: weight + 1 for name, weight in weights.items()}, copy / "model.safetensors")
    weight_map = {name: file for file, part in halves.items() for name in part}
    edit_json(copy / "model.safetensors.index.json", weight_map=weight_map)
    found = values_of(copy)
    for name, weight in weights.items():
        np.testing.assert_array_equal(found[name], weight, err_msg=name)


def test_no_pickle_in_a_model_folder_is_ever_opened(copy: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    for name in ("flex-ckpt.auto_generated.metadata", "0.metadata", "pytorch_model.bin", "model.pdparams"):
        (copy / name).write_bytes(pickle.dumps(Trap()))
    load_model(copy)
    assert not (tmp_path / "sprung").exists()


def drop(*names: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return spoil


def only_pickle(folder: Path) -> None:
    drop("model.safetensors", "model.safetensors.index.json")(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def torn_file(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def lora_folder(folder: Path) -> None:
    drop("config.json")(folder)
    (folder / "lora_config.json").write_text("{}")


def run_folder(folder: Path) -> None:
    drop("config.json")(folder)
    for step in (90, 100):
        (folder / f"checkpoint-{step}").mkdir()
        (folder / f"checkpoint-{step}" / "config.json").write_text("{}")


def resume_folder(folder: Path) -> None:
    drop("config.json", "model.safetensors", "model.safetensors.index.json")(folder)
    (folder / "model_state").mkdir()
    (folder / "model_state" / "0_0.distcp").write_bytes(b"")


def escaping_index(folder: Path) -> None:
    edit_json(folder / "model.safetensors.index.json", weight_map={"x": "../elsewhere.safetensors"})


NORM = "model.language_model.norm.weight"
SPOILED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (drop("config.json"), r"copy: no config\.json; name the folder that holds"),
    "a LoRA adapter": (lora_folder, "LoRA adapter; merge it"),
    "a whole run": (run_folder, r"folders with models; .*checkpoint-100$"),
    "a state to resume from": (
        resume_folder,
        r"state to resume training from; the finished model is in \S+$",
    ),
    "config is no JSON": (
        lambda f: (f / "config.json").write_text("{"),
        r"config\.json: cannot be read as JSON",
    ),
    "another model": (
        lambda f: edit_json(f / "config.json", model_type="llava"),
        "model_type is 'llava', expected one of qwen3_vl, qwen2_5_vl",
    ),
    "no text section": (lambda f: edit_json(f / "config.json", text_config=None), "`text_config` is missing"),
    "a shape is missing": (lambda f: edit_json(f / "config.json", vision_config={}), "a shape is missing"),
    "no weights": (drop("model.safetensors", "model.safetensors.index.json"), r"no \*\.safetensors"),
    "only a pickle": (only_pickle, r"pytorch_model\.bin, a pickle that could run code"),
    "a listed file is absent": (drop("model.safetensors"), r"model\.safetensors is missing, .*lists it"),
    "the index leads out": (escaping_index, "outside the model folder"),
    "torn weights": (torn_file, "not a whole safetensors file"),
    "a weight is missing": (
        lambda f: rewrite(f, lambda w: w.pop(NORM)),
        f"1 of 69 weights are missing, first {NORM}",
    ),
    "another shape": (
        lambda f: rewrite(f, lambda w: w.update({NORM: np.zeros(63, np.float32)})),
        rf"{NORM} has shape \[63\], config.json says \[64\]",
    ),
    "weights without a place": (
        lambda f: rewrite(f, lambda w: w.update({"model.layers.2.x": np.zeros(1, np.float32)})),
        r"no place for, first model\.layers\.2\.x",
    ),
    "no tokenizer": (drop("tokenizer.json"), r"tokenizer\.json is missing"),
    "no processor": (drop("preprocessor_config.json"), r"preprocessor_config\.json is missing"),
    "a torn tokenizer": (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer files can't be loaded"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_folder_is_one_clear_line(copy: Path, name: str) -> None:
    spoil, message = SPOILED[name]
    spoil(copy)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(copy)
    assert "\n" not in str(caught.value)
    assert str(copy) in str(caught.value)


def test_no_folder_and_no_such_dtype(tmp_path: Path, model_dir: Path) -> None:
    with pytest.raises(ModelError, match="no such model folder"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="expected one of float32, bfloat16, float16"):
        load_model(model_dir, dtype="int8")


def test_end_tokens_are_gathered_from_both_files(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    im_end = config["text_config"]["eos_token_id"]
    endoftext = config["text_config"]["bos_token_id"]
    assert end_token_ids(inspect_checkpoint(copy)) == {im_end, endoftext}
    # As PaddleFormers' trainer leaves it: the first one only.
    edit_json(copy / "generation_config.json", eos_token_id=im_end)
    assert end_token_ids(inspect_checkpoint(copy)) == {im_end}
    assert load_model(copy).end_token_ids == {im_end, endoftext}
    edit_json(copy / "generation_config.json", eos_token_id=[im_end, 5])
    assert load_model(copy).end_token_ids == {im_end, endoftext, 5}


def test_fingerprints_tell_checkpoints_apart(copy: Path, model_dir: Path) -> None:
    same = inspect_checkpoint(model_dir).fingerprint()
    assert inspect_checkpoint(copy).fingerprint() == same
    path = copy / "model.safetensors"
    whole = path.read_bytes()
    for changed in (16_000, len(whole) - 1):  # near the front, and the very last byte
        path.write_bytes(whole[:changed] + bytes([whole[changed] ^ 1]) + whole[changed + 1 :])
        assert inspect_checkpoint(copy).fingerprint() != same
    path.write_bytes(whole)
    assert inspect_checkpoint(copy).fingerprint() == same
    edit_json(copy / "config.json", note="another")
    assert inspect_checkpoint(copy).fingerprint() != same


def test_loading_is_quiet_unless_debugging_is_asked_for(model_dir: Path) -> None:
    code = (
        "import logging, sys; from paddle_ground.backend.loading import load_model\n"
        "if len(sys.argv) > 2: logging.getLogger('paddle_ground').setLevel(logging.DEBUG)\n"
        "load_model(sys.argv[1])"
    )

    def lines(*more: str) -> str:
        run = subprocess.run(
            [sys.executable, "-c", code, str(model_dir), *more], capture_output=True, text=True, check=True
        )
        return run.stdout + run.stderr

    assert lines() == ""
    assert "config.json" in lines("debug")


def test_logging_is_as_before_after_loading(model_dir: Path) -> None:
    before = logging.root.manager.disable
    with pytest.raises(ModelError):
        load_model(model_dir / "nowhere")
    load_model(model_dir)
    assert logging.root.manager.disable == before
