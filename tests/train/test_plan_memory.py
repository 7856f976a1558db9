"""Memory formulas: held against measured rows, hand-computed cases, and what must never happen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.train.plan.memory import (
    GIB,
    Setup,
    forward_peak,
    gradients_bytes,
    layer_token_bytes,
    optimizer_bytes,
    saved_token_bytes,
    step_memory,
    trainable_numbers,
    weights_bytes,
)
from paddle_ground.train.plan.model_size import ModelSize, model_size
from paddle_ground.train.plan.published import published_config

FROZEN = frozenset({"vision", "aligner"})
MODELS = {size: ModelSize.from_config(published_config(size), size) for size in ("2b", "4b", "8b")}
# HF transformers 5.17, torch 2.11, one NVIDIA H200, bf16, sdpa, batch 1, vision tower and merger frozen, no
# optimizer: model, tokens, images of 768 x 768 px, recompute; GiB of weights, gradients, forward, step.
MEASURED = """
2b 2048 2 full  3.98  3.2   3.21  5.01
2b 4096 4 full  4.05  3.2   6.3   8.62
2b 8192 8 full  4.08  3.2  12.6  17.23
2b 2048 2 none  4.04  3.2   8.96 10.12
2b 4096 4 none  4.05  3.2  17.91 20.23
2b 8192 8 none  4.08  3.2  35.82 40.46
4b 2048 2 full  8.4   7.49  3.29  9.57
4b 4096 4 full  8.41  7.49  6.58 10.1
4b 8192 8 full  8.44  7.49 13.16 17.79
4b 2048 2 none  8.4   7.49 14.63 15.79
4b 4096 4 none  8.41  7.49 29.26 31.58
4b 8192 8 none  8.44  7.49 58.52 63.16
8b 2048 2 full 16.41 15.26  3.53 15.85
8b 4096 4 full 16.42 15.26  7.05 16.52
8b 8192 8 full 16.45 15.26 14.1  18.73
8b 2048 2 none 16.41 15.26 17.75 18.91
8b 4096 4 none 16.42 15.26 35.5  37.82
8b 8192 8 none 16.45 15.26 70.99 75.63
"""
ROWS = [line.split() for line in MEASURED.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=["-".join(row[:4]) for row in ROWS])
def test_predictions_are_near_what_torch_needed_on_a_gpu(row: list[str]) -> None:
    model, tokens = MODELS[row[0]], int(row[1])
    weights, gradients, forward, step = (float(cell) * GIB for cell in row[4:])
    setup = Setup(
        tokens, tokens, 2304 * int(row[2]), recompute=row[3] == "full", frozen=FROZEN, main_gradients=False,
        optimizer=False,
    )  # fmt: skip
    found = step_memory(model, setup)
    assert found.gradients + found.activations + found.logits == pytest.approx(step, rel=0.15)
    assert forward_peak(model, setup) == pytest.approx(forward, rel=0.15)
    assert gradients_bytes(model, setup) == pytest.approx(gradients, rel=0.01)
    assert found.weights == pytest.approx(weights, rel=0.04)


def test_the_rows_are_those_of_the_measurement(project_root: Path) -> None:
    facts = project_root.parent / "shared" / "gpu-facts.md"
    if not facts.is_file():
        pytest.skip(f"{facts} is not there")
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in facts.read_text().splitlines()]
    table = [[r[0].lower(), *r[3:6], *r[6:10]] for r in cells if len(r) == 12 and r[0] in ("2B", "4B", "8B")]
    assert table == ROWS


@pytest.mark.parametrize(
    ("size", "total", "frozen"),
    [
        ("2b", 2_127_532_032, 406_957_056),
        ("4b", 4_437_815_808, 415_347_712),
        ("8b", 8_767_123_696, 576_388_336),
    ],
)
def test_parameters_are_the_real_models(size: str, total: int, frozen: int) -> None:
    model = model_size(f"Qwen/Qwen3-VL-{size.upper()}-Instruct")
    assert (model.count(), model.count(FROZEN)) == (total, frozen)
    assert trainable_numbers(model, Setup(1, 1, frozen=FROZEN)) == total - frozen


@pytest.mark.parametrize(
    ("size", "total", "frozen"), [("3b", 3_754_622_976, 668_684_288), ("7b", 8_292_166_656, 676_550_144)]
)
def test_parameters_of_the_second_family_are_the_real_models(size: str, total: int, frozen: int) -> None:
    model = model_size(f"Qwen/Qwen2.5-VL-{size.upper()}-Instruct")
    assert (model.count(), model.count(FROZEN)) == (total, frozen)
    # Queries, keys and values have biases, which are split with their weights.
    whole, half = (
        sum(p.split(t) for p in model.parameters if p.name.endswith("q_proj.bias")) for t in (1, 2)
    )
    assert (whole, half) == (model.layers * model.hidden, model.layers * model.hidden // 2)


def test_windows_by_hand() -> None:
    model = model_size("Qwen2.5-VL-7B")
    # 4 of 32 blocks see the 54 x 54 patches of 768 x 768 pixels (27 x 27 tokens), the others 8 x 8.
    assert model.vision_context == (4 * 54**2 + 28 * 64) / 32
    assert MODELS["2b"].vision_context == 48**2
    assert model.mergers == 1
    # Adapters of rank 1 in 28 layers: beside fused query, key and value, output, fused gate and up, down.
    lora = Setup(1, 1, frozen=FROZEN, lora_rank=1)
    beside = (3584 + 3584 + 2 * 512) + (3584 + 3584) + (3584 + 2 * 18_944) + (18_944 + 3584)
    assert trainable_numbers(model, lora) == 28 * beside


def test_a_layer_by_hand() -> None:
    # 4B: 16 x 2560 + 10 x 4096 + 10 x 1024 + 8 x 9728
    assert layer_token_bytes(MODELS["4b"], Setup(1, 1)) == 169_984
    assert saved_token_bytes(MODELS["4b"], Setup(1, 1)) == 36 * 169_984
    assert saved_token_bytes(MODELS["4b"], Setup(1, 1, recompute=True)) == 36 * 2 * 2560
    # Half of all but the norms: 16 x 2560 + (10 x 4096 + 10 x 1024 + 8 x 9728) / 2
    assert layer_token_bytes(MODELS["4b"], Setup(1, 1, tensor_parallel=2)) == 105_472
    assert layer_token_bytes(MODELS["4b"], Setup(1, 1, tensor_parallel=2, sequence_parallel=True)) == 84_992
    # Eager: 32 heads x 1000 tokens x 8 bytes on top.
    assert layer_token_bytes(MODELS["4b"], Setup(1000, 1000, attention="eager")) == 169_984 + 256_000


def test_states_by_hand() -> None:
    model, number = MODELS["2b"], 2_127_532_032 - 406_957_056
    plain = Setup(1, 1, frozen=FROZEN)
    assert weights_bytes(model, plain) == 2 * 2_127_532_032
    assert optimizer_bytes(model, plain) == 12 * number
    assert gradients_bytes(model, plain) == 4 * number
    stage1 = replace(plain, sharding_stage=1, sharding_degree=8)
    assert (optimizer_bytes(model, stage1), gradients_bytes(model, stage1)) == (12 * number / 8, 4 * number)
    stage2 = replace(stage1, sharding_stage=2)
    assert gradients_bytes(model, stage2) == 4 * number / 8
    stage3 = replace(stage1, sharding_stage=3)
    # What is frozen stays whole, and the largest tensor, the embedding, is gathered.
    assert weights_bytes(model, stage3) == 2 * (406_957_056 + number / 8 + 151_936 * 2048)
    single = replace(plain, half=False, main_gradients=False)
    assert weights_bytes(model, single) == 4 * 2_127_532_032
    assert optimizer_bytes(model, single) == 8 * number


def test_lora_by_hand() -> None:
    # 2B, rank 8: qkv (2048 in; 2048, 1024, 1024 out), o (2048 + 2048), up_gate (2048, 2 x 6144), down
    a_layer = 8 * (2048 + 4096 + 4096 + 2048 + 2 * 6144 + 8192)
    setup = Setup(1, 1, frozen=FROZEN, lora_rank=8)
    assert trainable_numbers(MODELS["2b"], setup) == 28 * a_layer
    assert weights_bytes(MODELS["2b"], setup) == 2 * (2_127_532_032 + 28 * a_layer)
    few = replace(setup, lora_targets=("q_proj", "k_proj", "v_proj"))
    assert trainable_numbers(MODELS["2b"], few) == 28 * 8 * (2048 + 4096)


def test_gradients_of_earlier_micro_batches_are_there_at_the_head() -> None:
    setup = Setup(65_536, 8192, frozen=FROZEN)
    once, often = (step_memory(MODELS["2b"], replace(setup, accumulates=on)) for on in (False, True))
    assert often.total - once.total == gradients_bytes(MODELS["2b"], setup)


SETUPS = st.builds(
    Setup,
    tokens=st.integers(1, 1 << 17),
    row=st.integers(1, 1 << 15),
    patches=st.integers(0, 1 << 16),
    tensor_parallel=st.sampled_from([1, 2, 4, 8]),
    sequence_parallel=st.booleans(),
    sharding_stage=st.integers(0, 3),
    sharding_degree=st.sampled_from([1, 2, 8]),
    recompute=st.booleans(),
    attention=st.sampled_from(["flashmask", "sdpa", "eager"]),
    frozen=st.frozensets(st.sampled_from(["vision", "aligner", "llm"])),
    lora_rank=st.sampled_from([0, 8]),
    half=st.booleans(),
    half_weights=st.booleans(),
    main_gradients=st.booleans(),
    accumulates=st.booleans(),
)


@given(st.sampled_from(sorted(MODELS)), SETUPS)
def test_what_must_never_happen(size: str, setup: Setup) -> None:
    model = MODELS[size]
    found = step_memory(model, setup)
    more = replace(setup, tokens=2 * setup.tokens, patches=2 * setup.patches)
    assert step_memory(model, more).total >= found.total
    assert step_memory(model, replace(setup, row=2 * setup.row)).total >= found.total
    assert step_memory(model, replace(setup, accumulates=True)).total >= found.total
    for field in ("weights", "gradients", "optimizer", "activations", "logits", "vision"):
        assert getattr(found, field) >= 0
    wider = replace(setup, tensor_parallel=2 * setup.tensor_parallel)
    assert weights_bytes(model, wider) <= weights_bytes(model, setup)
    assert step_memory(model, wider).total <= found.total
    assert (
        step_memory(model, replace(setup, recompute=True)).total
        <= step_memory(model, replace(setup, recompute=False)).total
    )
    wide = replace(setup, sharding_degree=2 * setup.sharding_degree)
    assert step_memory(model, wide).total <= found.total
