"""A GPU configuration rehearsed on a CPU: what is kept, what is changed, and what is told."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paddle_ground.data.speaking import chosen_space
from paddle_ground.errors import ConfigError, TrainError
from paddle_ground.train import rehearse as rehearsal
from paddle_ground.train.command import describe
from paddle_ground.train.config import known_keys, load_config
from paddle_ground.train.follow import TrainReport
from paddle_ground.train.rehearse import Rehearsal, cpu_values, rehearse
from paddle_ground.train.rehearsed import adapter_problems, length_warnings, problems
from paddle_ground.train.small_model import shapes_like

sys.path.insert(0, str(Path(__file__).parent))
from parallel_runs import write_squares

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "qwen3_vl"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("rehearsal") / "data", 24)


def overrides(data: Path, folder: Path, *more: str) -> list[str]:
    return [f"train_dataset_path={data}", f"eval_dataset_path={data}", f"output_dir={folder}", *more]


def no_adapter(run: Path, out: Path) -> None:
    raise AssertionError(f"{run} has no adapter to merge")


@pytest.mark.parametrize(
    ("name", "key_heads", "tied"),
    [("8b_sft_tp4.yaml", 4, False), ("4b_sft_tp2.yaml", 2, True), ("2b_sft.yaml", 2, True)],
)
def test_the_small_model_parts_as_the_large_one(name: str, key_heads: int, tied: bool) -> None:
    text = shapes_like(load_config(CONFIGS / name)).text
    assert (text.num_key_value_heads, text.tie_word_embeddings) == (key_heads, tied)
    assert text.num_attention_heads == 2 * key_heads


def test_a_local_model_says_itself_whether_its_layers_are_tied(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"tie_word_embeddings": True}), encoding="utf-8")
    config = load_config(CONFIGS / "8b_sft_tp4.yaml", [f"model_name_or_path={tmp_path}"])
    assert shapes_like(config).text.tie_word_embeddings
    with pytest.raises(TrainError, match=r"is 3; it must divide"):
        shapes_like(load_config(CONFIGS / "2b_sft.yaml", ["tensor_model_parallel_size=3"]))


# What the rehearsal is about: changing one of these would make it another run.
KEPT = {
    "tensor_model_parallel_size", "packing", "template", "template_backend", "freeze_config", "fine_tuning",
    "recompute_granularity", "recompute_method", "recompute_num_layers", "_attn_implementation",
    "use_attn_mask_startend_row_indices", "train_dataset_path", "dataset_type", "max_grad_norm", "stage",
    "per_device_train_batch_size", "convert_from_hf", "save_to_hf", "weight_decay", "lr_scheduler_type",
}  # fmt: skip


def test_only_what_a_cpu_cannot_do_is_changed(data: Path, tmp_path: Path, model_folder: Path) -> None:
    config = load_config(CONFIGS / "8b_sft_tp4.yaml", overrides(data, tmp_path / "run"))
    values = cpu_values(config, model_folder)
    assert not KEPT & values.keys()
    assert values.keys() - {"grounding"} <= known_keys()
    assert (values["sharding"], values["sharding_parallel_size"]) == ("stage1", 2)
    assert values["grounding"] == {"implementation": "native", "image_max_pixels": 128 * 128}
    silent = {key: value for key, value in config.values.items() if key != "sharding"}
    assert cpu_values(replace(config, values=silent), model_folder)["sharding"] == "stage1"
    none = cpu_values(replace(config, values={**silent, "sharding": ""}), model_folder)
    assert "sharding" not in none
    with pytest.raises(TrainError, match="pipeline parallelism needs paddlefleet"):
        cpu_values(load_config(CONFIGS / "2b_sft.yaml", ["pipeline_model_parallel_size=2"]), model_folder)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from paddle_ground.backend.tiny import build_tiny_model

    folder = tmp_path_factory.mktemp("small")
    build_tiny_model(folder / "model", "test")
    return folder


class Letters:
    """Decodes 1 as a, 2 as b, ..., and 99 as an image token."""

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        assert not skip_special_tokens
        return "".join("<|image_pad|>" if i == 99 else chr(ord("a") + i - 1) for i in ids)


def test_what_the_loss_counts_is_marked_token_by_token() -> None:
    from paddle_ground.backend.trained_text import parts

    ids = [99, 99, 99, 1, 2, 3, 4, 1]
    labels = [-100, -100, -100, -100, 3, 4, -100, -100]  # each the token that comes next
    assert parts(ids, labels, Letters()) == [("<|image_pad|> x 3 ab", False), ("cd", True), ("a", False)]


def test_packed_rows_are_parted_where_their_row_indices_part_them() -> None:
    paddle = pytest.importorskip("paddle")
    from paddle_ground.backend.trained_text import _samples

    labels = [[2, -100, 4, 5, -100, -100, -100]]
    batch = {
        "input_ids": paddle.to_tensor([[1, 2, 3, 4, 5, 7, 7]]),
        "labels": paddle.to_tensor(labels),
        "attn_mask_startend_row_indices": paddle.to_tensor(
            np.array([2, 2, 5, 5, 5, 6, 7], np.int32).reshape(1, 1, 7, 1)
        ),
    }
    found = list(_samples(batch, Letters()))
    assert found == [[("a", False), ("b", True)], [("c", False), ("de", True)]]


def test_what_the_gpu_run_would_refuse_ends_it_before_it_starts(data: Path, tmp_path: Path) -> None:
    """Of the model that is named: the small one has other heads, and no name that tells what it is."""
    given = overrides(data, tmp_path / "run", "tensor_model_parallel_size=3", "freeze_config=freeze_visoin")
    with pytest.raises(ConfigError, match=r"`freeze_config`.*did you mean freeze_vision.*8 key heads"):
        rehearse(CONFIGS / "2b_sft.yaml", given, load=str, merge=no_adapter)
    assert not (tmp_path / "run_rehearsal").exists()


def check(found: Rehearsal, processes: int) -> None:
    assert found.problems == ()
    assert found.processes == processes
    assert [step for step, _ in found.losses] == list(range(1, rehearsal.STEPS + 1))
    assert found.skipped == 0
    assert len(found.samples) == 3
    for parts in found.samples:
        prompt, answer = (
            "".join(text for text, trained in parts if trained is kind) for kind in (False, True)
        )
        assert "Task: Object Detection" in prompt
        assert "<|image_pad|> x 4 " in prompt
        assert answer.startswith("<|object_ref_start|>square<|object_ref_end|><|box_start|>(")
        assert answer.rstrip().endswith("<|im_end|>")
        assert "ref-object" not in prompt + answer
    assert json.loads((found.folder / rehearsal.REPORT).read_text(encoding="utf-8"))["processes"] == processes


def test_a_one_gpu_configuration_is_rehearsed_as_it_is(data: Path, tmp_path: Path) -> None:
    from paddle_ground.infer import Engine

    given = overrides(data, tmp_path / "run", "sharding=")
    found = rehearse(
        CONFIGS / "2b_sft.yaml", given, load=Engine.load, merge=no_adapter, on_step=lambda *_: None
    )
    check(found, 1)
    told = "\n".join(describe(found))
    assert "compute_type: bf16 -> float32" in told
    assert "\u3010<|object_ref_start|>square" in told
    assert "No problem found" in told
    assert found.warnings == ()
    worse = "\n".join(describe(replace(found, problems=("the loss is not finite",), warnings=("`a`: b",))))
    assert worse.endswith("PROBLEM: the loss is not finite")
    assert "\nwarning: `a`: b\n" in worse


@pytest.mark.heavy
def test_the_eight_gpu_configuration_is_rehearsed_in_eight_processes(data: Path, tmp_path: Path) -> None:
    from paddle_ground.infer import Engine

    given = overrides(data, tmp_path / "run")
    check(
        rehearse(
            CONFIGS / "8b_sft_tp4.yaml", given, load=Engine.load, merge=no_adapter, on_step=lambda *_: None
        ),
        8,
    )


def test_what_stops_early_or_lists_millions_of_samples_is_changed(
    data: Path, tmp_path: Path, model_folder: Path
) -> None:
    given = overrides(data, tmp_path / "run", "mix_strategy=random", "num_samples_each_epoch=6000000")
    section = "grounding={evaluate_every: 500, keep_best: eval_ap50, stop_after: 3}"
    values = cpu_values(load_config(CONFIGS / "2b_sft.yaml", [*given, section]), model_folder)
    assert values["num_samples_each_epoch"] == 500
    assert values["grounding"]["evaluate_every"] == rehearsal.STEPS_BEFORE
    assert values["grounding"]["keep_best"] == "eval_ap50"
    assert "stop_after" not in values["grounding"]


@pytest.mark.parametrize(
    ("learned", "problem"),
    [(None, "left no adapter"), (0.0, "nothing was learned"), (np.nan, "not finite"), (0.1, None)],
)
def test_an_adapter_is_looked_at_before_it_is_merged(
    tmp_path: Path, learned: float | None, problem: str | None
) -> None:
    from safetensors.numpy import save_file

    if learned is not None:
        (tmp_path / "lora_config.json").write_text("{}", encoding="utf-8")
        weights = {"a.lora_A": np.ones((4, 2), np.float32), "a.lora_B": np.full((2, 4), learned, np.float32)}
        save_file(weights, tmp_path / "peft_model-00001-of-00001.safetensors")
    found = list(adapter_problems(tmp_path))
    assert found == [] if problem is None else problem in found[0]


def test_the_real_rows_and_the_real_model_are_looked_at(
    data: Path, tmp_path: Path, model_folder: Path
) -> None:
    """Neither is run: images are small in a rehearsal, and so is the model."""
    model = shutil.copytree(model_folder / "model", tmp_path / "model")
    given = overrides(data, tmp_path / "run", f"model_name_or_path={model}")
    config = load_config(CONFIGS / "2b_sft.yaml", given)
    assert list(length_warnings(config)) == []
    (warning,) = length_warnings(load_config(config.path, [*given, "max_seq_len=48"]))
    assert "48 is below the data's 99th percentile" in warning

    half = TrainReport(tmp_path / "run", tmp_path / "train.log", losses=[(1, 2.0), (2, 1.0)])
    rest = replace(half, losses=[(3, 0.9), (4, 0.8), (5, 0.7)])

    def found() -> list[str]:
        return list(problems(config, half, rest, 2, load=str, merge=no_adapter))

    assert found() == []
    (model / "model.safetensors").write_bytes(b"cut off")
    (problem,) = found()
    assert "model.safetensors: not a whole safetensors file" in problem


@pytest.mark.heavy
def test_an_adapter_with_a_best_model_is_rehearsed(data: Path, tmp_path: Path) -> None:
    from paddle_ground.export.write import merge
    from paddle_ground.infer import Engine

    lora = ("fine_tuning=lora", "lora=true", "lora_rank=4", "lora_alpha=16")
    section = "grounding={evaluate_every: 500, evaluate_samples: 2, keep_best: eval_ap50, stop_after: 3}"
    given = overrides(data, tmp_path / "run", "sharding=", *lora, section)
    loaded = []
    found = rehearse(
        CONFIGS / "2b_sft.yaml", given, load=lambda folder: loaded.append(Engine.load(folder)), merge=merge,
        on_step=lambda *_: None,
    )  # fmt: skip
    assert found.problems == ()
    assert len(loaded) == 1
    assert (found.folder / "merged" / "config.json").is_file()
    assert (found.folder / "run" / "best" / "best.json").is_file()


@pytest.mark.heavy
def test_a_second_family_is_rehearsed_by_its_own_small_model(tmp_path: Path) -> None:
    from paddle_ground.infer import Engine

    data = write_squares(tmp_path / "data", 24, chosen_space("qwen2_5_vl", None))
    given = overrides(data, tmp_path / "run", "sharding=")
    config = CONFIGS.parent / "qwen2_5_vl" / "3b_sft.yaml"
    check(rehearse(config, given, load=Engine.load, merge=no_adapter, on_step=lambda *_: None), 1)
    told = json.loads((tmp_path / "run_rehearsal" / "model" / "config.json").read_text(encoding="utf-8"))
    assert told["model_type"] == "qwen2_5_vl"


@pytest.mark.heavy
def test_samples_that_do_not_fit_are_a_problem(data: Path, tmp_path: Path) -> None:
    given = overrides(data, tmp_path / "run", "max_seq_len=48", "sharding=")
    found = rehearse(CONFIGS / "2b_sft.yaml", given, load=str, merge=no_adapter, on_step=lambda *_: None)
    assert any("left out or replaced" in problem for problem in found.problems)
    assert "99th percentile" in found.warnings[0]
