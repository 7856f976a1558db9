"""An export is Hugging Face's model: torch gives our logits on it, for trained weights and merged adapters.

Torch and Paddle don't share an environment: PADDLE_GROUND_TORCH_PYTHON names an interpreter that has
torch and transformers (see tools/make_hf_golden.py for how it is made).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from small_exports import PRESETS, adapter_of, logits_of

from paddle_ground.backend.loading import load_model
from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.export.write import ExportOptions, export

PYTHON = os.environ.get("PADDLE_GROUND_TORCH_PYTHON", "")
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not PYTHON, reason="PADDLE_GROUND_TORCH_PYTHON names no interpreter with torch"),
]
TARGETS = [".*qkv_proj.*", ".*up_gate_proj.*", ".*o_proj.*", ".*down_proj.*"]

CODE = """
import sys
import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer

folder, asked, answered = sys.argv[1:]
old = transformers.__version__.startswith("4.")
if not old and "qwen2_5_vl" in AutoConfig.from_pretrained(folder).model_type:
    sys.exit(77)  # These releases misplace still images (huggingface/transformers issue 45325).
inputs = dict(np.load(asked))
model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
text = "<|im_start|>user\\n<|vision_start|><|image_pad|><|image_pad|><|vision_end|>red circle<|im_end|>"
ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
assert ids.tolist() == inputs["ids"].tolist()
image = int(model.config.image_token_id)
with torch.no_grad():
    out = model.eval()(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=torch.tensor(inputs["pixels"]),
        image_grid_thw=torch.tensor([[1, 2, 4]]),
        **({} if old else {"mm_token_type_ids": (ids == image).int()}),
    )
np.save(answered, out.logits.numpy())
"""


def torch_logits(folder: Path, work: Path) -> np.ndarray[Any, Any]:
    loaded = load_model(folder)
    text = "<|im_start|>user\n<|vision_start|><|image_pad|><|image_pad|><|vision_end|>red circle<|im_end|>"
    patch = loaded.config.vision_config.patch_size
    pixels = np.random.default_rng(0).standard_normal((8, 3 * 2 * patch**2)).astype(np.float32)
    np.savez(work / "asked.npz", ids=np.array([loaded.tokenizer(text)["input_ids"]]), pixels=pixels)
    command = [PYTHON, "-c", CODE, str(folder), str(work / "asked.npz"), str(work / "answered.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode == 77:
        pytest.skip("transformers 5 misplaces Qwen2.5-VL's still images; name one with transformers 4.57")
    assert done.returncode == 0, done.stderr[-2000:]
    return np.asarray(np.load(work / "answered.npy"))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", ["whole", "merged", "sharded"])
def test_torch_gives_our_logits(tmp_path: Path, preset: str, kind: str) -> None:
    base = build_tiny_model(tmp_path / "base", preset, seed=3)
    run = adapter_of(tmp_path / "run", base, TARGETS)[1] if kind == "merged" else base
    export(ExportOptions(run, tmp_path / "out", max_shard_size="100KB" if kind == "sharded" else "5GB"))
    loaded = load_model(tmp_path / "out")
    ours = logits_of(loaded.model, loaded)
    np.testing.assert_allclose(torch_logits(tmp_path / "out", tmp_path), ours, atol=1e-4)
