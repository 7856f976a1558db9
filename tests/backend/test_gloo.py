"""Two CPU processes that talk through gloo: each mend against numpy, and what Paddle says without it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.backend.tiny import build_tiny_model

paddle = pytest.importorskip("paddle")

sys.path.insert(0, str(Path(__file__).parent))
from gloo_pair import free_ports, run_pair  # noqa: E402
from gloo_ranks import WIDTH, logits_and_labels  # noqa: E402

from paddle_ground.backend import gloo_groups  # noqa: E402

RANKS = Path(__file__).with_name("gloo_ranks.py")
OWN = [np.arange(4, dtype=np.float32), np.arange(4, dtype=np.float32) + 10]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose answers wander, so that equal answers mean something."""
    from dataclasses import replace

    from paddle_ground.backend.tiny import PRESETS

    return build_tiny_model(
        tmp_path_factory.mktemp("split") / "model", replace(PRESETS["test"], initializer_range=0.5), seed=1
    )


@pytest.fixture(scope="module")
def ranks(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process found: arrays by check, and `said`, the errors without our mends."""
    out = tmp_path_factory.mktemp("ranks")
    run_pair(RANKS, out, str(model))
    found = []
    for rank in range(2):
        with np.load(out / f"{rank}.npz") as arrays:
            found.append(dict(arrays))
        found[rank]["said"] = json.loads((out / f"{rank}.json").read_text(encoding="utf-8"))
    return found


def cross_entropy() -> tuple[np.ndarray, np.ndarray]:
    """Losses and the gradient of their sum weighted with 1..6, over the whole vocabulary."""
    logits, labels = (array.reshape(6, -1) for array in logits_and_labels())
    labels = labels.ravel()
    weights = np.arange(1, 7) * (labels != -100)
    best = logits.max(-1, keepdims=True)
    softmax = np.exp(logits - best) / np.exp(logits - best).sum(-1, keepdims=True)
    losses = np.where(labels == -100, 0, -np.log(softmax[np.arange(6), labels.clip(0)]))
    grad = (softmax - np.eye(WIDTH)[labels.clip(0)]) * weights[:, None]
    return losses, grad


def expected(name: str, rank: int) -> np.ndarray:
    total = OWN[0] + OWN[1]
    if name == "loss":
        losses, grad = cross_entropy()
        return np.concatenate([losses, np.split(grad, 2, axis=-1)[rank].ravel()])
    joined = np.concatenate([own.reshape(2, 2) for own in OWN], axis=-1)
    ramp = np.arange(8).reshape(2, 4)
    return {
        "cuda": OWN[rank],
        "waited": OWN[rank],
        "streamed_sum": total,
        "streamed_gather": np.concatenate(OWN),
        "streamed_broadcast": OWN[1],
        "scattered_sum": np.split(total, 2)[rank],
        "inputs": np.concatenate([OWN[0], OWN[0] > 1]),
        "identity": np.full(4, 1 + 2),  # the sum of what each process's loss asks for
        "joined": np.concatenate([joined.ravel(), np.split(ramp, 2, axis=-1)[rank].ravel()]),
        "parted": np.concatenate([np.split(ramp, 2, axis=-1)[rank].ravel(), [1, 1, 2, 2, 1, 1, 2, 2]]),
    }[name]


SYMPTOMS = {
    "cuda": "No available device",
    "waited": "device should be gpu",
    "streamed_sum": "does not support all_reduce with sync_op and use_calc_stream",
    "streamed_gather": "does not support all_gather",
    "streamed_broadcast": "does not support broadcast",
    "scattered_sum": "does not support reduce_scatter",
    "inputs": "Only support xpu, gpu",
    "identity": "c_identity for cpu",
    "joined": "c_concat for cpu",
    "parted": "c_split for cpu",
    "loss": "c_softmax_with_cross_entropy for cpu",
}


@pytest.mark.parametrize("name", SYMPTOMS)
def test_each_mend_gives_numpys_numbers_where_stock_paddle_gives_up(
    ranks: list[dict[str, Any]], name: str
) -> None:
    for rank, found in enumerate(ranks):
        assert SYMPTOMS[name] in found["said"][name], "upstream is mended: drop ours"
        np.testing.assert_allclose(found[name], expected(name, rank), rtol=1e-5, atol=1e-6)


def test_two_parts_of_a_model_write_the_whole_models_answers(
    ranks: list[dict[str, Any]], model: Path
) -> None:
    from paddle_ground.infer import Engine, Request

    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 96, 3), np.uint8))
    requests = [Request(image, "Task: Object Detection"), Request(image, "hi")]
    whole = Engine.load(model).answer(requests, max_new_tokens=16)
    assert len({token for answer in whole for token in answer.token_ids}) > 4
    for found in ranks:
        for index, answer in enumerate(whole):
            assert found[f"tokens_{index}"].tolist() == list(answer.token_ids)
            np.testing.assert_allclose(found[f"logprobs_{index}"], answer.logprobs, atol=1e-4)


def test_head_norms_see_the_gradient_of_all_heads(ranks: list[dict[str, Any]], model: Path) -> None:
    """Upstream symptom: each process takes its own heads' share for the whole, and the copies drift apart."""
    from paddle_ground.backend.loading import load_model

    whole = load_model(model).model
    whole.train()
    ids = paddle.to_tensor([list(range(5, 25))])
    whole(input_ids=ids, labels=ids).loss.backward()
    grad = whole.model.language_model.layers[0].self_attn.q_norm.weight.grad.numpy()
    assert np.abs(grad).max() > 1e-4
    for found in ranks:
        np.testing.assert_allclose(found["query_norm_grad"], grad, rtol=1e-3, atol=np.abs(grad).max() * 1e-4)


def test_processes_meet_however_late_one_of_them_is(ranks: list[dict[str, Any]]) -> None:
    """Upstream symptom: gloo gives up after 30 seconds."""
    for found in ranks:
        assert found["late_had_come"].tolist() == [True, True]


def test_groups_leave_their_addresses_in_stores_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upstream symptom: all groups write under the same keys, so members of one connect to another's.

    A race of four processes, which test_parallel.py runs; here are the stores that the groups are given.
    """
    owner: Any = paddle.base.core.ProcessGroupGloo
    monkeypatch.setattr(owner, "create", staticmethod(lambda store, rank, size, group_id=0: store))
    gloo_groups.apply()
    common = paddle.base.core.TCPStore("127.0.0.1", free_ports(1)[0], True, 1, 60)
    common.set("0", "world")
    assert owner.create(common, 0, 1, 0) is common
    stores = {group: owner.create(common, 0, 1, group) for group in (18, 19)}
    for group, store in stores.items():
        store.set("0", str(group))
    assert [bytes(store.get("0")) for store in (common, *stores.values())] == [b"world", b"18", b"19"]
