"""Our CPU forward passes against PaddleFormers' own: same outputs, same gradients, and each one needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from paddleformers.nn.attention.interface import ALL_ATTENTION_FUNCTIONS  # noqa: E402
from paddleformers.transformers.qwen3_vl import modeling  # noqa: E402
from paddleformers.utils.masking_utils import _gen_from_sparse_attn_mask_indices  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from one_step import comparable, run, worst  # noqa: E402

from paddle_ground.backend import contiguous, cpu_attention, cpu_kernels, positions  # noqa: E402

GRIDS = [(1, 8, 6), (1, 4, 4), (1, 8, 6)]


def token(config: Any, name: str) -> int:
    return int(getattr(config, f"{name}_token_id"))


def row(
    config: Any, grids: list[tuple[int, int, int]], text: int, length: int
) -> tuple[list[int], list[int]]:
    """Ids and attention mask of one left-padded row: text, image, text, image, ..., text."""
    ids = []
    for _, height, width in grids:
        images = [token(config, "image")] * (height * width // 4)
        ids += [*range(5, 5 + text), token(config, "vision_start"), *images, token(config, "vision_end")]
    ids += list(range(40, 40 + text))
    pad = length - len(ids)
    return [0] * pad + ids, [0] * pad + [1] * len(ids)


@pytest.fixture(scope="module")
def model(model_dir: Path) -> Iterator[Any]:
    loaded = modeling.Qwen3VLForConditionalGenerationDeprecated.from_pretrained(
        str(model_dir), convert_from_hf=True, load_checkpoint_format="flex_checkpoint"
    )
    yield comparable(loaded)
    cpu_kernels.restore()


@pytest.fixture
def batch(model: Any) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    first, mask_first = row(model.config, GRIDS[:2], 6, 48)
    second, mask_second = row(model.config, GRIDS[2:], 9, 48)
    ids, mask = np.array([first, second]), np.array([mask_first, mask_second])
    labels = np.where(mask == 1, ids, -100)
    patches = sum(t * h * w for t, h, w in GRIDS)
    starts = np.argmax(mask, axis=1)
    # Padding in front is hidden from everyone; rows are causal.
    rows = np.where(np.arange(48)[None] < starts[:, None], 0, 48).astype(np.int32)[:, None, :, None]
    return {
        "input_ids": paddle.to_tensor(ids),
        "labels": paddle.to_tensor(labels),
        "pixel_values": paddle.to_tensor(rng.standard_normal((patches, 1536)).astype(np.float32)),
        "image_grid_thw": paddle.to_tensor(np.array(GRIDS)),
        "attn_mask_startend_row_indices": paddle.to_tensor(rows),
        "mask": mask,
    }


def test_logits_and_gradients_equal_the_stock_ones(model: Any, batch: dict[str, Any]) -> None:
    cpu_kernels.restore()
    stock_logits, stock_grads = run(model, batch)
    cpu_kernels.apply()
    logits, grads = run(model, batch)
    assert worst(logits, stock_logits) < 1e-5
    assert grads.keys() == stock_grads.keys()
    assert len(grads) > 50
    for name, grad in grads.items():
        assert worst(grad, stock_grads[name]) < 1e-5, name


def test_contiguous_kernels_change_no_number_and_are_undone(model: Any, batch: dict[str, Any]) -> None:
    flag = "FLAGS_use_stride_kernel"
    before = paddle.get_flags([flag])[flag]
    cpu_kernels.apply()
    logits, grads = run(model, batch)
    with contiguous.contiguous_kernels():
        assert paddle.get_flags([flag])[flag] is False
        inside, inside_grads = run(model, batch)
    assert paddle.get_flags([flag])[flag] == before
    np.testing.assert_allclose(inside, logits, rtol=0, atol=1e-6)
    for name, grad in grads.items():
        assert worst(inside_grads[name], grad) < 1e-5, name


def forbidden(*_: Any, **__: Any) -> None:
    raise AssertionError("the slow stock operator was called")


# What each patch replaces, and the stock operator that must no longer run once it is in place.
NEEDED = {
    "RMSNorm.forward": ("paddle.Tensor", "pow"),
    "MLP.forward": ("paddle.Tensor", "chunk"),
    "LayerNorm.forward": ("paddle.nn.layer.norm", "layer_norm"),
    "Tensor.masked_scatter": ("paddle", "logical_not"),
    "Qwen3VLVisionPatchEmbed.forward": ("paddle.nn.Conv3D", "forward"),
    "Qwen3VLVisionAttention.forward": ("modeling", "apply_rotary_pos_emb_vision"),
    "Qwen3VLVisionModel.rot_pos_emb": ("modeling.Qwen3VLVisionRotaryEmbedding", "forward"),
    "Qwen3VLVisionModel.fast_pos_embed_interpolate": ("paddle", "linspace"),
    "Qwen3VLTextAttention.forward": ("modeling", "apply_multimodal_rotary_pos_emb"),
    "Qwen3VLTextModel._deepstack_process": ("paddle.Tensor", "clone"),
    "Qwen3VLModelDeprecated.get_rope_index": ("paddle", "argwhere"),
}


def owner_of(path: str) -> Any:
    place: Any = {"paddle": paddle, "modeling": modeling}[path.split(".")[0]]
    for part in path.split(".")[1:]:
        place = getattr(place, part)
    return place


@pytest.mark.parametrize("patch", cpu_kernels.PATCHES, ids=lambda p: f"{p[0].__name__}.{p[1]}")
def test_each_patch_is_needed_to_avoid_the_slow_operator(
    patch: tuple[Any, str, Any], model: Any, batch: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, _ = patch
    place, operator = NEEDED[f"{owner.__name__}.{name}"]
    cpu_kernels.apply()
    monkeypatch.setattr(owner_of(place), operator, forbidden)
    run(model, batch)
    monkeypatch.setattr(owner, name, getattr(owner, f"_stock_{name}"))
    with pytest.raises(AssertionError, match="slow stock operator"):
        run(model, batch)


def test_the_fused_norm_and_flashmask_have_no_cpu_kernel_without_us(
    model: Any, batch: dict[str, Any]
) -> None:
    cpu_kernels.restore()
    model.config.fuse_rms_norm = True
    norm = next(layer for layer in model.sublayers() if type(layer).__name__ == "RMSNorm")
    norm.config.fuse_rms_norm = True
    try:
        with pytest.raises(
            (RuntimeError, NotImplementedError, ValueError), match=r"(?i)kernel|registered|support"
        ):
            norm(paddle.ones([2, norm.hidden_size]))
        cpu_kernels.apply()
        np.testing.assert_allclose(norm(paddle.full([2, norm.hidden_size], 3.0)).numpy(), 1.0, rtol=1e-5)
    finally:
        norm.config.fuse_rms_norm = False
        model.config.fuse_rms_norm = False
    assert ALL_ATTENTION_FUNCTIONS["flashmask"] is cpu_attention.text_attention_interface


def test_stock_sdpa_lets_hidden_columns_be_seen_on_a_cpu_and_ours_does_not() -> None:
    """Upstream symptom: stock sdpa passes is_causal and a mask, and Paddle then drops the mask."""
    cpu_kernels.restore()
    stock = ALL_ATTENTION_FUNCTIONS["sdpa"]
    layer = paddle.nn.Layer()
    layer.eval()
    query, key, value = (paddle.randn([1, 2, 6, 8]) for _ in range(3))
    rows = paddle.to_tensor(np.array([3, 3, 3, 6, 6, 6], np.int32).reshape(1, 1, 6, 1))  # two packed samples
    alone, _ = cpu_attention.text_attention_interface(
        layer, query[:, :, 3:], key[:, :, 3:], value[:, :, 3:], is_causal=True
    )
    mine, _ = cpu_attention.text_attention_interface(
        layer, query, key, value, attn_mask_startend_row_indices=rows
    )
    theirs, _ = stock(layer, query, key, value, attn_mask_startend_row_indices=rows)
    np.testing.assert_allclose(mine[:, 3:].numpy(), alone.numpy(), atol=1e-6)
    assert worst(theirs[:, 3:].numpy(), alone.numpy()) > 1e-2, "upstream is mended: say so in the docs"


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_row_indices_mean_what_paddleformers_means_by_them(columns: int) -> None:
    length = 12
    rng = np.random.default_rng(columns)
    start = np.minimum(np.arange(length) + rng.integers(1, 6, length), length)
    if columns == 1:
        rows = start[:, None]
    elif columns == 2:
        rows = np.stack([start, np.minimum(start + 3, length)], -1)
    else:
        above = np.maximum(np.arange(length) - 3, 0)
        rows = np.stack([start, np.full(length, length), np.zeros(length, int), above], -1)
    rows = rows[None, None].astype(np.int32)
    theirs = _gen_from_sparse_attn_mask_indices(paddle.to_tensor(rows), "float32", columns != 4).numpy()
    mine = cpu_attention.dense_bias(rows, length, length).numpy()
    np.testing.assert_array_equal(np.broadcast_to(mine, theirs.shape) < -1e8, theirs < -1e5)


def test_grouped_attention_equals_a_dense_reference() -> None:
    rng = np.random.default_rng(0)
    query, key, value = (
        rng.standard_normal(s).astype(np.float32) for s in [(2, 4, 5, 8)] + [(2, 2, 5, 8)] * 2
    )
    out, _ = cpu_attention.text_attention_interface(
        None, *(paddle.to_tensor(x) for x in (query, key, value)), is_causal=True
    )
    scores = np.einsum("bhld,bhsd->bhls", query, key.repeat(2, 1)) / np.sqrt(8)
    scores = np.where(np.tril(np.ones((5, 5), bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = np.einsum("bhls,bhsd->blhd", weights / weights.sum(-1, keepdims=True), value.repeat(2, 1))
    np.testing.assert_allclose(out.numpy(), expected.reshape(2, 5, 32), atol=2e-6)


def test_positions_equal_the_stock_ones(model: Any, batch: dict[str, Any]) -> None:
    arguments = (batch["input_ids"], batch["image_grid_thw"], None, paddle.to_tensor(batch["mask"]))
    cpu_kernels.restore()
    theirs, their_delta = model.model.get_rope_index(*arguments)
    cpu_kernels.apply()
    mine, delta = model.model.get_rope_index(*arguments)
    np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    np.testing.assert_array_equal(delta.numpy(), their_delta.numpy().reshape(-1, 1))


def test_missing_grids_are_an_error_not_a_guess() -> None:
    ids = np.array([[7, 9, 9, 9, 9, 7]])
    with pytest.raises(ValueError, match="more image tokens"):
        positions.rope_index(ids, [], None, image_token_id=9, merge=2)
    with pytest.raises(ValueError, match="has fewer in input_ids"):
        positions.rope_index(ids, [(1, 8, 8)], None, image_token_id=9, merge=2)


@pytest.mark.parametrize("frozen", [(), ("x",), ("weight",)])
def test_a_norm_beside_frozen_weights_has_the_gradients_of_the_plain_formula(frozen: tuple[str, ...]) -> None:
    rng = np.random.default_rng(5)
    values = {"x": rng.normal(size=(3, 4, 8)), "weight": rng.normal(size=8)}

    def gradients(norm: Any) -> dict[str, Any]:
        inputs = {name: paddle.to_tensor(value.astype(np.float32)) for name, value in values.items()}
        for name, tensor in inputs.items():
            tensor.stop_gradient = name in frozen
        (norm(inputs["x"], inputs["weight"]) ** 3).sum().backward()
        return {name: tensor.grad.numpy() for name, tensor in inputs.items() if name not in frozen}

    def plain(x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
        return x * paddle.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * weight

    ours, expected = gradients(lambda x, w: cpu_kernels.rms_norm(x, w, 1e-6)), gradients(plain)
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-5, atol=2e-5)


def graph_nodes(loss: Any) -> set[str]:
    """Names of all gradient nodes behind a loss."""
    found, waiting = {}, [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and id(node) not in found:
            found[id(node)] = node
            waiting += [entry[0] if isinstance(entry, tuple) else entry for entry in node.next_functions]
    return {node.name() for node in found.values()}


def nodes_of_a_step(model: Any, batch: dict[str, Any]) -> set[str]:
    inputs = {k: v for k, v in batch.items() if k != "mask"}
    mask = paddle.to_tensor(batch["mask"])
    places, _ = model.model.get_rope_index(inputs["input_ids"], inputs["image_grid_thw"], None, mask)
    return graph_nodes(model(position_ids=places, **inputs).loss)


SLOW = {"LayerNormGradNode", "SiluGradNode", "WhereGradNode"}


def test_no_slow_gradient_is_left(model: Any, batch: dict[str, Any]) -> None:
    cpu_kernels.restore()
    assert nodes_of_a_step(model, batch) >= SLOW
    cpu_kernels.apply()
    assert not nodes_of_a_step(model, batch) & SLOW
