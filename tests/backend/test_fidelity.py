"""Our model is Hugging Face's model: same weights, same logits, same answers, same tokens, same file.

The golden comes from torch (tools/make_hf_golden.py); the tokenizer is compared with transformers itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).parent))
from golden_inputs import GOLDENS, NEW_TOKENS, Golden

from paddle_ground.backend.loading import LoadedModel, load_model
from paddle_ground.files import sha256_file

ASSETS = Path(__file__).resolve().parents[1] / "assets"


@pytest.fixture(scope="module", params=sorted(GOLDENS))
def case(request: pytest.FixtureRequest) -> Golden:
    return GOLDENS[request.param]


@pytest.fixture(scope="module")
def golden(case: Golden) -> dict[str, Any]:
    with np.load(ASSETS / case.asset, allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def golden_dir(case: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return case.build_model(tmp_path_factory.mktemp("golden") / "model")


@pytest.fixture(scope="module")
def loaded(golden_dir: Path) -> LoadedModel:
    return load_model(golden_dir)


@contextmanager
def stock_kernels(loaded: LoadedModel) -> Iterator[None]:
    """PaddleFormers as it comes, but for the fused RMSNorm that a CPU doesn't have."""
    from paddle_ground.backend import cpu_kernels

    configs = (loaded.config, loaded.config.text_config, loaded.config.vision_config)
    cpu_kernels.restore()
    for config in configs:
        config.fuse_rms_norm = False
        config._attn_implementation = "eager"
    try:
        yield
    finally:
        for config in configs:
            config._attn_implementation = "sdpa"
        cpu_kernels.apply()


def logits_of(loaded: LoadedModel, case: Golden, golden: dict[str, Any]) -> np.ndarray[Any, Any]:
    import paddle

    with paddle.no_grad():
        loaded.model.model.rope_deltas = None
        out = loaded.model(
            input_ids=paddle.to_tensor(golden["token_ids"]),
            attention_mask=paddle.to_tensor(golden["mask"]),
            pixel_values=paddle.to_tensor(case.patches()),
            image_grid_thw=paddle.to_tensor(case.grids_thw),
        )
    return np.asarray(out.logits.numpy())


def test_golden_and_model_belong_together(case: Golden, golden: dict[str, Any], golden_dir: Path) -> None:
    assert sha256_file(golden_dir / "model.safetensors") == str(golden["weights_sha256"])
    assert (ASSETS / case.asset).stat().st_size < 300_000


@pytest.mark.parametrize("kernels", ["stock", "ours"])
def test_logits_are_those_of_torch(
    loaded: LoadedModel, case: Golden, golden: dict[str, Any], kernels: str
) -> None:
    if kernels == "stock":
        with stock_kernels(loaded):
            logits = logits_of(loaded, case, golden)
    else:
        logits = logits_of(loaded, case, golden)
    # What stands at padding is nobody's business; frameworks fill it differently.
    real = golden["mask"].astype(bool)
    found, expected = logits[real], golden["logits"][real]
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-5
    np.testing.assert_array_equal(found.argmax(-1), expected.argmax(-1))


def test_greedy_answers_are_those_of_torch(loaded: LoadedModel, case: Golden, golden: dict[str, Any]) -> None:
    from paddle_ground.infer.engine import Engine
    from paddle_ground.infer.preprocess import Prompt

    patches = np.split(case.patches(), np.cumsum(case.counts)[:-1])
    prompts = [
        Prompt(ids[mask == 1], patch, np.array([grid]), (1, 1))
        for ids, mask, patch, grid in zip(
            golden["token_ids"], golden["mask"], patches, case.grids_thw, strict=True
        )
    ]
    answers = Engine(loaded).generate(prompts, max_new_tokens=NEW_TOKENS)
    for answer, expected in zip(answers, golden["generated"], strict=True):
        np.testing.assert_array_equal(answer.token_ids, expected[: len(answer.token_ids)])
        # A model that repeats one token would prove nothing.
        assert len(set(answer.token_ids)) > 8


TEXTS = [
    "Task: Object Detection",
    "<|object_ref_start|>red circle<|object_ref_end|><|box_start|>(12,345),(678,90)<|box_end|>, none",
    "</think>x<|im_end|>\n",
    '```json\n[\n\t{"bbox_2d": [12, 345, 678, 90], "label": "红色 圆形"}\n]\n```',
    " don't  stop\u00e9 \u0065\u0301 🙂\n\n x",
]


def test_tokens_are_those_of_transformers(
    loaded: LoadedModel, case: Golden, golden_dir: Path, tmp_path: Path
) -> None:
    # Another process: PaddleFormers changes transformers' classes where it is imported.
    texts = tmp_path / "texts.json"
    script = (
        "import json, sys, transformers\n"
        "tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "texts = json.load(open(sys.argv[2], encoding='utf-8'))\n"
        "print(json.dumps([tokenizer(t)['input_ids'] for t in texts]))\n"
    )
    all_texts = [*TEXTS, *case.texts()]
    texts.write_text(json.dumps(all_texts), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-c", script, str(golden_dir), str(texts)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected = json.loads(run.stdout.splitlines()[-1])
    found = [list(loaded.tokenizer(text)["input_ids"]) for text in all_texts]
    assert found == expected
    # And back, normalised as Qwen's tokenizer does (NFC).
    for text, ids in zip(all_texts, found, strict=True):
        assert loaded.tokenizer.decode(ids, skip_special_tokens=False) == unicodedata.normalize("NFC", text)


def test_a_saved_checkpoint_keeps_names_shapes_and_values(
    loaded: LoadedModel, golden_dir: Path, tmp_path: Path
) -> None:
    loaded.model.save_pretrained(str(tmp_path / "saved"))
    before = load_file(golden_dir / "model.safetensors")
    after: dict[str, Any] = {}
    for path in (tmp_path / "saved").glob("*.safetensors"):
        after.update(load_file(path))
    assert after.keys() == before.keys()
    for name, weight in before.items():
        np.testing.assert_array_equal(after[name], weight, err_msg=name)
