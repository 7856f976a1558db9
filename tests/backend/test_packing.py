"""Several samples in one row: each must be read as if it stood alone, and recomputed as it was computed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

import paddle.nn.functional as F  # noqa: E402
from paddleformers.datasets.collate import mm_collate_fn  # noqa: E402
from paddleformers.transformers.qwen3_vl import modeling  # noqa: E402

from paddle_ground.backend import cpu_attention, cpu_kernels, loading, recompute  # noqa: E402

GRIDS = [(1, 4, 6), (1, 8, 4), (1, 4, 4)]
ROW = 72


@pytest.fixture(scope="module")
def model(model_dir: Path) -> Any:
    cpu_kernels.apply()
    return loading.load_model(model_dir).model


def sample(model: Any, number: int) -> SimpleNamespace:
    """One picture between words, with labels on the words behind it."""
    rng = np.random.default_rng(number)
    grid = GRIDS[number]
    patches = grid[1] * grid[2]
    words = rng.integers(5, 200, 6 + number).tolist()
    image = [model.config.image_token_id] * (patches // 4)
    start, end = model.config.vision_start_token_id, model.config.vision_end_token_id
    ids = [7, start, *image, end, *words]
    labels = [-100] * (len(ids) - len(words)) + [*words[1:], -100]
    pixels = paddle.to_tensor(rng.standard_normal((patches, 1536)).astype(np.float32))
    return SimpleNamespace(
        token_ids=ids, labels=labels, mm_inputs={"pixel_values": pixels, "image_grid_thw": [list(grid)]}
    )


def collate(model: Any, batch: list[list[SimpleNamespace]]) -> dict[str, Any]:
    """Make a batch as PaddleFormers does: one row for each list of samples."""
    arguments = SimpleNamespace(
        num_nextn_predict_layers=0, sequence_parallel=False, context_parallel_size=1, fp8=None
    )
    options = SimpleNamespace(use_attn_mask_startend_row_indices=True, use_global_causal_attn=False)
    made = mm_collate_fn(
        batch, None, None, SimpleNamespace(pad_token_id=0), arguments, options, ROW, False, model
    )
    return {name: value for name, value in made.items() if value is not None and 0 not in value.shape}


def token_losses(model: Any, batch: dict[str, Any]) -> np.ndarray:
    """The loss of each token that has a label, in order."""
    labels = batch.pop("labels")
    with paddle.no_grad():
        logits = model(**batch, use_cache=False).logits
    kept = labels.reshape([-1]) != -100
    each = F.cross_entropy(
        logits.reshape([-1, logits.shape[-1]]), labels.reshape([-1]).clip(0), reduction="none"
    )
    return each.reshape([-1]).numpy()[kept.numpy()]


def test_packed_samples_have_the_losses_that_they_have_alone(model: Any) -> None:
    samples = [sample(model, number) for number in range(3)]
    alone = np.concatenate([token_losses(model, collate(model, [[each]])) for each in samples])
    assert len(alone) == sum(5 + number for number in range(3))
    packed = token_losses(model, collate(model, [samples]))
    np.testing.assert_allclose(packed, alone, rtol=0, atol=1e-5)
    leaking = collate(model, [samples])
    leaking["attn_mask_startend_row_indices"] = paddle.full([1, 1, ROW, 1], ROW, "int32")
    assert np.abs(token_losses(model, leaking) - alone).max() > 1e-3, "the row indices change nothing"


def test_row_indices_give_what_a_dense_mask_gives() -> None:
    rng = np.random.default_rng(1)
    lengths, heads, width = [5, 3, 6], 2, 8
    total = sum(lengths)
    query, key, value = (rng.standard_normal((1, heads, total, width)).astype(np.float32) for _ in range(3))
    owner = np.repeat(np.arange(3), lengths)
    visible = (owner[:, None] == owner[None]) & np.tril(np.ones((total, total), bool))
    scores = np.where(visible, query[0] @ key[0].transpose(0, 2, 1) / np.sqrt(width), -np.inf)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    dense = (shares / shares.sum(-1, keepdims=True)) @ value[0]
    rows = np.repeat(np.cumsum(lengths), lengths).astype(np.int32)[None, None, :, None]
    tensors = (paddle.to_tensor(array) for array in (query, key, value))
    out, _ = cpu_attention.text_attention_interface(
        None, *tensors, attn_mask_startend_row_indices=paddle.to_tensor(rows)
    )
    np.testing.assert_allclose(out[0].numpy(), dense.transpose(1, 0, 2).reshape(total, -1), atol=1e-5)


@pytest.fixture
def recomputing(model: Any) -> Any:
    keys = {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
    configs = [layer.config for layer in model.sublayers(include_self=True) if hasattr(layer, "config")]
    before = [{key: getattr(config, key, None) for key in keys} for config in configs]
    model.train()

    def switch(on: bool) -> None:
        for config, old in zip(configs, before, strict=True):
            for key, value in (keys if on else old).items():
                setattr(config, key, value)

    yield switch
    switch(False)
    model.eval()


def gradients(model: Any) -> dict[str, np.ndarray]:
    batch = collate(model, [[sample(model, 0), sample(model, 1)]])
    model(**batch, use_cache=False).loss.backward()
    found = {name: p.grad.numpy().copy() for name, p in model.named_parameters() if p.grad is not None}
    model.clear_gradients(set_to_zero=False)
    return found


def test_recomputing_changes_no_gradient(
    model: Any, recomputing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upstream symptom: a trained vision tower can't be recomputed at all."""
    kept = gradients(model)
    recomputing(True)
    with pytest.raises(TypeError, match="attn_mask_startend_row_indices"):
        gradients(model)
    stock = modeling.Qwen3VLVisionModel.recompute_training_full
    monkeypatch.setattr(modeling.Qwen3VLVisionModel, "recompute_training_full", stock)  # put back afterwards
    recompute.accept_row_indices_in_vision_recompute()
    again = gradients(model)
    assert again.keys() == kept.keys()
    assert any("visual.blocks" in name for name in kept)
    for name, grad in kept.items():
        np.testing.assert_allclose(
            again[name], grad, rtol=0, atol=1e-6 + 1e-5 * np.abs(grad).max(), err_msg=name
        )
