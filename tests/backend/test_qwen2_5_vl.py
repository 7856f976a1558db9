"""Qwen2.5-VL: shapes of the published models, windows, and our CPU kernels against PaddleFormers' own."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

paddle = pytest.importorskip("paddle")

from paddleformers.transformers.qwen2_5_vl import modeling  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from one_step import comparable, run, worst  # noqa: E402

from paddle_ground.backend import contiguous, cpu_kernels  # noqa: E402
from paddle_ground.backend.checkpoint import inspect_checkpoint  # noqa: E402
from paddle_ground.backend.qwen2_5_vl import kernels, windows  # noqa: E402
from paddle_ground.backend.shapes import config_layout, parameter_shapes  # noqa: E402
from paddle_ground.backend.tiny import (  # noqa: E402
    PRESETS,
    TextShape,
    TinyPreset,
    WindowVisionShape,
    build_tiny_model,
)
from paddle_ground.errors import ModelError  # noqa: E402

# Hidden, layers, heads, key heads, intermediate, vocabulary, tied; parameters in all and in the vision
# tower, counted on torch's meta device in HF transformers (Qwen2_5_VLForConditionalGeneration).
PUBLISHED = {
    "3B": (2048, 36, 16, 2, 11008, 151_936, True, 3_754_622_976, 668_684_288),
    "7B": (3584, 28, 28, 4, 18944, 152_064, False, 8_292_166_656, 676_550_144),
}


def published_config(name: str) -> dict[str, Any]:
    """The published config.json as transformers 4.49 wrote it: settings at the top, defaults left out."""
    hidden, layers, heads, key_heads, wide, vocabulary, tied, _, _ = PUBLISHED[name]
    return {
        "model_type": "qwen2_5_vl", "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": key_heads, "intermediate_size": wide,
        "vocab_size": vocabulary, "tie_word_embeddings": tied,
        "vision_config": {"hidden_size": 1280, "in_chans": 3, "model_type": "qwen2_5_vl",
                          "out_hidden_size": hidden, "spatial_patch_size": 14, "tokens_per_second": 2},
    }  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_shapes_add_up_to_the_published_models(name: str) -> None:
    shapes = dict(parameter_shapes(published_config(name)))
    assert sum(map(math.prod, shapes.values())) == PUBLISHED[name][-2]
    vision = (math.prod(shape) for key, shape in shapes.items() if key.startswith("visual."))
    assert sum(vision) == PUBLISHED[name][-1]


def test_settings_are_found_where_old_and_new_configs_keep_them() -> None:
    flat = published_config("7B")
    vision = flat.pop("vision_config")
    kept = {"model_type": flat.pop("model_type"), "vision_config": vision}
    nested = {**kept, "text_config": flat}
    assert list(parameter_shapes(nested)) == list(parameter_shapes({**kept, **flat}))
    assert config_layout(nested).tied(nested) is False
    assert config_layout(nested).vision(nested)["depth"] == 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("qwen2_5") / "model", "test_qwen2_5_vl", seed=4)


def test_the_small_model_is_what_its_config_says(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    assert {name: weight.shape for name, weight in weights.items()} == dict(parameter_shapes(config))
    assert inspect_checkpoint(folder).config["model_type"] == "qwen2_5_vl"


@pytest.mark.parametrize(
    ("preset", "words"),
    [
        (TinyPreset(TextShape(head_dim=24, mrope_section=(4, 4, 4)), WindowVisionShape()), "no head_dim"),
        (TinyPreset(vision=WindowVisionShape(window_size=100)), "window_size must be a multiple of 28"),
    ],
)
def test_shapes_that_the_family_does_not_have_are_refused(
    tmp_path: Path, preset: TinyPreset, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        build_tiny_model(tmp_path / "model", preset)


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[Any]:
    cpu_kernels.apply()  # remembers the stock functions
    loaded = modeling.Qwen2_5_VLForConditionalGeneration.from_pretrained(
        str(folder), convert_from_hf=True, load_checkpoint_format="flex_checkpoint"
    )
    yield comparable(loaded)
    cpu_kernels.restore()


GRIDS = [(1, 20, 12), (1, 4, 4), (1, 8, 10)]


@pytest.fixture(scope="module")
def batch(model: Any) -> dict[str, Any]:
    """Two rows padded in front: two images in the first, one in the second."""
    config, rng, length = model.config, np.random.default_rng(3), 96
    ids, mask = np.zeros((2, length), np.int64), np.zeros((2, length), np.int64)
    for row, grids in enumerate((GRIDS[:2], GRIDS[2:])):
        tokens: list[int] = []
        for _, height, width in grids:
            images = [config.image_token_id] * (height * width // 4)
            tokens += [*range(5, 11), config.vision_start_token_id, *images, config.vision_end_token_id]
        tokens += range(40, 46)
        ids[row, length - len(tokens) :], mask[row, length - len(tokens) :] = tokens, 1
    starts = np.argmax(mask, axis=1)
    rows = np.where(np.arange(length)[None] < starts[:, None], 0, length).astype(np.int32)
    patches = sum(t * h * w for t, h, w in GRIDS)
    return {
        "input_ids": paddle.to_tensor(ids),
        "labels": paddle.to_tensor(np.where(mask == 1, ids, -100)),
        "pixel_values": paddle.to_tensor(rng.standard_normal((patches, 1176)).astype(np.float32)),
        "image_grid_thw": paddle.to_tensor(np.array(GRIDS)),
        "attn_mask_startend_row_indices": paddle.to_tensor(rows[:, None, :, None]),
        "mask": mask,
    }


def test_logits_and_gradients_equal_the_stock_ones(model: Any, batch: dict[str, Any]) -> None:
    cpu_kernels.restore()
    stock_logits, stock_grads = run(model, batch)
    cpu_kernels.apply()
    with contiguous.contiguous_kernels():
        logits, grads = run(model, batch)
    assert worst(logits, stock_logits) < 1e-5
    assert grads.keys() == stock_grads.keys()
    assert len(grads) > 40
    for name, grad in grads.items():
        assert worst(grad, stock_grads[name]) < 1e-5, name


def test_positions_equal_the_stock_ones(model: Any, batch: dict[str, Any]) -> None:
    given_ = (batch["input_ids"], batch["image_grid_thw"], None, None, paddle.to_tensor(batch["mask"]))
    cpu_kernels.restore()
    theirs, their_delta = model.model.get_rope_index(*given_)
    cpu_kernels.apply()
    mine, delta = model.model.get_rope_index(*given_)
    np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    np.testing.assert_array_equal(delta.numpy(), their_delta.numpy().reshape(-1, 1))


def forbidden(*_: Any, **__: Any) -> None:
    raise AssertionError("the slow stock operator was called")


# What each patch replaces, and the stock operator that must no longer run once it is in place.
NEEDED: dict[str, tuple[Any, str]] = {
    "Qwen2_5_VisionPatchEmbed.forward": (paddle.nn.Conv3D, "forward"),
    "Qwen2_5_VLPatchMerger.forward": (paddle.Tensor, "view"),
    "Qwen2_5_VisionTransformerPretrainedModel.rot_pos_emb": (paddle, "outer"),
    "Qwen2_5_VisionTransformerPretrainedModel.get_window_index": (paddle.nn.functional, "pad"),
    "Qwen2_5_VLVisionAttention.forward": (modeling, "apply_rotary_pos_emb_vision"),
    "Qwen2_5_VLAttention.forward": (modeling, "apply_multimodal_rotary_pos_emb"),
    "Qwen2_5_VLModel.get_rope_index": (paddle, "argwhere"),
}  # fmt: skip


@pytest.mark.parametrize("patch", kernels.PATCHES, ids=lambda p: f"{p[0].__name__}.{p[1]}")
def test_each_patch_is_needed(
    patch: tuple[Any, str, Any], model: Any, batch: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, _ = patch
    place, operator = NEEDED[f"{owner.__name__}.{name}"]
    cpu_kernels.apply()
    stock = getattr(place, operator)

    def pads_no_windows(*arguments: Any, **more: Any) -> Any:
        # The stock forward pass pads something else, too; windows are padded with -100.
        return forbidden() if arguments[3:] == (-100,) else stock(*arguments, **more)

    monkeypatch.setattr(place, operator, pads_no_windows if operator == "pad" else forbidden)
    run(model, batch)
    monkeypatch.setattr(owner, name, getattr(owner, f"_stock_{name}"))
    with pytest.raises(AssertionError, match="slow stock operator"):
        run(model, batch)


grids = st.lists(
    st.tuples(st.just(1), st.integers(1, 11), st.integers(1, 11)).map(lambda g: (1, 2 * g[1], 2 * g[2])),
    min_size=1, max_size=3,
)  # fmt: skip


@given(grids)
def test_windows_and_places_are_the_stock_ones(model: Any, images: list[tuple[int, int, int]]) -> None:
    cpu_kernels.restore()
    tower, tensor = model.model.visual, paddle.to_tensor(np.array(images))
    order, ends = tower.get_window_index(tensor)
    angles = tower.rot_pos_emb(tensor)
    my_order, my_ends = kernels.get_window_index(tower, tensor)
    np.testing.assert_array_equal(my_order.numpy(), order.numpy())
    # The stock one counts empty windows at the edges, too, and drops them later.
    assert my_ends == sorted(set(ends))
    np.testing.assert_allclose(kernels.rot_pos_emb(tower, tensor).numpy(), angles.numpy(), rtol=1e-6)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8).map(tuple))
def test_runs_sorted_by_length_come_back_in_their_order(lengths: tuple[int, ...]) -> None:
    order, back, batches = windows.by_length(lengths)
    patches = np.arange(sum(lengths))
    np.testing.assert_array_equal(patches[order][back], patches)
    assert sorted(length for count, length in batches for _ in range(count)) == sorted(lengths)
    runs = np.split(patches, np.cumsum(lengths)[:-1])
    placed = np.split(patches[order], np.cumsum([n for c, n in batches for _ in range(c)])[:-1])
    assert sorted(map(tuple, placed)) == sorted(map(tuple, runs))


def test_presets_are_found_by_family() -> None:
    assert PRESETS["demo_qwen2_5_vl"].model_type == "qwen2_5_vl"
    assert PRESETS["demo"].model_type == "qwen3_vl"


def test_adapters_stay_off_frozen_parts_and_on_all_others(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paddleformers.cli.train.sft import workflow
    from paddleformers.cli.utils.mllm_utils import get_multimodel_lora_target_modules

    from paddle_ground.backend.qwen2_5_vl import mends

    stock = workflow.get_lora_target_modules
    monkeypatch.setattr(workflow, "get_lora_target_modules", stock)  # put back when the test ends
    layers = [name for name, layer in model.named_sublayers() if hasattr(layer, "weight")]

    def adapted(frozen: str) -> set[str]:
        targets = workflow.get_lora_target_modules(model)
        targets = get_multimodel_lora_target_modules(model, targets, frozen)
        return {name for name in layers if any(re.fullmatch(target, name) for target in targets)}

    every, with_stock = adapted(""), adapted("freeze_vision freeze_aligner")
    assert any("visual" in name for name in with_stock), "upstream is mended: drop the mend"
    mends.apply_for_training()
    assert adapted("") == every
    assert adapted("freeze_vision freeze_aligner") == {n for n in every if ".language_model." in n}
    assert adapted("freeze_llm freeze_aligner") == {n for n in every if ".visual.blocks." in n}
    assert adapted("freeze_llm freeze_vision") == {n for n in every if ".merger." in n}
